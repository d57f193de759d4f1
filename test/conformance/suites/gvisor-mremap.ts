// gVisor, test/syscalls/linux/mremap.cc. MREMAP_FIXED goes only over what one owns and names, so a
// target is reserved first; where the source was, the kernel's list shows a hole.
import assert from 'node:assert/strict';
import type { Tools } from '../case.js';
import { type Runs, SHARINGS, agrees, alone, holds, modes, prot, suiteOf } from '../kit.js';
import { type Mapping, constants, pageSize, sys } from '../tools.js';

type Sharing = (typeof SHARINGS)[number];
type Body = (t: Tools, source: (pages: number) => Mapping) => void;

/** Runs the body for shared and for private memory, whose page n holds the value n + 1. */
const withBoth = (body: Body) => (t: Tools) => {
  for (const sharing of SHARINGS) {
    body(t, (pages) => numbered(sharing, pages));
  }
};

function numbered(sharing: Sharing, pages: number): Mapping {
  const m = alone(pages, { flags: `${sharing} ANONYMOUS` });
  for (let page = 0; page < pages; page++) {
    m.write(page * pageSize, Buffer.alloc(pageSize, page + 1));
  }
  return m;
}

const FIXED = constants.MREMAP_MAYMOVE | constants.MREMAP_FIXED;
const size = (pages: number): number => pages * pageSize;

/** Moves pages of `from` over `to`, which is named. */
const moveOver = (from: Mapping, oldPages: number, newPages: number, to: Mapping): Mapping =>
  sys.mremap(from.address, size(oldPages), size(newPages), FIXED, to.address, { replace: to });

const mapped = (t: Tools, address: bigint, pages: number): boolean[] =>
  modes(t, address, pages).map((mode) => mode !== '');

const inPlace: Runs = {
  'gv.PrivateShared/MremapParamTest.Noop': withBoth((_t, source) => {
    using m = source(1);
    const { address } = m;
    using same = sys.mremap(address, size(1), size(1), 0);
    assert.equal(same.address, address);
    assert.equal(same, m);
    holds(m, 1);
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.InPlace_ShrinkingPartialVMA': withBoth((t, source) => {
    using m = source(3);
    const { address } = m;
    using first = sys.mremap(address, size(2), size(1), 0);
    assert.equal(first.address, address);
    assert.deepEqual(mapped(t, address, 3), [true, false, true]);
    holds(first, 1);
    const [third] = m.parts;
    assert.equal(third?.address, address + BigInt(size(2)));
    holds(third, 3);
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.InPlace_ShrinkingAcrossVMAs': withBoth((t, source) => {
    using m = source(3);
    sys.mprotect(m.address, pageSize, prot('r'));
    using shorter = sys.mremap(m.address, size(3), size(2), 0);
    assert.equal(shorter.address, m.address);
    const rest = modes(t, m.address, 3).map((mode) => mode.slice(0, 2));
    assert.deepEqual(rest, ['r-', 'rw', '']);
    holds(shorter, 1, { length: pageSize });
    holds(shorter, 2, { offset: pageSize });
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.InPlace_ExpansionSuccess': withBoth((t, source) => {
    using m = source(1);
    const { address } = m;
    using grown = sys.mremap(address, size(1), size(2), 0);
    assert.deepEqual([grown.address, grown.length], [address, size(2)]);
    assert.deepEqual(mapped(t, address, 2), [true, true]);
    holds(grown, 1, { length: pageSize });
    agrees();
  }),
};

const fixed: Runs = {
  'gv.PrivateShared/MremapParamTest.Fixed_SameSize': withBoth((t, source) => {
    using m = source(1);
    using reserved = alone(1, { prot: '' });
    const [from, to] = [m.address, reserved.address];
    using moved = moveOver(m, 1, 1, reserved);
    assert.equal(moved.address, to);
    assert.deepEqual([mapped(t, from, 1), mapped(t, to, 1)], [[false], [true]]);
    holds(moved, 1);
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.Fixed_SameSize_Unmapping': withBoth((t, source) => {
    using m = source(1);
    using old = source(1);
    old.write(0, Buffer.alloc(pageSize, 9));
    const [from, to] = [m.address, old.address];
    using moved = moveOver(m, 1, 1, old);
    assert.equal(moved.address, to);
    assert.equal(old.state, 'replaced');
    assert.deepEqual(mapped(t, from, 1), [false]);
    holds(moved, 1);
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.Fixed_ShrinkingWholeVMA': withBoth((t, source) => {
    using m = source(2);
    using reserved = alone(2, { prot: '' });
    const [from, to] = [m.address, reserved.address];
    using moved = moveOver(m, 2, 1, reserved);
    assert.equal(moved.address, to);
    assert.deepEqual(mapped(t, from, 2), [false, false]);
    assert.deepEqual(
      modes(t, to, 2).map((mode) => mode.slice(0, 2)),
      ['rw', '--'],
    );
    holds(moved, 1);
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.Fixed_ShrinkingPartialVMA': withBoth((t, source) => {
    using m = source(3);
    using reserved = alone(1, { prot: '' });
    const [from, to] = [m.address, reserved.address];
    using moved = moveOver(m, 2, 1, reserved);
    assert.equal(moved.address, to);
    assert.deepEqual(mapped(t, from, 3), [false, false, true]);
    holds(moved, 1);
    const [third] = m.parts;
    assert.ok(third !== undefined);
    holds(third, 3);
    agrees();
  }),
  'gv.PrivateShared/MremapParamTest.Fixed_Expansion': withBoth((t, source) => {
    using m = source(1);
    using reserved = alone(2, { prot: '' });
    const [from, to] = [m.address, reserved.address];
    using moved = moveOver(m, 1, 2, reserved);
    assert.deepEqual([moved.address, moved.length], [to, size(2)]);
    assert.deepEqual(mapped(t, from, 1), [false]);
    assert.deepEqual(
      modes(t, to, 2).map((mode) => mode.slice(0, 2)),
      ['rw', 'rw'],
    );
    holds(moved, 1, { length: pageSize });
    agrees();
  }),
  'gv.MremapTest.MustMove_Copy'(t) {
    using m = numbered('SHARED', 1);
    using reserved = alone(1, { prot: '' });
    using copy = sys.mremap(m.address, 0, pageSize, FIXED, reserved.address, { replace: reserved });
    assert.notEqual(copy, m);
    assert.deepEqual([mapped(t, m.address, 1), mapped(t, copy.address, 1)], [[true], [true]]);
    holds(copy, 1);
    m.write(0, Buffer.alloc(pageSize, 5));
    holds(copy, 5);
    agrees();
  },
};

export const suite = suiteOf({ ...inPlace, ...fixed });
