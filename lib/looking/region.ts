// One row of a listing, as an object that reads it when it is asked.
import { inspect } from 'node:util';
import { flags } from '../constants.js';
import { misuse } from '../errors.js';
import type { Protection } from '../flags.js';
import type { Listing } from './listing.js';
import type { OwnerKind } from './owner-draft.js';
import type { Owner } from '../owners.js';
import { shortName } from './owner-names.js';
import { type MappingRecord, registry } from '../record.js';
import { labelOf } from './region-owner.js';
import {
  COLUMNS,
  DEVICE,
  END,
  EXECUTE,
  HOLDER,
  HOLDERS,
  INODE,
  MODE,
  NAME,
  OFFSET,
  OWNER,
  READ,
  SHARED,
  START,
  WRITE,
  deviceText,
} from './survey.js';

/** Who a region belongs to. */
export interface RegionOwner {
  /** What it is for, or who made it. */
  readonly kind: OwnerKind;
  /** What people call it: 'data.bin', 'libc.so.6', 'thread stack 1234'. */
  readonly label: string;
  /** False where it is a guess by shape and place. */
  readonly certain: boolean;
  /** The Mapping, of this thread and if somebody can still reach it. */
  readonly mapping?: Owner | undefined;
}

/** An owner as data. */
export interface OwnerJson {
  /** What it is for, or who made it. */
  kind: OwnerKind;
  /** What people call it. */
  label: string;
  /** False where it is a guess. */
  certain: boolean;
}

/** A region as data: addresses are hexadecimal, everything else is in bytes. */
export interface RegionJson {
  /** First address, '0x7f1234560000'. */
  start: string;
  /** The address after the last. */
  end: string;
  /** Bytes. */
  length: number;
  /** 'rwx', with '-' for what is not allowed. */
  protection: string;
  /** What is written reaches the file, or others who share it. */
  shared: boolean;
  /** The kernel's name: a file's path, '[heap]', '[stack]'. */
  path?: string;
  /** Where it begins in its file. */
  offset: number;
  /** The file's inode; 0 where there is none. */
  inode: number;
  /** The file's device, 'major:minor'. */
  device: string;
  /** Who it belongs to. */
  owner: OwnerJson;
  /** Bytes in memory. */
  resident?: number;
  /** Bytes in memory that were changed and not written back. */
  dirty?: number;
  /** Bytes in the swap. */
  swapped?: number;
  /** Bytes in memory as huge pages. */
  hugePages?: number;
}

const hex = (address: number): string => `0x${address.toString(16)}`;

const key = Symbol('memmap');

/** A part of a process's address space, as it was when `addressSpace.regions()` was called. */
export class Region {
  readonly #listing: Listing;
  readonly #row: number;
  #owner: RegionOwner | undefined;

  /** @internal Regions are made by addressSpace.regions() and query(). */
  constructor(secret: symbol, listing: Listing, row: number) {
    if (secret !== key) throw misuse('ARGUMENT', 'a Region is made by addressSpace, not by new');
    this.#listing = listing;
    this.#row = row;
  }

