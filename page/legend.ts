// The names beside the bands, with totals: pressing one shows or hides its band, "only" hides the others.

import type { OwnerKind } from '../lib/cli/data.js';
import { element, prepareCanvas, redrawn, swatch } from './dom.js';
import { amount, bytes, plural } from './format.js';
import type { Lanes, Row } from './lanes.js';
import { OWNERS } from './owners.js';
import { patternFor } from './patterns.js';
import type { PageState } from './state.js';
import type { Theme } from './theme.js';

function place(made: HTMLElement, { top, height }: Row): HTMLElement {
  made.style.top = `${String(top)}px`;
  made.style.height = `${String(height)}px`;
  return made;
}

function ownerRow(kind: OwnerKind, state: PageState, theme: Theme): HTMLElement {
  const { title, says } = OWNERS[kind];
  const totals = state.moment.kinds.get(kind);
  const total = totals ? bytes(totals.mapped) : 'none now';
  const toggle = element(
    'button',
    {
      type: 'button',
      class: 'toggle',
      'data-kind': kind,
      'aria-pressed': String(!state.hidden.has(kind)),
      title: `${says}\n${totals ? `${plural(totals.regions, 'region')}, ${amount(totals.resident)} in memory` : ''}`,
    },
    swatch(theme.owner(kind)),
    element('span', { class: 'name' }, title),
    element('span', { class: 'total' }, total),
  );
  const only = element(
    'button',
    { type: 'button', class: 'only', 'data-only': kind, 'aria-label': `Show only ${title}` },
    'only',
  );
  return element('div', { class: 'owner' }, toggle, only);
}

export class Legend {
  readonly #root: HTMLElement;
  readonly #state: PageState;

  constructor(root: HTMLElement, state: PageState, changed: () => void) {
    this.#root = root;
    this.#state = state;
    root.addEventListener('click', (event) => {
      const button = (event.target as Element).closest('button');
      if (button === null) return;
      const { kind, only } = button.dataset;
      if (kind !== undefined) this.#toggle(kind as OwnerKind);
      if (only !== undefined) this.#only(only as OwnerKind);
      changed();
    });
  }

  #toggle(kind: OwnerKind): void {
    const { hidden } = this.#state;
    if (!hidden.delete(kind)) hidden.add(kind);
  }

  /** A second press on "only" brings the others back. */
  #only(kind: OwnerKind): void {
    const { hidden, everyKind } = this.#state;
    const isOnly = !hidden.has(kind) && hidden.size === everyKind.size - 1;
    hidden.clear();
    if (isOnly) return;
    for (const other of everyKind) if (other !== kind) hidden.add(other);
  }

  draw(lanes: Lanes, theme: Theme): void {
    const name = (text: string, row: Row) =>
      place(element('span', { class: 'row-name' }, text), row);
    const rows = [...lanes.bands].map(([kind, row]) =>
      place(ownerRow(kind, this.#state, theme), row),
    );
    this.#root.style.height = `${String(lanes.height)}px`;
    redrawn(
      this.#root,
      name('free', lanes.free),
      ...rows,
      name('share in memory', lanes.resident),
      name('share written', lanes.dirty),
    );
  }
}

/** What the signs on the map mean, each beside a drawn sample. */
export function drawKey(root: HTMLElement, theme: Theme): void {
  const sample = (paint: (context: CanvasRenderingContext2D) => void, text: string) => {
    const canvas = element('canvas', { 'aria-hidden': 'true' });
    const [width, height] = [34, 18];
    canvas.style.width = `${String(width)}px`;
    const context = prepareCanvas(canvas, { width, height });
    paint(context);
    return element('span', {}, canvas, text);
  };
  const colour = theme.owner('mapping');
  const block = (context: CanvasRenderingContext2D, full: number, dash: number[] = []) => {
    context.fillStyle = colour;
    context.globalAlpha = 0.3;
    context.fillRect(0, 0, 34, 18);
    context.globalAlpha = 1;
    context.fillRect(0, 18 - full, 34, full);
    context.strokeStyle = colour;
    context.setLineDash(dash);
    context.strokeRect(0.5, 0.5, 33, 17);
  };
  const heat = (context: CanvasRenderingContext2D) => {
    for (let x = 0; x < 34; x++) {
      context.fillStyle = theme.heat((x / 33) ** 2);
      context.fillRect(x, 2, 1, 14);
    }
  };
  root.replaceChildren(
    sample((context) => block(context, 9), 'filled as far as it is in memory'),
    sample((context) => {
      block(context, 14);
      context.fillStyle = patternFor(context, { kind: 'dots', colour: theme.ink });
      context.fillRect(0, 10, 34, 8);
    }, 'dotted as far as it was written'),
    sample((context) => {
      context.fillStyle = patternFor(context, { kind: 'stripes', colour });
      context.fillRect(0, 0, 34, 18);
      context.strokeStyle = colour;
      context.strokeRect(0.5, 0.5, 33, 17);
    }, 'no access: kept, not free'),
    sample((context) => block(context, 0, [3, 3]), '? whose it is, is a guess'),
    sample(heat, 'heat: none to all of it'),
  );
}
