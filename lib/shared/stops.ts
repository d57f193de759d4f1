// Who is stopped by which AbortSignal. A signal has one listener of ours, however many wait with it: a program has one signal for all
// that it does, and Node warns of more than ten listeners.

type Stop = () => void;

const stops = new WeakMap<AbortSignal, Set<Stop>>();

/** Calls `stop` when the signal is aborted, until `notAfterAll`. */
export function stopWith(signal: AbortSignal, stop: Stop): void {
  const all = stops.get(signal) ?? new Set();
  if (all.size === 0) {
    stops.set(signal, all);
    signal.addEventListener('abort', tellAll, { once: true });
  }
  all.add(stop);
}

export function notAfterAll(signal: AbortSignal, stop: Stop): void {
  const all = stops.get(signal);
  if (all?.delete(stop) === true && all.size === 0) signal.removeEventListener('abort', tellAll);
}

function tellAll(this: AbortSignal): void {
  for (const stop of stops.get(this) ?? []) stop();
}
