// A channel that is closed while a sender stands still inside of its section.
import { ANSWER, WORD } from '../../lib/shared/ring-layout.js';
import { type Peer, Rings, drain, messageOf, receive, ready } from '../helpers/rings.js';
import { Stepped, withPlainAtomics } from '../helpers/stepped.js';

it.each([
  ['a short message', (sender: Peer) => sender.sender.send(ready(messageOf(1, 1, 50)))],
  ['a reservation', (sender: Peer) => sender.sender.reserve(50)],
])('%s that nobody waits for any more is refused to its sender', (_name, send) => {
  withPlainAtomics(() => {
    const outcomes = new Set<number>();
    for (let step = 0; ; step++) {
      const rings = new Rings(40);
      const stepped = new Stepped(rings.words);
      rings.words = stepped.words;
      const [sender, closer] = [rings.join(1), rings.join(2)];
      expect(sender.sender.send(ready(messageOf(1, 0, 5)))).toBe(0);
      stepped.at(step, () => {
        closer.sender.close(5);
      });
      const answer = send(sender);
      const last = stepped.cancel();
      outcomes.add(Math.min(answer, 0));
      expect(rings.words[WORD.sendLock]).toBe(0);
      // What was sent is there, what was refused is not.
      const { length } = drain(closer);
      const census = closer.keeper.census();
      expect(length + (census?.[1] ?? 0)).toBe(answer >= 0 ? 2 : 1);
      if (last) break;
    }
    expect(outcomes).toEqual(new Set([0, ANSWER.closed]));
  });
});

it('a sender that goes on after the end has sent nothing', () => {
  withPlainAtomics(() => {
    const rings = new Rings(40);
    const [sender, closer] = [rings.join(1), rings.join(2)];
    const source = messageOf(1, 1, 200);
    const stepped = new Stepped(rings.words);
    rings.words = stepped.words;
    const slow = rings.join(3);
    expect(sender.sender.send(ready(messageOf(1, 0, 5)))).toBe(0);
    let ends: unknown;
    stepped.at(6, () => {
      expect(rings.words[WORD.sendLock]).not.toBe(0);
      expect(closer.sender.close(5)).toBe(false);
      receive(closer);
      closer.receiver.thorough = true;
      ends = receive(closer);
    });
    expect(slow.sender.send(ready(source))).toBe(ANSWER.closed);
    expect(ends).toBe(ANSWER.closed);
    expect(drain(closer)).toEqual([]);
  });
});
