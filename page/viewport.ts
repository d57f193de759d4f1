// Which part of the axis is shown: d3-zoom keeps it, and wheel, drag, pinch, keys and jumps change it.

import { select, type Selection } from 'd3-selection';
import { zoom, zoomIdentity, type ZoomBehavior, type ZoomTransform } from 'd3-zoom';
import type { Hole } from './model.js';
import type { Scale } from './scale.js';

/** A stretch of the axis, in units of the scale. */
export interface Stretch {
  from: number;
  to: number;
}

const FLIGHT_MS = 450;

/** Between two stretches: the size grows by the same factor each moment, and what both show keeps still. */
function between(a: Stretch, b: Stretch): (share: number) => Stretch {
  const [sizeA, sizeB] = [a.to - a.from, b.to - b.from];
  return (share) => {
    const size = sizeA * (sizeB / sizeA) ** share;
    const way = Math.abs(sizeB / sizeA - 1) < 1e-9 ? share : (size - sizeA) / (sizeB - sizeA);
    const from = a.from + (b.from - a.from) * way;
    return { from, to: from + size };
  };
}

/** From one stretch to another; where they are apart, by way of one that shows both. */
function flight(a: Stretch, b: Stretch): (share: number) => Stretch {
  if (a.from <= b.to && b.from <= a.to) return between(a, b);
  const both = { from: Math.min(a.from, b.from), to: Math.max(a.to, b.to) };
  const [out, down] = [between(a, both), between(both, b)];
  return (share) => (share < 0.5 ? out(share * 2) : down(share * 2 - 1));
}

export class Viewport {
  #scale: Scale;
  #width = 1;
  #transform: ZoomTransform = zoomIdentity;
  #flight = 0;
  readonly #zoom: ZoomBehavior<HTMLCanvasElement, unknown>;
  readonly #canvas: Selection<HTMLCanvasElement, unknown, null, undefined>;
  readonly #calm = window.matchMedia('(prefers-reduced-motion: reduce)');
  readonly #pageSize: number;

  constructor(
    canvas: HTMLCanvasElement,
    { scale, pageSize, changed }: { scale: Scale; pageSize: number; changed: () => void },
  ) {
    this.#scale = scale;
    this.#pageSize = pageSize;
    this.#canvas = select(canvas);
    this.#zoom = zoom<HTMLCanvasElement, unknown>().on(
      'zoom',
      (event: { transform: ZoomTransform }) => {
        this.#transform = event.transform;
        changed();
      },
    );
    this.#zoom.on('start', (event: { sourceEvent: unknown }) => {
      if (event.sourceEvent) this.stop();
    });
    // A double click selects; it does not zoom as well.
    this.#canvas.call(this.#zoom).on('dblclick.zoom', null);
  }

  get scale(): Scale {
    return this.#scale;
  }

  get width(): number {
    return this.#width;
  }

  get flying(): boolean {
    return this.#flight !== 0;
  }

  /** How many pixels one unit of the scale has. */
  get pixels(): number {
    return this.#width * this.#transform.k;
  }

  /** Where a unit of the scale is drawn. */
  toX(unit: number): number {
    return unit * this.pixels + this.#transform.x;
  }

  xOf(address: number): number {
    return this.toX(this.#scale.toUnit(address));
  }

  addressAt(x: number): number {
    return this.#scale.toAddress((x - this.#transform.x) / this.pixels);
  }

  get shown(): Stretch {
    const from = -this.#transform.x / this.pixels;
    return { from: Math.max(0, from), to: Math.min(1, from + 1 / this.#transform.k) };
  }

  /** The addresses that are shown. */
  get addresses(): Hole {
    const { from, to } = this.shown;
    return { start: this.#scale.toAddress(from), end: this.#scale.toAddress(to) };
  }

  resize(width: number): void {
    const shown = this.shown;
    this.#width = Math.max(1, width);
    this.#setLimits();
    this.show(shown);
  }

  /** Another axis; what was shown stays shown as well as it can. */
  use(scale: Scale): void {
    const { start, end } = this.addresses;
    const whole = this.#transform.k === 1;
    this.#scale = scale;
    this.#setLimits();
    this.show(whole ? { from: 0, to: 1 } : { from: scale.toUnit(start), to: scale.toUnit(end) });
  }

  #setLimits(): void {
    const closest = 1 / (this.#scale.leastDensity * this.#pageSize);
    this.#zoom
      .extent([
        [0, 0],
        [this.#width, 1],
      ])
      .translateExtent([
        [0, 0],
        [this.#width, 1],
      ])
      .scaleExtent([1, Math.max(1, closest)]);
  }

  /** Shows a stretch at once. */
  show({ from, to }: Stretch): void {
    const [least, most] = this.#zoom.scaleExtent();
    const k = Math.min(most, Math.max(least, 1 / Math.max(to - from, Number.MIN_VALUE)));
    const middle = (from + to) / 2;
    const x = Math.min(0, Math.max(this.#width * (1 - k), this.#width * (0.5 - middle * k)));
    this.#canvas.call((canvas) => {
      this.#zoom.transform(canvas, zoomIdentity.translate(x, 0).scale(k));
    });
  }

  /** Goes to a stretch so that the eye can follow; at once where motion is not wanted. */
  fly(target: Stretch): void {
    this.stop();
    if (this.#calm.matches || document.hidden) {
      this.show(target);
      return;
    }
    const path = flight(this.shown, target);
    const began = performance.now();
    const step = (time: number) => {
      const share = Math.min(1, Math.max(0, (time - began) / FLIGHT_MS));
      this.#flight = share < 1 ? requestAnimationFrame(step) : 0;
      this.show(share < 1 ? path(share * share * (3 - 2 * share)) : target);
    };
    this.#flight = requestAnimationFrame(step);
  }

  stop(): void {
    cancelAnimationFrame(this.#flight);
    this.#flight = 0;
  }

  /** A range with something of its neighbourhood around it. */
  flyToRange({ start, end }: Hole): void {
    const [from, to] = [this.#scale.toUnit(start), this.#scale.toUnit(end)];
    const around = (to - from) * 0.8;
    this.fly({ from: Math.max(0, from - around), to: Math.min(1, to + around) });
  }

  zoomBy(factor: number): void {
    this.stop();
    this.#canvas.call((canvas) => {
      this.#zoom.scaleBy(canvas, factor);
    });
  }

  /** By a share of what is shown: 0.25 is a quarter to the right. */
  pan(share: number): void {
    const { from, to } = this.shown;
    const by = Math.min(1 - to, Math.max(-from, share * (to - from)));
    this.stop();
    this.show({ from: from + by, to: to + by });
  }
}
