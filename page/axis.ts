// The axis with its addresses, the folds, the grid of pages, and the marks of what is selected or under the pointer.

import { hex } from './format.js';
import type { Hole } from './model.js';
import { FONT, pixelsOf, type Scene } from './paint.js';
import { visitInView } from './placed.js';

type Context = CanvasRenderingContext2D;

const TICK_SPACE = 118;

/** Round addresses for a true scale: multiples of a power of two. */
function roundTicks({ start, end }: Hole, count: number): number[] {
  const step = 2 ** Math.ceil(Math.log2(Math.max(1, (end - start) / Math.max(1, count))));
  const ticks: number[] = [];
  for (let at = Math.ceil(start / step) * step; at <= end && ticks.length < 200; at += step) {
    ticks.push(at);
  }
  return ticks;
}

/** For a folded axis, where nothing is round: the starts of regions, as many as there is room for. */
function regionTicks({ viewport, regions }: Scene): number[] {
  const ticks: number[] = [];
  let free = -Infinity;
  visitInView(regions, viewport, ({ start }, left) => {
    if (left < Math.max(0, free)) return;
    free = left + TICK_SPACE;
    ticks.push(start);
  });
  if (ticks.length > 1) return ticks;
  return roundTicks(viewport.addresses, viewport.width / TICK_SPACE);
}

export function paintAxis(context: Context, scene: Scene): void {
  const { viewport, lanes, theme } = scene;
  const ticks =
    viewport.scale.mode === 'linear'
      ? roundTicks(viewport.addresses, viewport.width / TICK_SPACE)
      : regionTicks(scene);
  context.font = '11px ui-monospace, Menlo, Consolas, monospace';
  context.textAlign = 'left';
  const bottom = lanes.axis.top + lanes.axis.height;
  let free = -Infinity;
  for (const tick of ticks) {
    const x = viewport.xOf(tick);
    const text = hex(tick);
    const width = context.measureText(text).width;
    if (x < free || x < -1 || x + width > viewport.width) continue;
    free = x + Math.max(TICK_SPACE, width + 14);
    context.fillStyle = theme.line;
    context.fillRect(x, bottom - 8, 1, lanes.height - bottom + 8);
    context.fillStyle = theme.faint;
    context.fillText(text, x + 3, bottom - 9);
  }
}

/** Lines between pages, as soon as one page is wide enough to see. */
export function paintPages(context: Context, scene: Scene): void {
  const { viewport, lanes, pageSize, theme } = scene;
  const { start, end } = viewport.addresses;
  const pages = (end - start) / pageSize;
  if (pages > viewport.width / 8) return;
  context.fillStyle = theme.ground;
  const first = Math.ceil(start / pageSize) * pageSize;
  const top = Math.min(...[...lanes.bands.values()].map((row) => row.top));
  for (let at = first; at <= end; at += pageSize) {
    context.fillRect(viewport.xOf(at), top, 1, lanes.height - top);
  }
}

/** A frame through all rows around what is selected, fainter around what is under the pointer. */
export function paintMarks(context: Context, scene: Scene): void {
  const { viewport, lanes, theme, selected, hovered } = scene;
  const mark = (range: Hole | undefined, alpha: number) => {
    if (range === undefined) return;
    const [left, right] = pixelsOf(viewport, range);
    if (right < 0 || left > viewport.width) return;
    const width = Math.max(3, right - left);
    context.globalAlpha = alpha * 0.06;
    context.fillStyle = theme.accent;
    context.fillRect(left, lanes.free.top, width, lanes.height - lanes.free.top);
    context.globalAlpha = alpha;
    context.strokeStyle = theme.accent;
    context.lineWidth = 2;
    context.strokeRect(left, lanes.free.top - 2, width, lanes.height - lanes.free.top);
    context.globalAlpha = 1;
  };
  if (hovered !== selected) mark(hovered, 0.45);
  mark(selected, 1);
}

/** What an empty map says instead. */
export function paintNothing(context: Context, { viewport, lanes, theme }: Scene): void {
  context.font = FONT;
  context.textAlign = 'center';
  context.fillStyle = theme.faint;
  context.fillText('No regions: nothing is mapped here.', viewport.width / 2, lanes.height / 2);
}
