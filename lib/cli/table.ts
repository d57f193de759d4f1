// A table for a terminal: columns aligned, the last one cut on its left where there is no room. The build puts string-width into
// this module: a path may hold letters that are two cells wide.

import stringWidth from 'string-width';

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** Where there is no room, columns with the highest number go first; one without stays. */
  readonly optional?: number;
}

/** A cell: what is shown, and what puts it into colour once its width is settled. */
export interface Cell {
  readonly text: string;
  readonly paint?: ((text: string) => string) | undefined;
}

const GAP = '  ';
/** The last column is left out rather than shown with less. */
const LEAST = 12;

/** As much of the end of a text as fits: the end of a path says the most. */
function cutLeft(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  const letters = Array.from(text);
  let kept = '';
  for (let at = letters.length - 1; at >= 0; at--) {
    const longer = `${letters[at] ?? ''}${kept}`;
    if (stringWidth(longer) + 1 > width) break;
    kept = longer;
  }
  return `…${kept}`;
}

const pad = (text: string, width: number, align: Column['align']): string => {
  const space = ' '.repeat(Math.max(0, width - stringWidth(text)));
  return align === 'left' ? `${text}${space}` : `${space}${text}`;
};

/** The columns that fit, by index, with their widths. */
function fit(
  columns: readonly Column[],
  needed: readonly number[],
  room: number,
): [number, number][] {
  let chosen = needed.map((width, at): [number, number] => [at, width]);
  const last = columns.length - 1;
  const taken = () => chosen.reduce((sum, [, width]) => sum + width + GAP.length, -GAP.length);
  for (;;) {
    const over = taken() - room;
    if (over <= 0) return chosen;
    const end = chosen.at(-1);
    if (end?.[0] === last && end[1] - over >= LEAST) {
      end[1] -= over;
      return chosen;
    }
    const rank = (at: number) => columns[at]?.optional ?? 0;
    const [victim] = [...chosen].sort(([a], [b]) => rank(b) - rank(a))[0] ?? [];
    if (victim === undefined || rank(victim) === 0) return chosen;
    chosen = chosen.filter(([at]) => at !== victim);
  }
}

/** Lines of at most `room` cells, where the columns that must stay allow it. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  room: number,
): string[] {
  const titles = columns.map(({ title }): Cell => ({ text: title }));
  const all = [titles, ...rows];
  const needed = columns.map((_, at) =>
    all.reduce((most, row) => Math.max(most, stringWidth(row[at]?.text ?? '')), 0),
  );
  const chosen = fit(columns, needed, room);
  const lineOf = (row: readonly Cell[]) =>
    chosen
      .map(([at, width]) => {
        const { text, paint = (same: string) => same } = row[at] ?? { text: '' };
        const isLast = at === chosen.at(-1)?.[0];
        const align = columns[at]?.align ?? 'left';
        const shown = cutLeft(text, width);
        return paint(isLast && align === 'left' ? shown : pad(shown, width, align));
      })
      .join(GAP)
      .trimEnd();
  return all.map(lineOf);
}
