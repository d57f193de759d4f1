// The platform's own numbers, as the addon's headers and kernel name them.
import { native } from './binding.js';
import { type ConstantTable, Flags } from './flags.js';

/**
 * Every `PROT_*`, `MAP_*`, `MS_*`, `MADV_*` and `MREMAP_*` of the platform this runs on. Frozen;
 * what the platform does not have is not there. Source: mmap(2), msync(2), madvise(2), mremap(2).
 */
export const constants: ConstantTable = Object.freeze({ ...native.constants });

export const flags = new Flags(constants);
