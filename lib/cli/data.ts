// The JSON that the commands print and that the page is given. Types only: the page's own sources read them, too.

import type { RegionJson } from '../looking/region.js';
import type { Trace } from '../looking/trace.js';

export type { OwnerKind } from '../looking/owner-draft.js';
export type { Trace, TraceEvent } from '../looking/trace.js';
export type { RegionJson };

/** What the page draws. */
export interface PageData {
  title: string;
  /** 0 where it is not known. */
  pid: number;
  command: string;
  /** When, in ISO 8601; '' where it is not known. */
  taken: string;
  pageSize: number;
  regions: RegionJson[];
  trace?: Trace;
}
