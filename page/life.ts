// The life of a process: a curve of what was mapped, a slider over it, and the calls up to a moment.

import { area, curveStepAfter, line } from 'd3-shape';
import { scaleLinear } from 'd3-scale';
import type { TraceEvent } from '../lib/cli/data.js';
import { byId, element, prepareCanvas } from './dom.js';
import { bytes, duration, fileName, plural, whole } from './format.js';
import { FONT } from './paint.js';
import type { PageState } from './state.js';
import type { Theme } from './theme.js';
import type { Timeline } from './timeline.js';

const HEIGHT = 96;
const BOTTOM = 18;
const SHOWN_EVENTS = 7;
/** A whole life is played in about this time. */
const PLAY_MS = 12_000;
const STEPS = 1000;

const isTrouble = ({ verdict, error }: TraceEvent): boolean =>
  verdict === 'refused' || verdict === 'reported' || error !== undefined;

export class Life {
  readonly #timeline: Timeline;
  readonly #state: PageState;
  readonly #changed: () => void;
  readonly #slider = byId<HTMLInputElement>('time');
  readonly #chart = byId<HTMLCanvasElement>('chart');
  readonly #play = byId<HTMLButtonElement>('play');
  #playing = 0;
  #width = 1;

  constructor(timeline: Timeline, state: PageState, changed: () => void) {
    this.#timeline = timeline;
    this.#state = state;
    this.#changed = changed;
    byId('life').hidden = false;
    this.#slider.max = String(STEPS);
    this.#slider.addEventListener('input', () => {
      this.stop();
      this.#goTo(this.#timeAt(Number(this.#slider.value) / STEPS));
    });
    this.#play.addEventListener('click', () => this.toggle());
    const point = (event: PointerEvent) => {
      if (event.buttons !== 1) return;
      this.stop();
      this.#goTo(this.#timeAt(event.offsetX / this.#width));
    };
    this.#chart.addEventListener('pointerdown', point);
    this.#chart.addEventListener('pointermove', point);
    this.#sayOnce();
  }

  get playing(): boolean {
    return this.#playing !== 0;
  }

  #timeAt(share: number): number {
    const { begin, end } = this.#timeline;
    return begin + Math.min(1, Math.max(0, share)) * (end - begin);
  }

  #goTo(time: number): void {
    this.#state.goTo(time);
    this.#changed();
  }

  toggle(): void {
    if (this.playing) {
      this.stop();
      return;
    }
    const { begin, end } = this.#timeline;
    const from = this.#state.time >= end ? begin : this.#state.time;
    const began = performance.now();
    const step = (now: number) => {
      const time = from + ((now - began) / PLAY_MS) * (end - begin);
      this.#playing = time < end ? requestAnimationFrame(step) : 0;
      this.#goTo(Math.max(from, time));
      if (time >= end) this.stop();
    };
    this.#playing = requestAnimationFrame(step);
    this.#label();
  }

  stop(): void {
    cancelAnimationFrame(this.#playing);
    this.#playing = 0;
    this.#label();
  }

  #label(): void {
    this.#play.textContent = this.playing ? '❚❚' : '▶';
    this.#play.setAttribute('aria-label', this.playing ? 'Pause' : 'Play');
  }

  #sayOnce(): void {
    const { events, lost, unseen } = this.#timeline.trace;
    const count = (verdict: TraceEvent['verdict']) =>
      events.filter((event) => event.verdict === verdict).length;
    const parts = [
      plural(events.length, 'call'),
      `${whole(count('refused'))} refused`,
      `${whole(count('reported'))} reported`,
      `${whole(count('placed'))} placed by memmap`,
    ];
    byId('calls').textContent =
      `${parts.join(', ')}. ▲ refused, ◆ reported: a fixed mapping or an unmapping that would have hit memory of memmap.`;
    const missing =
      lost > 0 ? ` ${plural(lost, 'call')} did not fit into the record: the picture has gaps.` : '';
    const { snapshots } = this.#timeline.trace;
    const known = snapshots.some(({ regions }) =>
      regions.some((one) => one.resident !== undefined),
    );
    const memory = known
      ? 'Between the kernel’s lists it is not known how much is in memory.'
      : 'How much is in memory was not recorded.';
    byId('unseen').textContent =
      `Not every call can be seen: ${plural(unseen.regions, 'region')} (${bytes(unseen.bytes)}) at the end came from calls of the C library itself, from direct system calls, or from before the helper was there.${missing} ${memory}`;
  }

  resize(width: number): void {
    this.#width = Math.max(1, width);
  }

  draw(theme: Theme): void {
    const { begin, end, trace } = this.#timeline;
    const share = end > begin ? (this.#state.time - begin) / (end - begin) : 1;
    this.#slider.value = String(Math.round(share * STEPS));
    const done = this.#timeline.eventsBefore(this.#state.time);
    const clock = `${duration(this.#state.time)} of ${duration(end)}, call ${whole(done)} of ${whole(trace.events.length)}`;
    byId('clock').textContent = clock;
    this.#slider.setAttribute('aria-valuetext', clock);
    this.#drawEvents(done);
    this.#drawChart(theme);
  }

  #drawEvents(done: number): void {
    const events = this.#timeline.trace.events.slice(Math.max(0, done - SHOWN_EVENTS), done);
    const rows = events.reverse().map((event) => {
      const { verdict, error, time, caller } = event;
      const word = verdict === 'done' ? (error ? `failed: ${error}` : '') : verdict;
      const sort = verdict === 'done' && error ? 'failed' : verdict;
      return element(
        'li',
        {},
        element('span', { class: 'time' }, duration(time)),
        element('code', {}, callText(event)),
        element('span', { class: sort }, word),
        element('span', { class: 'by' }, fileName(caller)),
      );
    });
    const none = element('li', { class: 'note' }, 'No call yet.');
    byId('events').replaceChildren(...(rows.length > 0 ? rows : [none]));
  }

  #drawChart(theme: Theme): void {
    const { curve, most, begin, end } = this.#timeline;
    const context = prepareCanvas(this.#chart, { width: this.#width, height: HEIGHT });
    const x = scaleLinear([begin, Math.max(end, begin + 1e-6)], [0, this.#width]);
    // A change of megabytes beside gigabytes that stay would not be seen from zero: then the axis begins later, and says so.
    const known = curve.filter(([time]) => time >= begin);
    const least = known.reduce((a, [, mapped]) => Math.min(a, mapped), most);
    const floor = least > most / 2 ? least - (most - least) * 0.15 : 0;
    const y = scaleLinear([floor, Math.max(floor + 1, most)], [HEIGHT - BOTTOM, 16]);
    // More points than pixels show nothing more.
    const every = Math.max(1, Math.floor(known.length / (4 * this.#width)));
    const points = known
      .filter((_, at) => at % every === 0)
      .map(([time, mapped]): [number, number] => [x(time), y(mapped)]);
    points.push([this.#width, y(known.at(-1)?.[1] ?? 0)]);
    context.beginPath();
    area().curve(curveStepAfter).y0(y(floor)).context(context)(points);
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.16;
    context.fill();
    context.globalAlpha = 1;
    context.beginPath();
    line().curve(curveStepAfter).context(context)(points);
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    context.stroke();
    this.#drawMarks(context, theme, x);
    context.font = FONT;
    context.fillStyle = theme.faint;
    context.textAlign = 'left';
    const from = floor > 0 ? `, at least ${bytes(least)}` : '';
    context.fillText(`bytes mapped: at most ${bytes(most)}${from}`, 4, 11);
    for (const tick of x.ticks(Math.max(2, this.#width / 140)).slice(1)) {
      context.fillText(duration(tick), x(tick) + 3, HEIGHT - 4);
      context.fillRect(x(tick), HEIGHT - BOTTOM, 1, BOTTOM);
    }
    const now = x(this.#state.time);
    context.fillStyle = theme.ink;
    context.fillRect(Math.min(this.#width - 2, now - 1), 0, 2, HEIGHT - BOTTOM);
  }

  /** Refused, reported and failed calls, by shape and colour. */
  #drawMarks(context: CanvasRenderingContext2D, theme: Theme, x: (time: number) => number): void {
    let last = -10;
    context.font = '13px system-ui, sans-serif';
    context.textAlign = 'center';
    for (const event of this.#timeline.trace.events) {
      if (!isTrouble(event)) continue;
      const at = x(event.time);
      const grave = event.verdict !== 'done';
      if (at - last < 5 && !grave) continue;
      last = at;
      const { verdict } = event;
      context.fillStyle = verdict === 'refused' ? theme.bad : theme.warn;
      const sign = verdict === 'refused' ? '▲' : verdict === 'reported' ? '◆' : '·';
      context.fillText(sign, at, HEIGHT - BOTTOM - 2);
    }
  }
}

/** 'mmap(NULL, 64 KiB) = 0x7f…'. */
export function callText(event: TraceEvent): string {
  const { call, address, length, newLength, result } = event;
  const where = Number(address) === 0 ? 'NULL' : address;
  const to = newLength === undefined ? '' : `, ${bytes(newLength)}`;
  const answer = result === null || call === 'munmap' || call === 'mprotect' || call === 'madvise';
  return `${call}(${where}, ${bytes(length)}${to})${answer ? '' : ` = ${result}`}`;
}
