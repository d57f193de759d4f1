import { mapAnonymous } from '../../lib/index';
import { Cell } from '../../lib/shared/cell';
import { type Quest, waitFor, waitLater } from '../../lib/shared/waits';

const forEver = { timeout: Infinity, spins: 0, signal: undefined };

describe('what was got on the way is let go where', () => {
  const own = new Error('it was this');
  const spot = { mapping: mapAnonymous(4096, { shared: true }), offset: 0 };
  const fail = (): never => {
    throw own;
  };
  const parts: Record<string, Partial<Quest<number>>> = {
    'an attempt throws': { attempt: fail },
    'it cannot lie down': { rest: fail },
    'it cannot sleep': { rest: () => ({ ...spot, offset: 2, value: 0 }) },
    'its time is up': {},
  };
  it.each(Object.entries(parts))('%s', async (what, part) => {
    let givenUp = 0;
    const quest: Quest<number> = {
      missed: 'nothing was there',
      attempt: () => undefined,
      rest: () => ({ ...spot, value: 0 }),
      giveUp: () => {
        givenUp++;
      },
      ...part,
    };
    const times = what === 'its time is up' ? { ...forEver, timeout: 1 } : forEver;
    const expected = what.includes('time')
      ? { code: 'ERR_MEMMAP_TIMEOUT' }
      : what.includes('sleep')
        ? { code: 'ERR_MEMMAP_ARGUMENT' }
        : own;
    expect(() => waitFor(quest, times)).toThrow(expect.objectContaining(expected));
    expect(givenUp).toBe(1);
    await expect(waitLater(quest, times)).rejects.toMatchObject(expected);
    expect(givenUp).toBe(2);
  });
});

it('who gives up where another one came first asks that one to wake the next', () => {
  const memory = mapAnonymous(4096, { shared: true });
  const [holder, waiter] = [new Cell(memory, 0), new Cell(memory, 0)];
  holder.take();
  waiter.expectWaiters();
  holder.leave();
  holder.take();
  holder.words[0] = (holder.words[0] ?? 0) & 0x7fffffff;
  waiter.giveUp();
  expect(holder.words[0]).toBeLessThan(0);
  holder.leave();
  memory.unmap();
  expect(() => waiter.giveUp()).not.toThrow();
});
