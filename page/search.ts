// Finds regions by address, path, owner or label. Enter goes to the one that is marked, and again to the next.

import { element, swatch } from './dom.js';
import { bytes, hex, plural } from './format.js';
import { lengthOf, type Hole, type Region } from './model.js';
import { OWNERS } from './owners.js';
import { isRegion, type PageState } from './state.js';
import type { Theme } from './theme.js';

const SHOWN = 40;

/** '0x7f12…', or enough hexadecimal digits to be nothing else. */
const ADDRESS = /^(0x[0-9a-f]+|[0-9a-f]{6,16})$/i;

/** What a text may mean: the region or hole at an address, and every region that has the text in its names. */
export function find(query: string, state: PageState): (Region | Hole)[] {
  const text = query.trim().toLowerCase();
  if (text === '') return [];
  const found: (Region | Hole)[] = [];
  if (ADDRESS.test(text)) {
    const here = state.at(Number(text.startsWith('0x') ? text : `0x${text}`));
    if (here) found.push(here);
  }
  const holds = (name: string | undefined): boolean => name?.toLowerCase().includes(text) ?? false;
  for (const region of state.moment.regions) {
    const { kind, label, path, start } = region;
    const named = [kind, label, path, OWNERS[kind].title].some(holds);
    const begins = text.length > 4 && hex(start).startsWith(text);
    if ((named || begins) && !found.includes(region)) found.push(region);
  }
  return found;
}

export class Search {
  readonly #input: HTMLInputElement;
  readonly #list: HTMLElement;
  readonly #state: PageState;
  readonly #jump: (what: Region | Hole) => void;
  #found: (Region | Hole)[] = [];
  #marked = -1;
  #theme: Theme;

  constructor(
    { input, list }: { input: HTMLInputElement; list: HTMLElement },
    { state, theme, jump }: { state: PageState; theme: Theme; jump: (what: Region | Hole) => void },
  ) {
    this.#input = input;
    this.#list = list;
    this.#state = state;
    this.#theme = theme;
    this.#jump = jump;
    input.addEventListener('input', () => this.#search());
    input.addEventListener('focus', () => this.#search());
    input.addEventListener('blur', () => this.close());
    input.addEventListener('keydown', (event) => this.#key(event));
    input.form?.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#mark(this.#marked + 1);
      this.#go();
    });
    // Before the field loses the focus, which closes the list.
    list.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      const option = (event.target as Element).closest<HTMLElement>('[role=option]');
      if (option === null) return;
      this.#mark(Number(option.dataset['at']));
      this.#go();
      this.close();
    });
  }

  get count(): number {
    return this.#found.length;
  }

  useTheme(theme: Theme): void {
    this.#theme = theme;
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  close(): void {
    this.#list.hidden = true;
    this.#input.setAttribute('aria-expanded', 'false');
    this.#input.removeAttribute('aria-activedescendant');
  }

  #search(): void {
    this.#found = find(this.#input.value, this.#state);
    this.#marked = -1;
    if (this.#input.value.trim() === '') {
      this.close();
      return;
    }
    this.#list.replaceChildren(
      ...this.#found.slice(0, SHOWN).map((what, at) => this.#option(what, at)),
      element('div', { class: 'note' }, this.#footer()),
    );
    this.#list.hidden = false;
    this.#input.setAttribute('aria-expanded', 'true');
  }

  #footer(): string {
    const count = this.#found.length;
    if (count === 0) return 'Nothing has this address or name.';
    const rest = count > SHOWN ? `, ${String(SHOWN)} shown` : '';
    return `${plural(count, 'match', 'matches')}${rest}. Enter goes to the next one.`;
  }

  #option(what: Region | Hole, at: number): HTMLElement {
    const colour = isRegion(what) ? this.#theme.owner(what.kind) : 'transparent';
    const name = isRegion(what) ? what.label : 'free';
    const where = `${hex(what.start)} · ${bytes(lengthOf(what))}`;
    return element(
      'div',
      { role: 'option', id: `found-${String(at)}`, 'data-at': at, 'aria-selected': 'false' },
      swatch(colour),
      element('span', {}, name),
      element('span', { class: 'note where mono' }, where),
    );
  }

  #mark(at: number): void {
    if (this.#found.length === 0) return;
    this.#marked = (at + this.#found.length) % this.#found.length;
    for (const option of this.#list.querySelectorAll<HTMLElement>('[role=option]')) {
      const here = Number(option.dataset['at']) === this.#marked;
      option.setAttribute('aria-selected', String(here));
      if (here) option.scrollIntoView({ block: 'nearest' });
    }
    this.#input.setAttribute('aria-activedescendant', `found-${String(this.#marked)}`);
  }

  #go(): void {
    const what = this.#found[this.#marked];
    if (what) this.#jump(what);
  }

  #key(event: KeyboardEvent): void {
    if (event.key === 'ArrowDown') this.#mark(this.#marked + 1);
    else if (event.key === 'ArrowUp') this.#mark(this.#marked - 1);
    else if (event.key === 'Escape') {
      this.close();
      this.#input.blur();
    } else return;
    event.preventDefault();
  }
}
