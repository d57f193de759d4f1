// The data of the page, packed: rows that are alike are written once, and columns instead of rows. A million calls fit into a
// string, and a page is a third as large. Pure: the page unpacks with this very module.

import type { PageData, RegionJson, Trace, TraceEvent } from './data.js';

type Scalar = string | number | boolean | null;
type Row = Readonly<Record<string, Scalar | undefined>>;

/** Numbers as they are; anything else by its place in a list of words. Where a row has no such key: null, and -1. */
type Column = { numbers: (number | null)[] } | { words: Scalar[]; at: number[] };

interface Table {
  count: number;
  columns: Record<string, Column>;
}

/** What stands in the page. */
export interface PackedData extends Omit<PageData, 'regions' | 'trace'> {
  /** Every region of any time, once. */
  table: Table;
  /** Its rows that are the page's regions. */
  regions: number[];
  trace?: PackedTrace;
}

interface PackedTrace extends Omit<Trace, 'events' | 'snapshots'> {
  events: Table;
  snapshots: { time: number; regions: number[] }[];
}

function packColumn(rows: readonly Row[], key: string): Column {
  const values = rows.map((row) => row[key]);
  if (values.every((value) => value === undefined || typeof value === 'number')) {
    return { numbers: values.map((value) => value ?? null) };
  }
  const places = new Map<Scalar, number>();
  const at = values.map((value) => {
    if (value === undefined) return -1;
    const place = places.get(value) ?? places.size;
    places.set(value, place);
    return place;
  });
  return { words: [...places.keys()], at };
}

function packRows(rows: readonly Row[]): Table {
  const keys = new Set<string>();
  for (const row of rows) for (const key of Object.keys(row)) keys.add(key);
  const columns = [...keys].map((key) => [key, packColumn(rows, key)] as const);
  return { count: rows.length, columns: Object.fromEntries(columns) };
}

function valueAt(column: Column, row: number): Scalar | undefined {
  if ('numbers' in column) return column.numbers[row] ?? undefined;
  return column.words[column.at[row] ?? -1];
}

function unpackRows(table: Table): Row[] {
  const columns = Object.entries(table.columns);
  return Array.from({ length: table.count }, (_, at) => {
    const row: Record<string, Scalar> = {};
    for (const [key, column] of columns) {
      const value = valueAt(column, at);
      if (value !== undefined) row[key] = value;
    }
    return row;
  });
}

/** A region without the object inside it. */
function flat({ owner: { kind, label, certain }, ...region }: RegionJson): Row {
  return { ...region, kind, label, certain };
}

function raised({ kind, label, certain, ...region }: Row): RegionJson {
  return { ...region, owner: { kind, label, certain } } as unknown as RegionJson;
}

/** Numbers regions in the order in which they are first met. */
class Numbering {
  readonly #numbers = new Map<string, number>();
  readonly rows: Row[] = [];

  of(regions: readonly RegionJson[]): number[] {
    return regions.map((region) => {
      const key = JSON.stringify(region);
      const known = this.#numbers.get(key);
      if (known !== undefined) return known;
      this.#numbers.set(key, this.rows.length);
      return this.rows.push(flat(region)) - 1;
    });
  }
}

export function pack({ regions, trace, ...rest }: PageData): PackedData {
  const numbering = new Numbering();
  const packed = { ...rest, regions: numbering.of(regions) };
  if (trace === undefined) return { ...packed, table: packRows(numbering.rows) };
  const snapshots = trace.snapshots.map(({ time, regions: then }) => ({
    time,
    regions: numbering.of(then),
  }));
  const events = packRows(trace.events.map((event) => ({ ...event })));
  return { ...packed, table: packRows(numbering.rows), trace: { ...trace, snapshots, events } };
}

/** The data again. Regions that were alike are one object. */
export function unpack({ table, regions, trace, ...rest }: PackedData): PageData {
  const all = unpackRows(table).map(raised);
  const those = (rows: readonly number[]): RegionJson[] =>
    rows.map((row) => all[row] as RegionJson);
  const unpacked = { ...rest, regions: those(regions) };
  if (trace === undefined) return unpacked;
  const snapshots = trace.snapshots.map(({ time, regions: then }) => ({
    time,
    regions: those(then),
  }));
  const events = unpackRows(trace.events) as unknown as TraceEvent[];
  return { ...unpacked, trace: { ...trace, snapshots, events } };
}
