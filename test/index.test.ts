import { execFileSync } from 'node:child_process';
import * as memmap from '../lib/index.js';

it('exports what users rely on, and nothing by accident', () => {
  expect(Object.keys(memmap).sort()).toEqual([
    'Arena',
    'Channel',
    'FaultError',
    'Latest',
    'LatestReader',
    'LatestWriter',
    'MapError',
    'MappedMemory',
    'Mapping',
    'Mutex',
    'Reservation',
    'RwLock',
    'Semaphore',
    'SharedMemory',
    'addressSpace',
    'allocationGranularity',
    'configure',
    'constants',
    'guardStatus',
    'mapAnonymous',
    'mapFile',
    'mapFileSync',
    'notify',
    'pageSize',
    'registry',
    'reserve',
    'sys',
    'wait',
    'waitAsync',
  ]);
  expect(Object.keys(memmap.sys).sort()).toEqual([
    'madvise',
    'mincore',
    'mlock',
    'mmap',
    'mprotect',
    'mremap',
    'msync',
    'munlock',
    'munmap',
  ]);
  expect(Object.keys(memmap.addressSpace).sort()).toEqual([
    'arena',
    'fragmentation',
    'query',
    'regions',
    'trace',
  ]);
  expect(Object.keys(memmap.registry).sort()).toEqual(['at', 'mappings', 'overlapping', 'verify']);
});

it('asks the system for the page size', () => {
  const asked = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));
  expect([memmap.pageSize, memmap.allocationGranularity]).toEqual([asked, asked]);
});

describe('constants', () => {
  const program =
    'import json,mmap\nprint(json.dumps({n:getattr(mmap,n) for n in dir(mmap) if n.startswith(("PROT_","MAP_","MADV_"))}))';
  const python = JSON.parse(
    execFileSync('python3', ['-c', program], { encoding: 'utf8' }),
  ) as Record<string, number>;

  it('are those that another program was compiled with', () => {
    expect(Object.keys(python).length).toBeGreaterThan(20);
    const ours = Object.fromEntries(
      Object.keys(python).map((name) => [name, memmap.constants[name]]),
    );
    expect(ours).toEqual(python);
  });

  it('know every family, and cannot be changed', () => {
    for (const family of ['PROT_', 'MAP_', 'MS_', 'MADV_', 'MREMAP_']) {
      expect(Object.keys(memmap.constants).some((name) => name.startsWith(family))).toBe(true);
    }
    expect(Object.isFrozen(memmap.constants)).toBe(true);
    expect(Object.values(memmap.constants).every(Number.isInteger)).toBe(true);
  });
});
