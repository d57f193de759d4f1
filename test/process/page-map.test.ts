// The map of the page, clicked through in a browser.

import { manyRegions, pageData, region, smallProcess } from '../helpers/address-spaces';
import { noBrowser, TestBrowser, type OpenPage } from '../helpers/browser';
import { itUnless } from '../helpers/refusals';

const it_ = itUnless(noBrowser);
const browser = new TestBrowser();
afterAll(() => browser.close());

const open = () => browser.open(pageData(smallProcess()));

const sizeOf = ({ window: [start, end] }: { window: [string, string] }): number =>
  Number(BigInt(end) - BigInt(start));

const data = { start: '0x7f1240000000', end: 0x7f12_4400_0000, length: 64 * 2 ** 20 };

/** The middle of a band. */
const middleOf = ({ top, height }: { top: number; height: number }): number => top + height / 2;

async function leastProblems(opened: OpenPage): Promise<void> {
  await opened.state();
  expect(opened.problems).toEqual([]);
}

it_('draws every region, the whole address space, and asks the network for nothing', async () => {
  const opened = await open();
  const state = await opened.state();
  expect(state).toMatchObject({
    ...{ scale: 'folded', regions: 12, theme: 'light', hidden: [], colouring: 'owner' },
    window: ['0x0', '0xffffffffff601000'],
    largest: { start: '0x1234567c0000', end: '0x7f1000000000' },
  });
  // One band for each kind, and each region in its own.
  expect(Object.keys(state.lanes).sort()).toEqual(
    [...new Set(smallProcess().map(({ owner }) => owner.kind))].sort(),
  );
  expect(state.drawn).toBe(12);
  expect(await opened.text('#title')).toBe('node app.js');
  expect(await opened.text('#summary')).toMatch(/in 12 regions.*109 TiB/s);
  await leastProblems(opened);
});

it_('zooms by wheel, keys and buttons, from everything to one page', async () => {
  const opened = await open();
  const whole = await opened.state();
  await opened.point(300, 100);
  await opened.page.mouse.wheel(0, -600);
  const wheeled = await opened.state();
  expect(sizeOf(wheeled)).toBeLessThan(sizeOf(whole));
  const keyed = await opened.press('+', '+');
  expect(sizeOf(keyed)).toBeLessThan(sizeOf(wheeled));
  const back = await opened.press('-', '-');
  expect(sizeOf(back)).toBeGreaterThan(sizeOf(keyed));
  expect(sizeOf(await opened.click('#zoom-in'))).toBeLessThan(sizeOf(back));
  expect((await opened.press('0')).window).toEqual(whole.window);

  const linear = await opened.click('#linear');
  expect(linear).toMatchObject({ scale: 'linear', window: ['0x0', '0x800000000000'] });
  await opened.press(...Array<string>(40).fill('+'));
  // One page, give or take what a number of 47 bits loses.
  expect(sizeOf(await opened.state())).toBeLessThanOrEqual(4096 + 64);
  expect(sizeOf(await opened.state())).toBeGreaterThanOrEqual(4096 - 64);
  await leastProblems(opened);
});

it_('pans by keys and by dragging', async () => {
  const opened = await open();
  const near = await opened.press('+', '+');
  const right = await opened.press('ArrowRight');
  expect(BigInt(right.window[0])).toBeGreaterThan(BigInt(near.window[0]));
  const left = await opened.press('ArrowLeft');
  expect(BigInt(left.window[0])).toBeLessThan(BigInt(right.window[0]));
  await opened.point(200, 100);
  await opened.page.mouse.down();
  await opened.page.mouse.move(700, 500, { steps: 4 });
  await opened.page.mouse.up();
  const dragged = await opened.state();
  expect(BigInt(dragged.window[0])).toBeLessThan(BigInt(left.window[0]));
  await leastProblems(opened);
});

it_('keeps what is shown when the scale changes', async () => {
  const opened = await open();
  await opened.page.fill('#query', 'data.bin');
  const folded = await opened.press('Enter');
  expect(folded.selected).toMatchObject({ start: data.start, length: data.length });
  await opened.press('Escape');
  await opened.page.keyboard.press('Escape');
  const linear = await opened.click('#linear');
  expect(Number(linear.window[0])).toBeLessThanOrEqual(Number(data.start));
  expect(Number(linear.window[1])).toBeGreaterThanOrEqual(data.end);
  await leastProblems(opened);
});

it_('goes from region to region, and says what is selected', async () => {
  const opened = await open();
  const starts: string[] = [];
  for (let step = 0; step < 4; step++) {
    starts.push((await opened.press('n')).selected?.start ?? 'none');
  }
  expect(starts).toEqual(
    smallProcess()
      .slice(0, 4)
      .map(({ start }) => start),
  );
  expect((await opened.press('p', '[')).selected?.start).toBe(starts[1]);
  expect(await opened.text('#detail')).toMatch(/node.*Program.*1 MiB.*read and write/s);
  expect((await opened.press('Escape')).selected).toBeUndefined();
  expect(await opened.text('#detail')).toMatch(/How to read this/);
  await leastProblems(opened);
});

it_('shows what is under the pointer, and keeps it on a click', async () => {
  const opened = await open();
  await opened.page.fill('#query', 'data.bin');
  await opened.press('Enter', 'Escape');
  const state = await opened.state();
  const y = middleOf(state.lanes['mapping']!);
  const width: number = await opened.page.evaluate('document.querySelector("#canvas").clientWidth');
  expect((await opened.point(width / 2, y)).hovered).toBe(data.start);
  expect(await opened.text('#tip')).toMatch(/data\.bin.*64 MiB.*16 MiB, 25 %/s);
  await opened.page.mouse.down();
  await opened.page.mouse.up();
  expect((await opened.state()).selected?.start).toBe(data.start);
  expect(await opened.text('#detail')).toMatch(
    /data\.bin.*0x7f1240000000 – 0x7f1244000000.*67.108.864 bytes.*shared.*\/srv\/data\.bin.*From byte\s+32.768/s,
  );
  await leastProblems(opened);
});

