// What is said about a region or a hole: in the panel, and in short beside the pointer.

import { element, swatch } from './dom.js';
import { amount, bytes, exactBytes, percent, plural, whole } from './format.js';
import { lengthOf, rangeText, regionAt, type Hole, type Region } from './model.js';
import { accessWords, OWNERS } from './owners.js';
import { isRegion, type PageState } from './state.js';
import type { Theme } from './theme.js';

const memoryText = (region: Region, count: number | undefined): string =>
  count === undefined ? 'not known' : `${bytes(count)}, ${percent(count, lengthOf(region))}`;

export function shortly(what: Region | Hole): HTMLElement[] {
  const line = (...texts: string[]) => element('div', {}, texts.join(' · '));
  if (!isRegion(what)) {
    return [
      element('strong', {}, `Free: ${bytes(lengthOf(what))}`),
      line('Nobody has mapped anything here'),
      line(rangeText(what)),
    ];
  }
  const owner = OWNERS[what.kind].title;
  return [
    element('strong', {}, `${what.certain ? '' : '? '}${what.label}`),
    line(owner, bytes(lengthOf(what)), what.protection),
    line(`in memory: ${memoryText(what, what.resident)}`),
    line(rangeText(what)),
  ];
}

type Row = [string, Node | string];

function gauge(region: Region, count: number | undefined): Node | string {
  if (count === undefined) return 'not known';
  const meter = element('meter', { min: 0, max: lengthOf(region), value: count });
  return element('span', {}, meter, memoryText(region, count));
}

function rowsOf(region: Region): Row[] {
  const length = lengthOf(region);
  const rows: Row[] = [
    ['Addresses', element('code', {}, rangeText(region))],
    ['Size', `${bytes(length)} (${exactBytes(length)})`],
    ['Access', `${region.protection}: ${accessWords(region.protection)}`],
    ['Sharing', region.shared ? 'shared: writes reach the file or other processes' : 'private'],
    ['In memory', gauge(region, region.resident)],
    ['Written', gauge(region, region.dirty)],
  ];
  if (region.swapped) rows.push(['Swapped out', bytes(region.swapped)]);
  if (region.hugePages) rows.push(['Huge pages', bytes(region.hugePages)]);
  if (region.path !== undefined) {
    const from = region.path.startsWith('[') ? 'Kernel’s name' : 'File';
    rows.push([from, element('code', {}, region.path)]);
    if (!region.path.startsWith('[')) rows.push(['From byte', whole(region.offset)]);
  }
  return rows;
}

function list(rows: readonly Row[]): HTMLElement {
  const cells = rows.flatMap(([name, value]) => [
    element('dt', {}, name),
    element('dd', {}, value),
  ]);
  return element('dl', {}, ...cells);
}

function neighbourRow(name: string, state: PageState, address: number): Row {
  const { regions } = state.moment;
  const region = regionAt(regions, address);
  if (region) return [name, `${region.label} (${OWNERS[region.kind].title})`];
  const hole = regionAt(state.moment.holes, address);
  return [name, hole ? `free: ${bytes(lengthOf(hole))}` : 'the end of the address space'];
}

function neighbours(what: Hole, state: PageState): Row[] {
  const below = neighbourRow('Below', state, what.start - state.data.pageSize);
  return what.start === 0
    ? [neighbourRow('Above', state, what.end)]
    : [below, neighbourRow('Above', state, what.end)];
}

const GUIDE = [
  'From left to right lie the addresses, from 0 to the highest that a program can use. Each owner has a band, and a block in it is one region.',
  'How full a block is shows how much of it is in memory. Addresses cost nothing: only what is filled does.',
  'Striped blocks allow no access. They are taken, not free: somebody keeps the addresses for later, or as a guard.',
  'The row “free” is what nobody has mapped, and ★ the largest block that one mapping could still get.',
  'Point at something to see what it is; click to keep it here; double-click or Z to zoom to it. N and P go from region to region, ? shows all keys.',
];

/** The panel for a region, for a hole, or for nothing. */
export function describe(
  what: Region | Hole | undefined,
  state: PageState,
  theme: Theme,
): (Node | string)[] {
  if (what === undefined) {
    const items = GUIDE.map((text) => element('li', {}, text));
    return [element('h2', {}, 'How to read this'), element('ul', {}, ...items)];
  }
  if (!isRegion(what)) {
    const isBest = what === state.moment.largest;
    const says = isBest
      ? 'The largest block of addresses that nobody has mapped.'
      : 'Nobody has mapped anything here.';
    return [
      element('h2', {}, `${isBest ? '★ ' : ''}Free: ${bytes(lengthOf(what))}`),
      element('p', {}, says),
      list([['Addresses', element('code', {}, rangeText(what))], ...neighbours(what, state)]),
    ];
  }
  const { title, says } = OWNERS[what.kind];
  const guess = element(
    'span',
    { class: 'badge', title: 'memmap concluded this from size, access and place' },
    '? a guess',
  );
  const heading = element('h2', {}, swatch(theme.owner(what.kind)), ` ${what.label} `);
  return [
    heading,
    what.certain ? '' : guess,
    element('p', {}, element('strong', {}, `${title}. `), says),
    list([...rowsOf(what), ...neighbours(what, state)]),
  ];
}

/** The paragraph and the numbers at the top of the page. */
export function summarize(state: PageState): (Node | string)[] {
  const { totals, largest: hole } = state.moment;
  const { resident, dirty, swapped } = totals;
  const least = totals.partial ? 'At least ' : '';
  const memory =
    resident === undefined
      ? 'How much of it is in memory is not known.'
      : `${least}${bytes(resident)} of it (${percent(resident, totals.mapped)}) is in memory, and ${amount(dirty)} was written.`;
  const kept =
    totals.inaccessible > 0
      ? ` ${bytes(totals.inaccessible)} allow no access: they are kept so that nobody else gets them, and cost nothing.`
      : '';
  const sentence =
    totals.regions === 0
      ? 'This process has mapped nothing.'
      : `This process has ${bytes(totals.mapped)} of addresses in ${plural(totals.regions, 'region')}. ${memory}${kept}`;
  const tile = (name: string, value: string) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, value));
  const tiles = element(
    'dl',
    { class: 'tiles' },
    tile('addresses taken', bytes(totals.mapped)),
    tile('in memory', amount(resident)),
    tile('written', amount(dirty)),
    swapped ? tile('swapped out', bytes(swapped)) : undefined,
    tile('regions', whole(totals.regions)),
    tile('holes', whole(state.moment.holes.length)),
    tile('largest free block', hole ? bytes(lengthOf(hole)) : '–'),
  );
  return [element('p', {}, sentence), tiles];
}
