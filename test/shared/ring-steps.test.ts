// One peer is killed, or passes its turn to another, before each single access to the shared words that it makes.
import { ANSWER, WORD, longestOf } from '../../lib/shared/ring-layout.js';
import { type Peer, Rings, drain, messageOf, receive, ready } from '../helpers/rings.js';
import { Killed, Stepped, withPlainAtomics } from '../helpers/stepped.js';

const UNITS = 40;

/** What happened, by the first byte of each message. */
class Story {
  readonly rings = new Rings(UNITS);
  readonly stepped = new Stepped(this.rings.words);
  readonly first: Peer;
  readonly second: Peer;
  readonly third: Peer;
  /** Sent for certain, and received for certain; `maybe` was under way when its peer was killed. */
  readonly sent: number[] = [];
  readonly received: number[] = [];
  maybeSent: number | undefined;
  maybeReceived = false;

  constructor() {
    this.rings.words = this.stepped.words;
    this.first = this.rings.join(1);
    this.second = this.rings.join(2);
    this.third = this.rings.join(3);
  }

  send({ sender }: Peer, name: number, length = 5): number {
    const message = messageOf(0, 0, length);
    message[0] = name;
    this.maybeSent = name;
    const answer = sender.send(ready(message));
    this.maybeSent = undefined;
    if (answer === 0) this.sent.push(name);
    return answer;
  }

  /** In place, and shorter than was asked for. */
  write({ sender, ring }: Peer, name: number): void {
    this.maybeSent = name;
    const unit = sender.reserve(50);
    if (unit >= 0) {
      ring.bytes[sender.offset] = name;
      expect(sender.commit(unit, 50, 9)).toBe(true);
      this.sent.push(name);
    }
    this.maybeSent = undefined;
  }

  receive(peer: Peer): number {
    this.maybeReceived = true;
    const message = receive(peer);
    this.maybeReceived = false;
    if (typeof message === 'number') return message;
    this.received.push(message[0] ?? -1);
    return 0;
  }

  /** In place; put back once, then taken for good. */
  look({ receiver, ring }: Peer): void {
    this.maybeReceived = true;
    let unit = receiver.claim();
    if (unit >= 0) {
      expect(receiver.requeue(unit)).toBe(true);
      unit = receiver.claim();
    }
    if (unit >= 0) {
      const name = ring.bytes[receiver.offset] ?? -1;
      expect(receiver.release(unit)).toBe(true);
      this.received.push(name);
    }
    this.maybeReceived = false;
  }

  kill({ tag }: Peer): void {
    this.rings.world.alive.delete(tag);
  }

  /** The survivors take the rest: everything that was sent was received once, and the ring is as good as new. */
  check(survivors: readonly [Peer, Peer]): void {
    const [one, other] = survivors;
    const { maybeSent: maybe, maybeReceived } = this;
    for (const name of [200, 201]) {
      if (this.send(one, name, 1) === 0) continue;
      this.received.push(...drain(other).map((message) => message[0] ?? -1));
      expect(this.send(one, name, 1)).toBe(0);
    }
    this.received.push(...drain(other).map((message) => message[0] ?? -1));
    const got = [...this.received].sort((a, b) => a - b);
    const all = [...this.sent].sort((a, b) => a - b);
    expect(new Set(got).size).toBe(got.length);
    const missing = all.filter((name) => !got.includes(name));
    const added = got.filter((name) => !all.includes(name));
    expect(missing.length).toBeLessThanOrEqual(maybeReceived ? 1 : 0);
    expect(added).toEqual(maybe !== undefined && added.length > 0 ? [maybe] : []);
    expect(this.send(one, 250, longestOf(UNITS))).toBe(0);
    expect(this.receive(other)).toBe(0);
    expect(this.receive(other)).toBe(ANSWER.wait);
    const { words } = this.rings;
    expect([words[WORD.sendLock], words[WORD.receiveLock]]).toEqual([0, 0]);
    expect(words[WORD.head]).toBe(words[WORD.tail]);
  }
}

/** What the peer does that is interrupted; before it the ring holds messages 1 to 4. */
const programs: Record<string, (story: Story, peer: Peer) => void> = {
  'sends twice': (story, peer) => {
    story.send(peer, 10);
    story.send(peer, 11, 20);
  },
  'sends past the wrap': (story, peer) => {
    for (let count = 0; count < 3; count++) story.receive(peer);
    story.send(peer, 10, 60);
    story.send(peer, 11, 90);
    story.send(peer, 12, 60);
  },
  'sends what fits only into an empty ring': (story, peer) => {
    for (let count = 0; count < 4; count++) story.receive(peer);
    story.send(peer, 10, longestOf(UNITS));
  },
  'writes in place': (story, peer) => {
    story.write(peer, 10);
    story.write(peer, 11);
  },
  'gives a reservation back': (_story, { sender }) => {
    const unit = sender.reserve(40);
    if (unit >= 0) expect(sender.abort(unit)).toBe(true);
  },
  receives: (story, peer) => {
    story.receive(peer);
    story.receive(peer);
  },
  'looks in place': (story, peer) => {
    story.look(peer);
    story.look(peer);
  },
  'receives behind the claim of another': (story, peer) => {
    const unit = story.second.receiver.claim();
    story.receive(peer);
    story.receive(peer);
    if (unit >= 0) expect(story.second.receiver.requeue(unit)).toBe(true);
  },
};

function begin(): Story {
  const story = new Story();
  for (let name = 1; name <= 4; name++) expect(story.send(story.second, name, 17)).toBe(0);
  return story;
}

describe.each(Object.entries(programs))('a peer that %s', (_name, program) => {
  it('may be killed before any access', () => {
    withPlainAtomics(() => {
      for (let step = 0; ; step++) {
        const story = begin();
        story.stepped.at(step, () => {
          throw new Killed();
        });
        try {
          program(story, story.first);
        } catch (error) {
          if (!(error instanceof Killed)) throw error;
        }
        const last = story.stepped.cancel();
        story.kill(story.first);
        for (const { receiver } of [story.second, story.third]) receiver.thorough = true;
        // What the second had claimed in the program comes back too: it is killed with it.
        story.kill(story.second);
        story.check([story.rings.join(4), story.third]);
        if (last) {
          expect(step).toBeGreaterThan(20);
          return;
        }
      }
    });
  });

  const turns: Record<string, (story: Story) => void> = {
    sends: (story) => void story.send(story.third, 100, 30),
    receives: (story) => void story.receive(story.third),
    'looks in place': (story) => {
      story.look(story.third);
    },
    'writes in place': (story) => {
      story.write(story.third, 100);
    },
    'fills the ring': (story) => {
      for (let name = 100; story.send(story.third, name, 25) === 0; name++);
    },
    'empties the ring': (story) => {
      while (story.receive(story.third) === 0);
    },
  };

  it.each(Object.entries(turns))('may be interrupted anywhere by one that %s', (_turn, turn) => {
    withPlainAtomics(() => {
      for (let step = 0; ; step++) {
        const story = begin();
        story.stepped.at(step, () => {
          const { maybeSent, maybeReceived } = story;
          turn(story);
          Object.assign(story, { maybeSent, maybeReceived });
        });
        program(story, story.first);
        const last = story.stepped.cancel();
        expect([story.maybeSent, story.maybeReceived]).toEqual([undefined, false]);
        story.check([story.second, story.third]);
        if (last) return;
      }
    });
  });
});