it_('fills a block as far as it is in memory, in the colour of its owner', async () => {
  const opened = await open();
  await opened.page.fill('#query', 'data.bin');
  await opened.press('Enter', 'Escape');
  await opened.press('Escape');
  const { lanes } = await opened.state();
  const { top, height } = lanes['mapping']!;
  const width: number = await opened.page.evaluate('document.querySelector("#canvas").clientWidth');
  const x = width * 0.6;
  // A quarter of it is in memory: the colour below, pale above. The label is further left.
  expect(await opened.pixel(x, top + height - 5)).toEqual([0, 0x72, 0xb2]);
  const [red = 0] = await opened.pixel(x, top + 6);
  expect(red).toBeGreaterThan(150);
  await opened.page.selectOption('#colouring', 'resident');
  const heat = await opened.pixel(x, top + 6);
  expect(heat).toEqual(await opened.pixel(x, top + height - 5));
  expect(heat).toEqual(await opened.pixel(x, middleOf(lanes['mapping']!)));
  await opened.page.selectOption('#colouring', 'access');
  expect(await opened.pixel(x, top + 6)).not.toEqual(heat);
  await leastProblems(opened);
});

it_('shows the largest free block, and goes there', async () => {
  const opened = await open();
  const found = await opened.click('#fit');
  expect(found.selected).toMatchObject({ start: '0x1234567c0000', kind: 'free' });
  expect(await opened.text('#detail')).toMatch(/★ Free: 109 TiB.*largest.*V8 heap.*V8 cage/s);
  await leastProblems(opened);
});

it_('jumps from the strip of everything, and from the list of the biggest', async () => {
  const opened = await open();
  const box = (await opened.page.locator('#overview').boundingBox())!;
  await opened.page.mouse.click(box.x + box.width * 0.9, box.y + 10);
  const near = await opened.state();
  expect(Number(near.window[0])).toBeGreaterThan(0x7f10_0000_0000);
  await opened.click('#biggest li:first-child button');
  expect((await opened.state()).selected).toMatchObject({ kind: 'v8-cage' });
  await opened.page.selectOption('#biggest-by', 'dirty');
  expect((await opened.click('#biggest li:first-child button')).selected?.kind).toBe('mapping');
  await leastProblems(opened);
});

it_('hides and shows bands', async () => {
  const opened = await open();
  const before = await opened.state();
  const y = middleOf(before.lanes['v8-cage']!);
  const seen = await opened.picture();
  const without = await opened.click('[data-kind=v8-cage]');
  expect(without).toMatchObject({ hidden: ['v8-cage'], drawn: before.drawn - 1 });
  expect(await opened.picture()).not.toBe(seen);
  expect((await opened.point(400, y)).hovered).toBeUndefined();
  expect(await opened.page.getAttribute('[data-kind=v8-cage]', 'aria-pressed')).toBe('false');
  // What was pressed keeps the focus.
  expect((await opened.press('Enter')).hidden).toEqual([]);
  await opened.page.focus('[data-only=executable]');
  const only = await opened.press('Enter');
  expect(only.hidden.sort()).toEqual(
    Object.keys(before.lanes)
      .filter((kind) => kind !== 'executable')
      .sort(),
  );
  expect(only.drawn).toBe(2);
  expect((await opened.press('Enter')).hidden).toEqual([]);
  await leastProblems(opened);
});

it_('draws sixty thousand regions soon, and zooms into them', async () => {
  const opened = await browser.open(pageData(manyRegions(60_000)));
  const state = await opened.state();
  expect(state.regions).toBe(60_000);
  // Not one block for each: what shares a pixel is drawn once.
  expect(state.drawn).toBeLessThan(20_000);
  process.stderr.write(`sixty thousand regions were drawn after ${state.loaded.toFixed(0)} ms\n`);
  await opened.page.fill('#query', '/srv/files/59');
  expect((await opened.state()).found).toBeGreaterThan(1);
  const jumped = await opened.press('Enter');
  expect(jumped.selected?.kind).toBe('file');
  expect(jumped.drawn).toBeLessThan(20);
  await leastProblems(opened);
});

it_('has something to say about nothing, and about one region', async () => {
  const nothing = await browser.open(pageData([]));
  expect(await nothing.state()).toMatchObject({ regions: 0, drawn: 0 });
  expect(await nothing.text('#summary')).toMatch(/mapped nothing/);
  await nothing.press('n', '+', 'z', 'f', 'p', 'ArrowLeft', '0', 'Escape');
  await leastProblems(nothing);

  const one = await browser.open(pageData([region(2 ** 46, 4096, { label: 'lonely' })]));
  expect((await one.press('n')).selected?.start).toBe('0x400000000000');
  expect((await one.press('z')).drawn).toBe(1);
  expect((await one.press('f')).scale).toBe('linear');
  await leastProblems(one);
});

it_('does not lose what the kernel has above all programs', async () => {
  const opened = await open();
  await opened.click('#linear');
  await opened.page.fill('#query', 'vsyscall');
  // It is not on the true scale, so the page goes where it is.
  expect(await opened.press('Enter')).toMatchObject({
    scale: 'folded',
    selected: { start: '0xffffffffff600000' },
  });
  await leastProblems(opened);
});
