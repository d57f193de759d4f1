// The parts of the page, and who draws when what changed.

import type { PageData } from '../lib/cli/data.js';
import { byId } from './dom.js';
import { describe, shortly, summarize } from './describe.js';
import { bytes, hex, plural } from './format.js';
import { fillHelp, listenToKeys } from './keys.js';
import { drawKey, Legend } from './legend.js';
import { Life } from './life.js';
import { AddressMap } from './map.js';
import { lengthOf, type Hole, type Region } from './model.js';
import { Overview } from './overview.js';
import type { Colouring } from './paint.js';
import { Search } from './search.js';
import { isRegion, PageState } from './state.js';
import { drawBiggest, drawOwners, RegionTable, type Measure } from './tables.js';
import { chooseTheme, onPreferenceChange, readTheme, type Theme, type ThemeName } from './theme.js';

const NARROW = 760;

/** What to draw again: the map follows every move, the words only what they tell of. */
type Part = 'map' | 'words';

export class App {
  readonly #state: PageState;
  readonly #map: AddressMap;
  readonly #overview: Overview;
  readonly #legend: Legend;
  readonly #life: Life | undefined;
  readonly #search: Search;
  readonly #table: RegionTable;
  readonly #stale = new Set<Part>();
  #theme: Theme = readTheme();
  #frame = 0;
  #frames = 0;
  /** When everything had been drawn for the first time, in milliseconds since the page was opened. */
  readonly #loaded: number;

