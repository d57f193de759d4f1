// What one sender sends is received in its order, whenever it goes on while somebody receives.
import { ANSWER } from '../../lib/shared/ring-layout.js';
import { type Peer, Rings, drain, messageOf, receive, ready } from '../helpers/rings.js';
import { Stepped, withPlainAtomics } from '../helpers/stepped.js';

const LENGTH = 40;

interface Scene {
  readonly rings: Rings;
  readonly stepped: Stepped;
  readonly sender: Peer;
  readonly receiver: Peer;
}

function begin(): Scene {
  const rings = new Rings(60);
  const stepped = new Stepped(rings.words);
  rings.words = stepped.words;
  return { rings, stepped, sender: rings.join(1), receiver: rings.join(2) };
}

const nameOf = (message: number[] | number): number =>
  typeof message === 'number' ? message : (message[0] ?? -1);

describe.each([
  ['was passed before', true],
  ['is passed in the same walk', false],
])('a long message that %s', (_name, isPassed) => {
  it('is received before what was sent after it, whenever it is committed', () => {
    withPlainAtomics(() => {
      for (let step = 0; ; step++) {
        const { rings, stepped, sender, receiver } = begin();
        const units = [sender.sender.reserve(LENGTH), sender.sender.reserve(LENGTH)];
        if (isPassed) expect(receive(receiver)).toBe(ANSWER.wait);
        // Something to walk over, so that the ring does not look empty.
        expect(rings.join(3).sender.reserve(8)).toBeGreaterThan(0);
        const commit = (): void => {
          for (const [index, unit] of units.entries()) {
            const offset = sender.sender.offset - (1 - index) * (LENGTH + 8);
            sender.ring.bytes[offset] = index + 1;
            expect(sender.sender.commit(unit, LENGTH, LENGTH)).toBe(true);
          }
          for (const name of [3, 4]) {
            const message = messageOf(0, 0, 5);
            message[0] = name;
            expect(sender.sender.send(ready(message))).toBe(0);
          }
        };
        stepped.at(step, commit);
        const got: number[] = [];
        const first = receive(receiver);
        if (typeof first !== 'number') got.push(nameOf(first));
        const last = stepped.cancel();
        if (last) commit();
        got.push(...drain(receiver).map(nameOf));
        expect(got).toEqual([1, 2, 3, 4]);
        if (last) {
          expect(step).toBeGreaterThan(3);
          return;
        }
      }
    });
  });
});
