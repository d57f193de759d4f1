// The sizes that addresses and offsets are multiples of.
import { pageSize as size } from './binding.js';

/** Bytes in a page, as the kernel says: sysconf(_SC_PAGESIZE). */
export const pageSize: number = size;

/** What addresses and file offsets of a raw call are multiples of: a page, on Linux and macOS. */
export const allocationGranularity: number = size;
