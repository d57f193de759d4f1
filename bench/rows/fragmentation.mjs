// fragmentation: how much room for one large block is left by what stays, after the trace of the example.
import { kernelWindow, underArena, underKernel } from '../../examples/fragmentation.mjs';
import { MiB, timesLarger } from '../harness.mjs';

export const fragmentation = {
  name: 'fragmentation',
  what: 'largest free block after 6,600 allocations in a GiB of address space: a segregated arena',
  results: {
    fragmentation: { unit: 'MiB', peer: "the kernel's placement", target: timesLarger(3) },
    'fragmentation-first-fit': {
      unit: 'MiB',
      peer: 'an arena that knows no lifetimes',
      target: timesLarger(3),
    },
  },
  run() {
    const window = kernelWindow();
    const size = window.end - window.start;
    const largest = ({ largest }) => largest / MiB;
    const value = largest(underArena(size, 'segregated'));
    return {
      fragmentation: { value, against: largest(underKernel(window)) },
      'fragmentation-first-fit': { value, against: largest(underArena(size, 'first-fit')) },
    };
  },
};