  constructor(data: PageData) {
    this.#state = new PageState(data);
    const state = this.#state;
    const moved = () => this.#redraw('map');
    const changed = () => this.#redraw('map', 'words');
    this.#map = new AddressMap(byId<HTMLCanvasElement>('canvas'), state, moved);
    const { viewport } = this.#map;
    this.#overview = new Overview(byId<HTMLCanvasElement>('overview'), state, viewport);
    this.#legend = new Legend(byId('legend'), state, changed);
    this.#life = state.timeline && new Life(state.timeline, state, changed);
    const jump = (what: Region | Hole) => this.jump(what);
    this.#search = new Search(
      { input: byId<HTMLInputElement>('query'), list: byId('found') },
      { state, theme: this.#theme, jump },
    );
    this.#table = new RegionTable(
      byId<HTMLTableElement>('regions'),
      byId<HTMLButtonElement>('more'),
      { state, jump },
    );
    this.#title(data);
    this.#listen();
    this.#resize();
    this.#draw();
    this.#loaded = performance.now();
  }

  #title({ title, pid, command, taken }: PageData): void {
    document.title = `${title} - memmap`;
    byId('title').textContent = title;
    const when = new Date(taken);
    const time = Number.isNaN(when.getTime()) ? taken : when.toLocaleString();
    const process = pid > 0 ? `process ${String(pid)}` : '';
    byId('subtitle').textContent = [process, command, time]
      .filter((text) => text !== '')
      .join(' · ');
  }

  #listen(): void {
    const { viewport } = this.#map;
    const click = (id: string, action: () => void) => byId(id).addEventListener('click', action);
    click('zoom-in', () => viewport.zoomBy(2));
    click('zoom-out', () => viewport.zoomBy(0.5));
    click('whole', () => viewport.fly({ from: 0, to: 1 }));
    click('fit', () => this.#toLargest());
    click('folded', () => this.#useScale('folded'));
    click('linear', () => this.#useScale('linear'));
    click('theme', () => this.#switchTheme());
    click('help', () => byId<HTMLDialogElement>('help-box').showModal());
    const colouring = byId<HTMLSelectElement>('colouring');
    colouring.addEventListener('change', () => {
      this.#state.colouring = colouring.value as Colouring;
      this.#redraw('map');
    });
    byId('biggest-by').addEventListener('change', () => this.#redraw('words'));
    byId<HTMLDetailsElement>('regions-details').addEventListener('toggle', (event) => {
      this.#table.open = (event.target as HTMLDetailsElement).open;
      this.#table.draw();
    });
    this.#listenToPointer();
    fillHelp();
    listenToKeys({
      zoomBy: (factor) => viewport.zoomBy(factor),
      pan: (share) => viewport.pan(share),
      whole: () => viewport.fly({ from: 0, to: 1 }),
      next: (direction) => this.#next(direction),
      zoomToSelected: () => {
        if (this.#state.selected) viewport.flyToRange(this.#state.selected);
      },
      switchScale: () => this.#useScale(viewport.scale.mode === 'folded' ? 'linear' : 'folded'),
      search: () => this.#search.focus(),
      play: () => this.#life?.toggle(),
      theme: () => this.#switchTheme(),
      escape: () => this.#escape(),
      help: () => byId<HTMLDialogElement>('help-box').showModal(),
    });
    new ResizeObserver(() => this.#resize()).observe(byId('stage'));
    onPreferenceChange(() => this.#useTheme());
    window.addEventListener('beforeprint', () => this.#print(true));
    window.addEventListener('afterprint', () => this.#print(false));
  }

  #listenToPointer(): void {
    const stage = byId('stage');
    const canvas = byId('canvas');
    const tip = byId('tip');
    canvas.addEventListener('pointermove', (event) => {
      const { offsetX: x, offsetY: y } = event;
      const found = event.buttons === 0 ? this.#map.find(x, y) : undefined;
      tip.hidden = found === undefined;
      if (found) {
        if (found !== this.#state.hovered) tip.replaceChildren(...shortly(found));
        const left = Math.min(x + 14, stage.clientWidth - tip.offsetWidth - 4);
        tip.style.left = `${String(Math.max(0, left))}px`;
        tip.style.top = `${String(y + 18)}px`;
      }
      if (found !== this.#state.hovered) {
        this.#state.hovered = found;
        this.#redraw('map');
      }
    });
    const leave = () => {
      tip.hidden = true;
      this.#state.hovered = undefined;
      this.#redraw('map');
    };
    canvas.addEventListener('pointerleave', leave);
    canvas.addEventListener('pointerdown', leave);
    canvas.addEventListener('click', (event) => {
      this.#select(this.#map.find(event.offsetX, event.offsetY));
    });
    canvas.addEventListener('dblclick', (event) => {
      const found = this.#map.find(event.offsetX, event.offsetY);
      if (found) this.jump(found);
    });
  }

  #select(what: Region | Hole | undefined): void {
    this.#state.select(what);
    this.#redraw('map', 'words');
  }

  /** Selects it and goes there; a band that was hidden is shown again. */
  jump(what: Region | Hole): void {
    if (isRegion(what)) this.#state.hidden.delete(what.kind);
    if (what.end > this.#state.top && this.#map.viewport.scale.mode === 'linear') {
      this.#useScale('folded');
    }
    this.#map.viewport.flyToRange(what);
    this.#select(what);
  }

  #next(direction: 1 | -1): void {
    const found = this.#map.neighbour(direction);
    if (found === undefined) return;
    const { viewport } = this.#map;
    const [left, right] = [viewport.xOf(found.start), viewport.xOf(found.end)];
    if (right < 20 || left > viewport.width - 20) viewport.flyToRange(found);
    this.#select(found);
  }

  #toLargest(): void {
    const { largest } = this.#state.moment;
    if (largest) this.jump(largest);
  }

  #escape(): void {
    this.#search.close();
    this.#select(undefined);
  }

  #useScale(mode: 'folded' | 'linear'): void {
    this.#map.viewport.stop();
    this.#map.viewport.use(this.#state.scales[mode]);
    this.#redraw('map', 'words');
  }

  #switchTheme(): void {
    chooseTheme(this.#theme.name === 'light' ? 'dark' : 'light');
    this.#useTheme();
  }

  #useTheme(): void {
    this.#theme = readTheme();
    this.#search.useTheme(this.#theme);
    this.#redraw('map', 'words');
  }

  #themeBefore: ThemeName | undefined;

  /** Paper is light. */
  #print(begins: boolean): void {
    if (begins) this.#themeBefore = this.#theme.name;
    chooseTheme(begins ? 'light' : (this.#themeBefore ?? 'light'));
    this.#useTheme();
    this.#resize();
    this.#draw();
  }

  #resize(): void {
    const width = byId('stage').clientWidth;
    this.#map.resize(width, { narrow: window.innerWidth < NARROW });
    this.#overview.resize(width);
    this.#life?.resize(byId('chart').clientWidth);
    this.#redraw('map', 'words');
  }

  #redraw(...parts: Part[]): void {
    for (const part of parts) this.#stale.add(part);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const words = this.#stale.has('words');
    this.#stale.clear();
    this.#map.draw(this.#theme);
    this.#overview.draw(this.#theme);
    this.#drawWindow();
    if (words) this.#drawWords();
    this.#frames++;
  }

  #drawWindow(): void {
    const { viewport } = this.#map;
    const { start, end } = viewport.addresses;
    const shown = Math.min(end, this.#state.top) - start;
    const each = shown / viewport.width;
    const ruler =
      viewport.scale.mode === 'linear' ? `, one pixel is ${bytes(Math.max(1, each))}` : '';
    const whole = viewport.shown.to - viewport.shown.from > 0.999;
    const where = whole ? 'everything: ' : `from ${hex(start)}: `;
    byId('window').textContent = `${where}${bytes(Math.max(0, shown))}${ruler}`;
  }

  #drawWords(): void {
    const state = this.#state;
    const theme = this.#theme;
    const { mode } = this.#map.viewport.scale;
    byId('summary').replaceChildren(...summarize(state));
    byId('detail').replaceChildren(...describe(state.selected, state, theme));
    this.#legend.draw(this.#map.lanes, theme);
    drawKey(byId('key'), theme);
    const by = byId<HTMLSelectElement>('biggest-by').value as Measure;
    drawBiggest(byId('biggest'), state, { by, theme, jump: (region) => this.jump(region) });
    drawOwners(byId<HTMLTableElement>('owners'), state, theme);
    this.#table.draw();
    this.#life?.draw(theme);
    byId('folded').setAttribute('aria-pressed', String(mode === 'folded'));
    byId('linear').setAttribute('aria-pressed', String(mode === 'linear'));
    byId('theme').textContent = theme.name === 'light' ? 'Dark' : 'Light';
    byId('scale-note').textContent = this.#scaleNote();
  }

  #scaleNote(): string {
    const { top, moment } = this.#state;
    const beyond = moment.regions.filter(({ end }) => end > top).length;
    if (this.#map.viewport.scale.mode === 'folded') {
      return 'Lowest address on the left. Gaps are folded and large regions shortened, so that everything can be seen: widths compare only roughly.';
    }
    const outside =
      beyond > 0 ? ` ${plural(beyond, 'region')} of the kernel’s half is not drawn.` : '';
    return `All ${bytes(top)} that a program can map, true to scale: a process is dust in it. Zoom in, or click into “Everything”.${outside}`;
  }

  /** For tests, and for the curious at the console. */
  inspect(): Record<string, unknown> {
    const { viewport } = this.#map;
    const { moment, selected, hidden, time, colouring, timeline } = this.#state;
    const { start, end } = viewport.addresses;
    return {
      scale: viewport.scale.mode,
      window: [hex(start), hex(end)],
      settled: this.#frame === 0 && !viewport.flying,
      frames: this.#frames,
      loaded: this.#loaded,
      regions: moment.regions.length,
      mapped: moment.totals.mapped,
      drawn: this.#map.drawn,
      selected: selected && {
        start: hex(selected.start),
        length: lengthOf(selected),
        kind: isRegion(selected) ? selected.kind : 'free',
      },
      hovered: this.#state.hovered && hex(this.#state.hovered.start),
      largest: moment.largest && { start: hex(moment.largest.start), end: hex(moment.largest.end) },
      hidden: [...hidden],
      colouring,
      theme: this.#theme.name,
      time,
      events: timeline?.eventsBefore(time) ?? 0,
      playing: this.#life?.playing ?? false,
      found: this.#search.count,
      lanes: Object.fromEntries(this.#map.lanes.bands),
    };
  }
}
