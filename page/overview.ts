// The strip above the map: everything at once, gaps folded, and a frame around what the map shows.

import { prepareCanvas } from './dom.js';
import type { PageState } from './state.js';
import type { Theme } from './theme.js';
import type { Viewport } from './viewport.js';

const HEIGHT = 30;

export class Overview {
  readonly #canvas: HTMLCanvasElement;
  readonly #state: PageState;
  readonly #viewport: Viewport;
  readonly #still = document.createElement('canvas');
  /** What the still picture shows: it is drawn again only when one of these changes. */
  #drawn: unknown[] = [];
  #width = 1;

  constructor(canvas: HTMLCanvasElement, state: PageState, viewport: Viewport) {
    this.#canvas = canvas;
    this.#state = state;
    this.#viewport = viewport;
    const move = (event: PointerEvent) => {
      if (event.buttons === 1) this.#centre(event.offsetX / this.#width);
    };
    canvas.addEventListener('pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.addEventListener('pointermove', move);
  }

  resize(width: number): void {
    this.#width = Math.max(1, width);
  }

  #centre(unit: number): void {
    const viewport = this.#viewport;
    const address = this.#state.scales.folded.toAddress(Math.min(1, Math.max(0, unit)));
    const middle = viewport.scale.toUnit(address);
    const { from, to } = viewport.shown;
    // From the whole there is nowhere to move: go near instead.
    const size = to - from > 0.99 ? 0.1 : to - from;
    const start = Math.min(1 - size, Math.max(0, middle - size / 2));
    viewport.stop();
    viewport.show({ from: start, to: start + size });
  }

  /** Every region: with many of them this takes longer than all the rest. */
  #drawStill(theme: Theme): void {
    const { moment, hidden, scales } = this.#state;
    const width = this.#width;
    const now = [moment, theme.name, width, [...hidden].join()];
    if (now.every((value, at) => value === this.#drawn[at])) return;
    this.#drawn = now;
    const context = prepareCanvas(this.#still, { width, height: HEIGHT });
    context.fillStyle = theme.band;
    context.fillRect(0, 4, width, HEIGHT - 8);
    let last = -1;
    for (const region of moment.regions) {
      if (hidden.has(region.kind)) continue;
      const left = scales.folded.toUnit(region.start) * width;
      const right = scales.folded.toUnit(region.end) * width;
      if (right - left < 1 && Math.floor(right) === last) continue;
      last = Math.floor(right);
      context.fillStyle = theme.owner(region.kind);
      context.globalAlpha = region.protection === '---' ? 0.35 : 1;
      context.fillRect(left, 4, Math.max(1, right - left), HEIGHT - 8);
    }
    context.globalAlpha = 1;
  }

  draw(theme: Theme): void {
    const width = this.#width;
    this.#drawStill(theme);
    const context = prepareCanvas(this.#canvas, { width, height: HEIGHT });
    context.drawImage(this.#still, 0, 0, width, HEIGHT);
    const scale = this.#state.scales.folded;
    const { start, end } = this.#viewport.addresses;
    const [left, right] = [scale.toUnit(start) * width, scale.toUnit(end) * width];
    context.fillStyle = theme.ground;
    context.globalAlpha = 0.6;
    context.fillRect(0, 0, left, HEIGHT);
    context.fillRect(right, 0, width - right, HEIGHT);
    context.globalAlpha = 1;
    context.strokeStyle = theme.accent;
    context.lineWidth = 2;
    const frame = Math.max(4, right - left - 2);
    context.strokeRect(Math.min(left + 1, width - 5), 1, frame, HEIGHT - 2);
  }
}
