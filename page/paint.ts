// Draws the map. Regions that are narrower than a pixel are drawn together: sixty thousand take some milliseconds.

import type { OwnerKind } from '../lib/cli/data.js';
import { bytes } from './format.js';
import type { Lanes, Row } from './lanes.js';
import { indexBelow, isUserSpace, lengthOf, type Hole, type Region } from './model.js';
import { isAccessible } from './owners.js';
import { patternFor } from './patterns.js';
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

/** The part of a sorted list that is at least partly in view. */
export function inView<T extends Hole>(sorted: readonly T[], { start, end }: Hole): readonly T[] {
  const first = Math.max(0, indexBelow(sorted, start));
  return sorted.slice(first, indexBelow(sorted, end) + 1);
}

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

function paintLabel(context: Context, region: Region, { scene, row, x, width }: Block): void {
  const left = Math.max(x, 0);
  const room = Math.min(x + width, scene.viewport.width) - left - 8;
  if (room < 24) return;
  const text = `${region.certain ? '' : '? '}${region.label}`;
  const fitted = fit(context, text, room);
  if (fitted === '') return;
  haloText(context, fitted, { x: left + 4, y: row.top + row.height / 2 + 4, theme: scene.theme });
}

/** Readable on any colour: the ground shines through around it. */
export function haloText(
  context: Context,
  text: string,
  { x, y, theme }: { x: number; y: number; theme: Theme },
): void {
  context.lineWidth = 3;
  context.lineJoin = 'round';
  context.strokeStyle = theme.ground;
  context.globalAlpha = 0.85;
  context.strokeText(text, x, y);
  context.globalAlpha = 1;
  context.fillStyle = theme.ink;
  context.fillText(text, x, y);
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
  for (const region of inView(scene.regions, viewport.addresses)) {
    const row = lanes.bands.get(region.kind);
    if (row === undefined || hidden.has(region.kind)) continue;
    const [left, right] = pixelsOf(viewport, region);
    if (right < 0 || left > viewport.width) continue;
    const width = Math.max(1, right - left);
    // A pixel column of a band that has a block already shows no second one.
    const column = Math.floor(right);
    if (width < 1.5 && last.get(region.kind) === column) continue;
    last.set(region.kind, column);
    const block = { scene, row, x: left, width: width > 6 ? width - 1 : width };
    paintBlock(context, region, block);
    if (width > 30) labels.push([region, block]);
    drawn++;
  }
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
  for (const hole of inView(scene.holes, viewport.addresses)) {
    const [left, right] = pixelsOf(viewport, hole);
    if (right < 0 || left > viewport.width) continue;
    const width = Math.max(1, right - left);
    const best = hole === largest;
    context.fillStyle = best ? theme.accent : theme.line;
    context.globalAlpha = best ? 0.28 : 0.5;
    context.fillRect(left, top, width, height);
    context.globalAlpha = 1;
    if (best) {
      context.strokeStyle = theme.accent;
      context.lineWidth = 2;
      context.strokeRect(left + 1, top + 1, Math.max(1, width - 2), height - 2);
    }
    const from = Math.max(left, 0);
    const room = Math.min(right, viewport.width) - from - 8;
    const size = bytes(lengthOf(hole));
    const texts = best
      ? [`★ largest free block: ${size}`, `★ ${size}`, '★']
      : [`${size} free`, size];
    const text = texts.find((candidate) => context.measureText(candidate).width <= room);
    if (text === undefined) continue;
    context.fillStyle = best ? theme.ink : theme.faint;
    context.textAlign = 'left';
    context.fillText(text, from + 4, top + height / 2 + 4);
  }
}

/** The strips of heat: for every pixel, which share of what is mapped there is in memory, and was written. */
export function paintHeat(context: Context, scene: Scene): void {
  const { viewport, lanes, theme, hidden } = scene;
  const columns = Math.ceil(viewport.width);
  const mapped = new Float64Array(columns);
  const sums = { resident: new Float64Array(columns), dirty: new Float64Array(columns) };
  for (const region of inView(scene.regions, viewport.addresses)) {
    if (hidden.has(region.kind) || !isUserSpace(region)) continue;
    const [left, right] = pixelsOf(viewport, region);
    const from = Math.max(0, Math.floor(left));
    const to = Math.min(columns - 1, Math.max(from, Math.ceil(right) - 1));
    const each = lengthOf(region) / Math.max(1, right - left);
    const [resident, dirty] = [shareOf(region.resident, region), shareOf(region.dirty, region)];
    for (let column = from; column <= to; column++) {
      mapped[column] = (mapped[column] ?? 0) + each;
      sums.resident[column] = (sums.resident[column] ?? 0) + each * resident;
      sums.dirty[column] = (sums.dirty[column] ?? 0) + each * dirty;
    }
  }
  for (const what of ['resident', 'dirty'] as const) {
    const { top, height } = lanes[what];
    context.fillStyle = theme.band;
    context.fillRect(0, top, viewport.width, height);
    for (let column = 0; column < columns; column++) {
      const all = mapped[column] ?? 0;
      if (all === 0) continue;
      context.fillStyle = theme.heat((sums[what][column] ?? 0) / all);
      context.fillRect(column, top, 1, height);
    }
  }
}
