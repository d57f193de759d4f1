// The life of a process on the page: the slider, the curve, the calls.

import { madeUpTrace, pageData } from '../helpers/address-spaces';
import { noBrowser, TestBrowser } from '../helpers/browser';
import { itUnless } from '../helpers/refusals';

const it_ = itUnless(noBrowser);
const browser = new TestBrowser();
afterAll(() => browser.close());

const trace = madeUpTrace();
const open = () => browser.open(pageData(trace.snapshots.at(-1)!.regions, { trace }));

it_('starts at the end, with the curve and what was refused and reported', async () => {
  const opened = await open();
  expect(await opened.state()).toMatchObject({ time: trace.durationMs, events: 400 });
  expect(await opened.text('#life')).toMatch(/400 calls, 1 refused, 1 reported/);
  expect(await opened.text('#life')).toMatch(/5 regions \(3 MiB\) at the end came from calls/);
  expect(await opened.text('#clock')).toBe('2.00 s of 2.00 s, call 400 of 400');
  // Where the refused call was stands a mark, in the colour of what is bad.
  const at = trace.events.find(({ verdict }) => verdict === 'refused')!.time;
  const width: number = await opened.page.evaluate('document.querySelector("#chart").clientWidth');
  const begin = trace.snapshots[0]!.time;
  const x = ((at - begin) / (trace.durationMs - begin)) * width;
  const near = await Promise.all([72, 73, 74, 75].map((y) => opened.pixel(x, y, '#chart')));
  expect(near).toContainEqual([0xb3, 0x26, 0x1e]);
  expect(opened.problems).toEqual([]);
});

it_('draws what was mapped at the time that the slider is at', async () => {
  const opened = await open();
  const end = await opened.state();
  const after = await opened.picture();
  await opened.page.fill('#time', '300');
  const earlier = await opened.state();
  expect(earlier.time).toBeCloseTo(10 + 0.3 * (trace.durationMs - 10), 5);
  expect(earlier.events).toBe(trace.events.filter(({ time }) => time <= earlier.time).length);
  expect(earlier.regions).not.toBe(end.regions);
  expect(await opened.picture()).not.toBe(after);
  expect(await opened.text('#summary')).toMatch(`in ${String(earlier.regions)} regions`);
  expect(await opened.text('#events li:first-child')).toMatch(/mmap|munmap|mprotect/);
  // And forward again: the very same picture.
  await opened.page.fill('#time', '1000');
  expect((await opened.state()).regions).toBe(end.regions);
  expect(await opened.picture()).toBe(after);
  expect(opened.problems).toEqual([]);
});

it_('goes to a moment by a click on the curve', async () => {
  const opened = await open();
  const box = (await opened.page.locator('#chart').boundingBox())!;
  await opened.page.mouse.click(box.x + box.width / 2, box.y + 40);
  const { time } = await opened.state();
  expect(Math.abs(time - trace.durationMs / 2)).toBeLessThan(trace.durationMs / 50);
  expect(opened.problems).toEqual([]);
});

it_('keeps an address selected while time goes on', async () => {
  const opened = await open();
  await opened.page.fill('#query', 'data.bin');
  await opened.press('Enter', 'Escape');
  await opened.page.fill('#time', '0');
  expect((await opened.state()).selected).toMatchObject({ kind: 'mapping' });
  await opened.page.fill('#time', '1000');
  await opened.page.fill('#query', '0x7f50');
  await opened.press('Enter', 'Escape');
  expect((await opened.state()).selected).toBeDefined();
  await opened.page.fill('#time', '0');
  // Nobody had mapped it then.
  expect((await opened.state()).selected).toMatchObject({ kind: 'free' });
  expect(opened.problems).toEqual([]);
});

it_('plays, and pauses', async () => {
  const opened = await open();
  await opened.page.fill('#time', '0');
  const { time } = await opened.state();
  await opened.page.evaluate('document.activeElement.blur()');
  expect((await opened.press('Space')).playing).toBe(true);
  expect(await opened.page.getAttribute('#play', 'aria-label')).toBe('Pause');
  await opened.page.waitForFunction(hasMoved, time + 100);
  const paused = await opened.click('#play');
  expect(paused.playing).toBe(false);
  expect(paused.time).toBeGreaterThan(time);
  expect((await opened.state()).time).toBe(paused.time);
  expect(opened.problems).toEqual([]);
});

const hasMoved = (to: number): boolean =>
  (globalThis as unknown as { memmapView: { state(): { time: number } } }).memmapView.state().time >
  to;

it_('plays a hundred thousand calls, forward and back', async () => {
  const long = madeUpTrace({ calls: 100_000 });
  const opened = await browser.open(pageData(long.snapshots.at(-1)!.regions, { trace: long }));
  const { events, regions } = await opened.state();
  expect(events).toBe(100_000);
  await opened.page.fill('#time', '500');
  expect((await opened.state()).events).toBeLessThan(60_000);
  await opened.page.fill('#time', '1000');
  expect((await opened.state()).regions).toBe(regions);
  expect(opened.problems).toEqual([]);
});

it_('has no slider where nothing was recorded', async () => {
  const opened = await browser.open(pageData(trace.snapshots[0]!.regions));
  await opened.state();
  expect(await opened.page.isVisible('#life')).toBe(false);
  await opened.press('Space');
  expect(opened.problems).toEqual([]);
});
