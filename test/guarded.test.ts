// guarded(): what it takes, what it gives, and which faults it throws.

import { truncateSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { FaultError, Mapping, mapFileSync, pageSize } from '../lib/index.js';
import { memmapSays, refused, refusedLater } from './helpers/refusals.js';
import { damagedForEach, lose, m, original, path, told } from './helpers/damaged.js';

damagedForEach();

describe('guarded', () => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['5', 5],
    ["the string 'x'", 'x'],
    ['an object', {}],
    ['an object', [() => 1]],
    ['an object', Promise.resolve()],
  ])('refuses %s', (shown, value) => {
    expect(refused(() => m.guarded(value as () => number))).toMatchObject({
      ...memmapSays('ARGUMENT'),
      argument: 'fn',
      message: `fn must be a function; got ${shown}`,
    });
  });

  it.each<[string, unknown]>([
    ['an object', {}],
    ['undefined', undefined],
    ['an object', Mapping.prototype],
  ])('refuses %s as its mapping', (shown, receiver) => {
    let ran = false;
    const { guarded } = Mapping.prototype;
    expect(refused(() => guarded.call(receiver as Mapping, () => (ran = true)))).toMatchObject({
      ...memmapSays('ARGUMENT'),
      message: `this must be a Mapping; got ${shown}`,
    });
    expect(ran).toBe(false);
  });

  it('refuses a mapping that is gone, and does not call', () => {
    m.unmap();
    let ran = false;
    expect(refused(() => m.guarded(() => (ran = true)))).toMatchObject(memmapSays('UNMAPPED'));
    expect(ran).toBe(false);
  });

  it('gives what the function gives, throws what it throws', async () => {
    const thrown = new Error('mine');
    expect(m.guarded(() => m.buffer[1])).toBe(original[1]);
    const fail = () => {
      throw thrown;
    };
    expect(refused(() => m.guarded(fail))).toBe(thrown);
    await expect(m.guarded(() => Promise.resolve(7))).resolves.toBe(7);
    await expect(m.guarded(() => Promise.reject(thrown))).rejects.toBe(thrown);
    expect('cause' in thrown).toBe(false);
  });

  it('throws the first fault that happened meanwhile, and the listener hears it too', async () => {
    truncateSync(path, pageSize);
    const error = refused(() => m.guarded(() => m.buffer[2 * pageSize]));
    expect(error).toBeInstanceOf(FaultError);
    expect(error).toMatchObject({ kind: 'truncated', offset: 2 * pageSize, syscall: 'page_fault' });
    expect('cause' in error).toBe(false);
    await turn();
    expect(told).toHaveLength(1);
  });

  it('does not throw for what was before, or happened in another mapping', () => {
    lose(2);
    expect(m.guarded(() => m.buffer[3 * pageSize])).toBe(0);
    const other = mapFileSync(path);
    expect(other.guarded(() => m.buffer[pageSize])).toBe(original[pageSize]);
    truncateSync(path, 0);
    expect(other.guarded(() => m.buffer[pageSize])).toBe(0);
    other.unmap();
  });

  it('has what the function threw as the cause', async () => {
    truncateSync(path, pageSize);
    const mine = new RangeError('what zeros lead to');
    const fail = (page: number): never => {
      if (m.buffer[page * pageSize] === 0) throw mine;
      throw new Error('no zero');
    };
    expect(refused(() => m.guarded(() => fail(1))).cause).toBe(mine);
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is a rejection here
    const later = m.guarded(async () => fail(2));
    expect((await refusedLater(later)).cause).toBe(mine);
  });

  it('waits for a promise, and for anything that has a then', async () => {
    truncateSync(path, pageSize);
    const first = m.guarded(async () => {
      await turn();
      return m.buffer[pageSize];
    });
    expect(await refusedLater(first)).toMatchObject({ kind: 'truncated', offset: pageSize });
    const then = (done: (value: unknown) => void): void => done(m.buffer[2 * pageSize]);
    const second = m.guarded(() => ({ then })) as unknown as Promise<unknown>;
    expect(await refusedLater(second)).toMatchObject({ offset: 2 * pageSize });
  });

  it('within another tells both', () => {
    truncateSync(path, pageSize);
    const errors: unknown[] = [];
    const outer = refused(() =>
      m.guarded(() => {
        errors.push(refused(() => m.guarded(() => m.buffer[pageSize])));
      }),
    );
    expect([outer, errors[0]]).toMatchObject([{ offset: pageSize }, { offset: pageSize }]);
  });

  it('outlives an unmap in the middle', () => {
    truncateSync(path, pageSize);
    const error = refused(() =>
      m.guarded(() => {
        expect(m.buffer[pageSize]).toBe(0);
        m.unmap();
      }),
    );
    expect(error).toMatchObject({ kind: 'truncated', offset: pageSize });
  });
});
