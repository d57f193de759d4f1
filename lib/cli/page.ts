// Makes the page of `memmap view` and `memmap run --report`: the template that was built from page/, with the data in it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PageData } from './data.js';
import { pack } from './pack.js';

export type { OwnerKind, PageData, RegionJson, Trace, TraceEvent } from './data.js';

/** Where the template takes the data: scripts/build-page.mjs writes it there once. */
const PLACE = '"%DATA%"';

const template = (): string => {
  const file = join(__dirname, '..', 'page', 'template.html');
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`the page was not built: ${file} is missing (npm run build:page)`, {
      cause: error,
    });
  }
};

/**
 * JSON that can stand in a script element: nothing in it can end the element or open a comment. It is
 * still JSON, since every `<` in it is part of a string, and a string may spell it so.
 */
export const embeddable = (data: unknown): string =>
  JSON.stringify(data).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** One HTML page that needs nothing else: no network, no other file. */
export function renderPage(data: PageData): string {
  const [before = '', after] = template().split(PLACE);
  if (after === undefined) throw new Error('the template of the page has no place for data');
  return `${before}${embeddable(pack(data))}${after}`;
}
