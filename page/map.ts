// The map: draws the state into the canvas, and says what the pointer is on.

import { prepareCanvas } from './dom.js';
import { paintAxis, paintMarks, paintNothing, paintPages } from './axis.js';
import { laneAt, type Lanes } from './lanes.js';
import { indexBelow, type Hole, type Region } from './model.js';
import { paintBands, paintFree, paintHeat } from './paint.js';
import { isRegion, type PageState } from './state.js';
import type { Theme } from './theme.js';
import { Viewport } from './viewport.js';

/** The pointer need not be on a thin region, only this near, in pixels. */
const NEAR = 4;

export class AddressMap {
  readonly viewport: Viewport;
  lanes: Lanes;
  /** How many blocks the last drawing took. */
  drawn = 0;
  readonly #canvas: HTMLCanvasElement;
  readonly #state: PageState;

  constructor(canvas: HTMLCanvasElement, state: PageState, changed: () => void) {
    this.#canvas = canvas;
    this.#state = state;
    this.lanes = state.lanes(false);
    this.viewport = new Viewport(canvas, {
      scale: state.scales.folded,
      pageSize: state.data.pageSize,
      changed,
    });
  }

  resize(width: number, { narrow }: { narrow: boolean }): void {
    this.lanes = this.#state.lanes(narrow);
    this.viewport.resize(width);
  }

  draw(theme: Theme): void {
    const { viewport, lanes } = this;
    const { moment, colouring, hidden, selected, hovered, data } = this.#state;
    const { regions, holes, largest } = moment;
    const { pageSize } = data;
    const context = prepareCanvas(this.#canvas, { width: viewport.width, height: lanes.height });
    const scene = {
      ...{ regions, holes, largest, lanes, viewport, theme, colouring, hidden },
      ...{ selected, hovered, pageSize },
    };
    if (regions.length === 0) {
      this.drawn = 0;
      paintNothing(context, scene);
      return;
    }
    paintAxis(context, scene);
    paintFree(context, scene);
    this.drawn = paintBands(context, scene);
    paintHeat(context, scene);
    paintPages(context, scene);
    paintMarks(context, scene);
  }

  /** The region or the hole at a point of the canvas. */
  find(x: number, y: number): Region | Hole | undefined {
    const { moment, hidden } = this.#state;
    const lane = laneAt(this.lanes, y);
    const address = this.viewport.addressAt(x);
    const nearest = <T extends Hole>(sorted: readonly T[], fits: (one: T) => boolean) => {
      let [best, distance] = [undefined as T | undefined, NEAR];
      const middle = indexBelow(sorted, address);
      for (let side = -1; side <= 1; side += 2) {
        for (let at = side < 0 ? middle : middle + 1; at >= 0 && at < sorted.length; at += side) {
          const one = sorted[at] as T;
          const [left, right] = [this.viewport.xOf(one.start), this.viewport.xOf(one.end)];
          const away = Math.max(0, left - x, x - right);
          if (away < distance && fits(one)) [best, distance] = [one, away];
          if (away >= NEAR || distance === 0) break;
        }
      }
      return best;
    };
    if (lane === 'free') return nearest(moment.holes, () => true);
    const shown = ({ kind }: Region) => !hidden.has(kind) && (lane === undefined || kind === lane);
    return nearest(moment.regions, shown);
  }

  /** The next region of a band that is shown, before or after what is selected. */
  neighbour(direction: 1 | -1): Region | undefined {
    const { moment, hidden, selected } = this.#state;
    const { start, end } = this.viewport.addresses;
    const { regions } = moment;
    const from = selected ? selected.start : direction === 1 ? start - 1 : end;
    let at = indexBelow(regions, from);
    // At a hole, or at the edge of what is shown, the nearest one is the first.
    const here = regions[at];
    if (direction === 1 || (here && selected && isRegion(selected))) at += direction;
    while (regions[at] && hidden.has((regions[at] as Region).kind)) at += direction;
    return regions[at];
  }
}
