// Draws the map. Regions that are narrower than a pixel are drawn together: sixty thousand take some milliseconds.

import type { OwnerKind } from '../lib/cli/data.js';
import { bytes } from './format.js';
import type { Lanes, Row } from './lanes.js';
import { lengthOf, type Hole, type Region } from './model.js';
import { isAccessible } from './owners.js';
import { patternFor } from './patterns.js';
import { visitInView } from './placed.js';
import type { Theme } from './theme.js';
import type { Viewport } from './viewport.js';

export type Colouring = 'owner' | 'resident' | 'dirty' | 'access';

export interface Scene {
  regions: readonly Region[];
  holes: readonly Hole[];
  largest: Hole | undefined;
  lanes: Lanes;
  viewport: Viewport;
  theme: Theme;
  colouring: Colouring;
  hidden: ReadonlySet<OwnerKind>;
  selected: Hole | undefined;
  hovered: Hole | undefined;
  pageSize: number;
}

type Context = CanvasRenderingContext2D;

export const FONT = '11px system-ui, sans-serif';

/** The pixels of a range, cut at the edges so that no number is too large for the canvas. */
export function pixelsOf(viewport: Viewport, { start, end }: Hole): [number, number] {
  const left = Math.max(-4, viewport.xOf(start));
  const right = Math.min(viewport.width + 4, viewport.xOf(end));
  return [left, right];
}

const shareOf = (part: number | undefined, region: Region): number =>
  part === undefined ? 0 : Math.min(1, part / lengthOf(region));

export function colourOf(region: Region, { theme, colouring }: Scene): string {
  if (colouring === 'owner') return theme.owner(region.kind);
  if (colouring === 'access') return theme.access(region.protection);
  return theme.heat(shareOf(region[colouring], region));
}

/** A block of a band: pale where nothing is in memory, filled from below as far as it is, dark where it was written. */
function paintBlock(context: Context, region: Region, { scene, row, x, width }: Block): void {
  const colour = colourOf(region, scene);
  const { top, height } = row;
  const usable = isAccessible(region.protection);
  context.fillStyle = scene.theme.ground;
  context.fillRect(x, top, width, height);
  if (scene.colouring === 'owner') {
    context.globalAlpha = usable ? 0.3 : 0.12;
    context.fillStyle = colour;
    context.fillRect(x, top, width, height);
    context.globalAlpha = 1;
    const full = Math.ceil(height * shareOf(region.resident, region));
    context.fillRect(x, top + height - full, width, full);
    const written = Math.ceil(height * shareOf(region.dirty, region));
    context.fillStyle = patternFor(context, { kind: 'dots', colour: scene.theme.ink });
    if (width >= 3) context.fillRect(x, top + height - written, width, written);
  } else {
    context.fillStyle = colour;
    context.fillRect(x, top, width, height);
  }
  if (!usable && width >= 3) {
    context.fillStyle = patternFor(context, { kind: 'stripes', colour });
    context.fillRect(x, top, width, height);
  }
  if (width < 4) return;
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.setLineDash(region.certain ? [] : [3, 3]);
  context.strokeRect(x + 0.5, top + 0.5, width - 1, height - 1);
  context.setLineDash([]);
}

interface Block {
  scene: Scene;
  row: Row;
  x: number;
  width: number;
}

/** On a plate of its own: readable on any colour. */
function paintLabel(context: Context, region: Region, { scene, row, ...block }: Block): void {
  const left = Math.max(block.x, 0);
  const room = Math.min(block.x + block.width, scene.viewport.width) - left - 14;
  if (room < 18) return;
  const text = `${region.certain ? '' : '? '}${region.label}`;
  const fitted = fit(context, text, room);
  if (fitted === '') return;
  const width = context.measureText(fitted).width;
  context.globalAlpha = 0.82;
  context.fillStyle = scene.theme.ground;
  context.fillRect(left + 4, row.top + row.height / 2 - 8, width + 6, 16);
  context.globalAlpha = 1;
  context.fillStyle = scene.theme.ink;
  context.fillText(fitted, left + 7, row.top + row.height / 2 + 4);
}

/** As much of a text as there is room for. */
export function fit(context: Context, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  const share = room / context.measureText(text).width;
  const length = Math.floor(text.length * share) - 1;
  return length < 2 ? '' : `${text.slice(0, length)}…`;
}

