// The processes of a part of the soak: all see one piece of shared memory, each plays a role in a place of
// its own, and whoever is killed is followed by another in the same place.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { SharedMemory } from 'memmap';

const program = fileURLToPath(new URL('member.mjs', import.meta.url));

/** Where the first word of the memory says that all shall end, after what they are doing. */
export const STOP = 0;
/** What a part may use begins here. */
export const FREE = 64;

export const wordsOf = (mapping, offset, count) => {
  const { buffer, byteOffset } = mapping.view(offset, 4 * count);
  return new Int32Array(buffer, byteOffset, count);
};

export class Crowd {
  #memory;
  #part;
  #members = [];
  #failure;
  #gone = 0;
  #born = 0;

  /** @param {{ part: string, bytes: number }} options */
  constructor({ part, bytes }) {
    this.#part = part;
    this.#memory = SharedMemory.create(null, { size: bytes });
    this.mapping = this.#memory.map();
    this.stop = wordsOf(this.mapping, STOP, 1);
  }

  /** How many were killed. */
  get killed() {
    return this.#gone;
  }

  /** Throws what went wrong in one of them. */
  check() {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Starts somebody in a place; who was there before must be gone. Answers its number, from 1. */
  add(place, role, data = {}) {
    const born = ++this.#born;
    const given = JSON.stringify({ ...data, place, born });
    const child = fork(program, [this.#part, role, given], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc', this.#memory.fd],
    });
    const member = { child, born, role, data, mine: false, gone: undefined };
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
    member.gone = once(child, 'close').then(([code, signal]) => {
      if (code === 0 || (member.mine && signal === 'SIGKILL')) return;
      this.#failure ??= new Error(`${role} ended with ${signal ?? `exit code ${code}`}: ${said}`);
    });
    this.#members[place] = member;
    return born;
  }

  /** Kills who is in a place; resolves when nothing of it runs. Answers its number. */
  async kill(place) {
    const member = this.#members[place];
    member.mine = true;
    member.child.kill('SIGKILL');
    await member.gone;
    this.#gone++;
    this.check();
    return member.born;
  }

  /** Starts another one like the one that was killed in a place. */
  restart(place) {
    const { role, data } = this.#members[place];
    this.add(place, role, data);
  }

  async replace(place) {
    const killed = await this.kill(place);
    this.restart(place);
    return killed;
  }

  /** Lets all of them end what they do; they must end well. */
  async finish() {
    Atomics.store(this.stop, 0, 1);
    await Promise.all(this.#members.map(({ gone }) => gone));
    this.check();
  }

  async close() {
    for (const member of this.#members) {
      member.mine = true;
      member.child.kill('SIGKILL');
    }
    await Promise.all(this.#members.map(({ gone }) => gone));
    this.mapping.unmap();
    this.#memory.close();
  }
}
