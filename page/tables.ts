// The map in words: the biggest regions, a table by owner, and a table of every region. Everything the map shows is here for
// those who do not see it.

import { element, redrawn, swatch } from './dom.js';
import { amount, bytes, hex, plural, whole } from './format.js';
import { lengthOf, type Region } from './model.js';
import { KINDS, OWNERS } from './owners.js';
import type { PageState } from './state.js';
import type { Theme } from './theme.js';

export type Measure = 'mapped' | 'resident' | 'dirty';

const measure = (region: Region, by: Measure): number =>
  by === 'mapped' ? lengthOf(region) : (region[by] ?? 0);

const BIGGEST = 10;

export function drawBiggest(
  root: HTMLElement,
  state: PageState,
  { by, theme, jump }: { by: Measure; theme: Theme; jump: (region: Region) => void },
): void {
  const found = state.visible
    .filter((region) => measure(region, by) > 0)
    .sort((a, b) => measure(b, by) - measure(a, by))
    .slice(0, BIGGEST);
  const most = found[0] ? measure(found[0], by) : 1;
  const rows = found.map((region) => {
    const bar = element('span', { class: 'share', 'aria-hidden': 'true' });
    bar.style.width = `${String((100 * measure(region, by)) / most)}%`;
    bar.style.backgroundColor = theme.owner(region.kind);
    const button = element(
      'button',
      { type: 'button', title: `${hex(region.start)}, ${OWNERS[region.kind].title}` },
      bar,
      swatch(theme.owner(region.kind)),
      element('span', { class: 'name' }, `${region.certain ? '' : '? '}${region.label}`),
      element('span', { class: 'note mono' }, region.protection),
      element('span', { class: 'number' }, bytes(measure(region, by))),
    );
    button.addEventListener('click', () => jump(region));
    return element('li', {}, button);
  });
  const none = element('li', { class: 'note' }, 'Nothing to show.');
  redrawn(root, ...(rows.length > 0 ? rows : [none]));
}

const headings = (names: readonly string[], numbers: ReadonlySet<string>): HTMLElement[] =>
  names.map((name) =>
    element('th', { scope: 'col', class: numbers.has(name) ? 'number' : undefined }, name),
  );

const number = (text: string): HTMLElement => element('td', { class: 'number' }, text);

export function drawOwners(table: HTMLTableElement, state: PageState, theme: Theme): void {
  const rows = KINDS.flatMap((kind) => {
    const totals = state.moment.kinds.get(kind);
    if (totals === undefined) return [];
    const { title, says } = OWNERS[kind];
    const name = element('th', { scope: 'row' }, swatch(theme.owner(kind)), ` ${title}`);
    const guesses = state.moment.regions.filter(
      (region) => region.kind === kind && !region.certain,
    );
    const guessed = guesses.length > 0 ? ` ${whole(guesses.length)} of them guessed.` : '';
    return [
      element(
        'tr',
        {},
        name,
        element('td', {}, `${says}${guessed}`),
        number(whole(totals.regions)),
        number(bytes(totals.mapped)),
        number(amount(totals.resident)),
        number(amount(totals.dirty)),
      ),
    ];
  });
  const names = ['Owner', 'What it is', 'Regions', 'Addresses', 'In memory', 'Written'];
  const head = element('tr', {}, ...headings(names, new Set(names.slice(2))));
  table.replaceChildren(element('thead', {}, head), element('tbody', {}, ...rows));
}

interface Column {
  name: string;
  number?: boolean;
  text(region: Region): string;
  order(region: Region): number | string;
}

const COLUMNS: readonly Column[] = [
  { name: 'Start', text: ({ start }) => hex(start), order: ({ start }) => start },
  { name: 'End', text: ({ end }) => hex(end), order: ({ end }) => end },
  { name: 'Size', number: true, text: (one) => bytes(lengthOf(one)), order: lengthOf },
  { name: 'Access', text: (one) => one.protection, order: (one) => one.protection },
  {
    name: 'In memory',
    number: true,
    text: (one) => amount(one.resident),
    order: (one) => one.resident ?? -1,
  },
  {
    name: 'Written',
    number: true,
    text: (one) => amount(one.dirty),
    order: (one) => one.dirty ?? -1,
  },
  {
    name: 'Owner',
    text: ({ kind, certain }) => `${certain ? '' : '? '}${OWNERS[kind].title}`,
    order: ({ kind }) => KINDS.indexOf(kind),
  },
  {
    name: 'Name',
    text: ({ label, path }) => (path?.endsWith(label) ? path : `${label} ${path ?? ''}`),
    order: ({ label }) => label,
  },
];

/** More rows than this at once make a page slow. */
const ROWS = 200;

export class RegionTable {
  readonly #table: HTMLTableElement;
  readonly #more: HTMLButtonElement;
  readonly #state: PageState;
  readonly #jump: (region: Region) => void;
  #column = 0;
  #direction: 1 | -1 = 1;
  #shown = ROWS;
  open = false;

  constructor(
    table: HTMLTableElement,
    more: HTMLButtonElement,
    { state, jump }: { state: PageState; jump: (region: Region) => void },
  ) {
    this.#table = table;
    this.#more = more;
    this.#state = state;
    this.#jump = jump;
    more.addEventListener('click', () => {
      this.#shown += ROWS;
      this.draw();
    });
  }

  #sorted(): Region[] {
    const column = COLUMNS[this.#column];
    if (column === undefined) return this.#state.visible;
    const compare = (a: Region, b: Region): number => {
      const [left, right] = [column.order(a), column.order(b)];
      const order =
        typeof left === 'string' ? left.localeCompare(String(right)) : left - Number(right);
      return order * this.#direction || a.start - b.start;
    };
    return this.#state.visible.sort(compare);
  }

  #heading(column: Column, at: number): HTMLElement {
    const here = at === this.#column;
    const way = this.#direction === 1 ? 'ascending' : 'descending';
    const sign = here ? (this.#direction === 1 ? ' ▲' : ' ▼') : '';
    const button = element('button', { type: 'button' }, `${column.name}${sign}`);
    button.addEventListener('click', () => {
      this.#direction = here ? (this.#direction === 1 ? -1 : 1) : column.number ? -1 : 1;
      this.#column = at;
      this.draw();
    });
    const attributes = { scope: 'col', class: column.number ? 'number' : undefined };
    return element('th', { ...attributes, 'aria-sort': here ? way : undefined }, button);
  }

  #row(region: Region): HTMLElement {
    const cells = COLUMNS.map((column, at) => {
      const text = column.text(region);
      if (at > 0) return element('td', { class: column.number ? 'number' : 'path' }, text);
      const link = element('button', { type: 'button', class: 'mono' }, text);
      link.addEventListener('click', () => this.#jump(region));
      return element('td', {}, link);
    });
    return element('tr', {}, ...cells);
  }

  draw(): void {
    if (!this.open) return;
    const sorted = this.#sorted();
    const rows = sorted.slice(0, this.#shown).map((region) => this.#row(region));
    const head = element('tr', {}, ...COLUMNS.map((column, at) => this.#heading(column, at)));
    redrawn(this.#table, element('thead', {}, head), element('tbody', {}, ...rows));
    const left = sorted.length - rows.length;
    this.#more.hidden = left <= 0;
    this.#more.textContent = `Show more: ${plural(left, 'region is', 'regions are')} left`;
  }
}