/** Draws the bands; how many blocks that took. */
export function paintBands(context: Context, scene: Scene): number {
  const { viewport, lanes, theme, hidden } = scene;
  for (const row of lanes.bands.values()) {
    context.fillStyle = theme.band;
    context.fillRect(0, row.top, viewport.width, row.height);
  }
  let drawn = 0;
  const last = new Map<OwnerKind, number>();
  const labels: [Region, Block][] = [];
  visitInView(scene.regions, viewport, (region, left, right) => {
    const row = lanes.bands.get(region.kind);
    if (row === undefined || hidden.has(region.kind)) return;
    const width = Math.max(1, right - left);
    // A pixel column of a band that has a block already shows no second one.
    const column = Math.floor(right);
    if (width < 1.5 && last.get(region.kind) === column) return;
    last.set(region.kind, column);
    const block = { scene, row, x: left, width: width > 6 ? width - 1 : width };
    paintBlock(context, region, block);
    if (width > 30) labels.push([region, block]);
    drawn++;
  });
  context.font = FONT;
  context.textAlign = 'left';
  for (const [region, block] of labels) paintLabel(context, region, block);
  return drawn;
}

/** What nobody has mapped; the largest of it in the accent's colour. */
export function paintFree(context: Context, scene: Scene): void {
  const { viewport, lanes, theme, largest } = scene;
  const { top, height } = lanes.free;
  context.font = FONT;
  let last = -1;
  visitInView(scene.holes, viewport, (hole, left, right) => {
    const width = Math.max(1, right - left);
    const best = hole === largest;
    const column = Math.floor(right);
    if (width < 1.5 && last === column && !best) return;
    last = column;
    context.fillStyle = best ? theme.accent : theme.line;
    context.globalAlpha = best ? 0.28 : 0.5;
    context.fillRect(left, top, width, height);
    context.globalAlpha = 1;
    if (best) {
      context.strokeStyle = theme.accent;
      context.lineWidth = 2;
      context.strokeRect(left + 1, top + 1, Math.max(1, width - 2), height - 2);
    }
    if (width > 20) paintHoleLabel(context, hole, { scene, left, right });
  });
}

function paintHoleLabel(
  context: Context,
  hole: Hole,
  { scene, left, right }: { scene: Scene; left: number; right: number },
): void {
  const { viewport, lanes, theme, largest } = scene;
  const { top, height } = lanes.free;
  const best = hole === largest;
  const from = Math.max(left, 0);
  const room = Math.min(right, viewport.width) - from - 8;
  const size = bytes(lengthOf(hole));
  const texts = best ? [`★ largest free block: ${size}`, `★ ${size}`, '★'] : [`${size} free`, size];
  const text = texts.find((candidate) => context.measureText(candidate).width <= room);
  if (text === undefined) return;
  context.fillStyle = best ? theme.ink : theme.faint;
  context.textAlign = 'left';
  context.fillText(text, from + 4, top + height / 2 + 4);
}

/** Sums over pixel columns: how much is mapped there, and how much of that counts. */
class Strip {
  readonly #mapped: Float64Array;
  readonly #counted: Float64Array;

  constructor(columns: number) {
    this.#mapped = new Float64Array(columns);
    this.#counted = new Float64Array(columns);
  }

  add(region: Region, count: number, [left, right]: [number, number]): void {
    const from = Math.max(0, Math.floor(left));
    const to = Math.min(this.#mapped.length - 1, Math.max(from, Math.ceil(right) - 1));
    const each = lengthOf(region) / Math.max(1, right - left);
    const counted = each * shareOf(count, region);
    for (let column = from; column <= to; column++) {
      this.#mapped[column] = (this.#mapped[column] as number) + each;
      this.#counted[column] = (this.#counted[column] as number) + counted;
    }
  }

  get isEmpty(): boolean {
    return this.#mapped.every((count) => count === 0);
  }

  shareAt(column: number): number | undefined {
    const all = this.#mapped[column] as number;
    return all === 0 ? undefined : (this.#counted[column] as number) / all;
  }
}

/** The strips of heat: for every pixel, which share of what is mapped there is in memory, and was written. */
export function paintHeat(context: Context, scene: Scene): void {
  const { viewport, lanes, theme, hidden } = scene;
  const columns = Math.ceil(viewport.width);
  const strips = { resident: new Strip(columns), dirty: new Strip(columns) };
  visitInView(scene.regions, viewport, (region, left, right) => {
    if (hidden.has(region.kind)) return;
    const range: [number, number] = [left, right];
    // What is not known is left out, not drawn as nothing.
    if (region.resident !== undefined) strips.resident.add(region, region.resident, range);
    if (region.dirty !== undefined) strips.dirty.add(region, region.dirty, range);
  });
  for (const what of ['resident', 'dirty'] as const) {
    const { top, height } = lanes[what];
    context.fillStyle = theme.band;
    context.fillRect(0, top, viewport.width, height);
    if (strips[what].isEmpty && scene.regions.length > 0) {
      context.font = FONT;
      context.textAlign = 'left';
      context.fillStyle = theme.faint;
      context.fillText('not known here', 6, top + height - 5);
    }
    for (let column = 0; column < columns; column++) {
      const share = strips[what].shareAt(column);
      if (share === undefined) continue;
      context.fillStyle = theme.heat(share);
      context.fillRect(column, top, 1, height);
    }
  }
}