  #cell(column: number): number {
    return this.#listing.survey.rows[this.#row * COLUMNS + column] as number;
  }

  /** First address. */
  get start(): bigint {
    return BigInt(this.#cell(START));
  }

  /** The address after the last. */
  get end(): bigint {
    return BigInt(this.#cell(END));
  }

  /** Bytes. */
  get length(): number {
    return this.#cell(END) - this.#cell(START);
  }

  /** What its pages allow. */
  get protection(): Protection {
    const mode = this.#cell(MODE);
    const { read, write, execute } = flags;
    return flags.protectionWord(
      (mode & READ ? read : 0) | (mode & WRITE ? write : 0) | (mode & EXECUTE ? execute : 0),
    );
  }

  /** What is written reaches the file, or others who share it. */
  get shared(): boolean {
    return (this.#cell(MODE) & SHARED) !== 0;
  }

  /** The kernel's name: a file's path, '[heap]', '[stack]'; undefined for plain memory. */
  get path(): string | undefined {
    return this.#listing.survey.names[this.#cell(NAME)];
  }

  /** Where it begins in its file, in bytes. */
  get offset(): number {
    return this.#cell(OFFSET);
  }

  /** The file's inode; 0 where there is none. */
  get inode(): number {
    return this.#cell(INODE);
  }

  /** The file's device, 'major:minor'. */
  get device(): string {
    return deviceText(this.#cell(DEVICE));
  }

  /** Who it belongs to. Found out for the whole listing when the first of it is asked. */
  get owner(): RegionOwner {
    if (this.#owner !== undefined) return this.#owner;
    const known = HOLDERS[this.#cell(HOLDER)];
    if (known !== undefined) {
      this.#owner = new HeldBy(known, this.#cell(OWNER), this);
    } else {
      const { owners, row } = this.#listing.ownerOf(this.#row);
      const [kind, certain] = [owners.kind(row), owners.certain(row)];
      this.#owner = { kind, certain, label: labelOf(owners, row) };
    }
    return this.#owner;
  }

  /**
   * Bytes in memory. The first use of this, `dirty`, `swapped` or `hugePages` asks the kernel once
   * for all regions of the listing, and says what is so then; undefined where it cannot be known.
   */
  get resident(): number | undefined {
    return this.#listing.usage(this.#row, 0);
  }

  /** Bytes in memory that were changed and not written back. */
  get dirty(): number | undefined {
    return this.#listing.usage(this.#row, 1);
  }

  /** Bytes in the swap. */
  get swapped(): number | undefined {
    return this.#listing.usage(this.#row, 2);
  }

  /** Bytes in memory as huge pages. */
  get hugePages(): number | undefined {
    return this.#listing.usage(this.#row, 3);
  }

  /** Everything as data. */
  toJSON(): RegionJson {
    const mode = this.#cell(MODE);
    const letters = [
      [READ, 'r'],
      [WRITE, 'w'],
      [EXECUTE, 'x'],
    ] as const;
    const { length, shared, path, offset, inode, device, owner } = this;
    const { resident, dirty, swapped, hugePages } = this;
    return {
      start: hex(this.#cell(START)),
      end: hex(this.#cell(END)),
      length,
      protection: letters.map(([bit, letter]) => (mode & bit ? letter : '-')).join(''),
      shared,
      ...(path !== undefined && { path }),
      offset,
      inode,
      device,
      owner: { kind: owner.kind, label: owner.label, certain: owner.certain },
      ...(resident !== undefined && { resident }),
      ...(dirty !== undefined && { dirty }),
      ...(swapped !== undefined && { swapped }),
      ...(hugePages !== undefined && { hugePages }),
    };
  }

  /** What console.log shows of it. */
  [inspect.custom](): string {
    if (!(#listing in this)) return 'Region {}';
    const { protection, owner } = this;
    const guess = owner.certain ? '' : '?';
    return `Region ${hex(this.#cell(START))}-${hex(this.#cell(END))} ${protection}, ${owner.kind}${guess} '${owner.label}'`;
  }
}

/** What memmap itself holds. The Mapping is looked up when it is asked for, and never kept. */
class HeldBy implements RegionOwner {
  readonly kind: OwnerKind;
  readonly certain = true;
  readonly #owner: number;
  readonly #region: Region;

  constructor(kind: OwnerKind, owner: number, region: Region) {
    this.kind = kind;
    this.#owner = owner;
    this.#region = region;
  }

  get #record(): MappingRecord | undefined {
    if (this.#owner < 0) return undefined;
    const record = registry.entryAt(Number(this.#region.start));
    return record?.ownerId === this.#owner ? record : undefined;
  }

  get mapping(): Owner | undefined {
    if (this.kind === 'mapping') return this.#record?.owner;
    const reserve = registry.reserves.at(Number(this.#region.start));
    return reserve?.ownerId === this.#owner ? reserve.owner : undefined;
  }

  get label(): string {
    if (this.#owner < 0 && this.kind !== 'retired') return `another thread’s ${this.kind}`;
    if (this.kind !== 'mapping') return this.kind;
    const name = this.#record?.contents.path ?? this.#region.path;
    return name === undefined ? 'mapping' : shortName(name);
  }
}

/** Every row of a listing. */
export function regionsOf(listing: Listing, count: number): Region[] {
  const regions: Region[] = [];
  for (let row = 0; row < count; row++) regions.push(new Region(key, listing, row));
  return regions;
}
