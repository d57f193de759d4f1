// Page arithmetic on JavaScript numbers. Pure: the page size is always an argument.
// Page addresses are exact as numbers on every platform (at most 45 significant bits).

/** The page boundary at or below `value`. */
export const roundDown = (value: number, page: number): number => value - (value % page);

/** The page boundary at or above `value`. */
export const roundUp = (value: number, page: number): number => {
  const rest = value % page;
  return rest === 0 ? value : value - rest + page;
};

/** A half-open range of addresses. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Every page that holds a byte of it: for calls that keep contents (protect, lock, flush). */
export const outward = (start: number, end: number, page: number): Span => ({
  start: roundDown(start, page),
  end: roundUp(end, page),
});

/** Only pages that lie wholly inside: for calls that destroy contents. May be empty. */
export const inward = (start: number, end: number, page: number): Span => {
  const first = roundUp(start, page);
  return { start: first, end: Math.max(first, roundDown(end, page)) };
};
