// What is remembered of an array that is passed again and again, and copies with it.
import { Familiar, plain } from '../../lib/shared/familiar.js';
import { mapAnonymous } from '../../lib/index.js';
import { ShortCopy } from '../../lib/shared/short-copy.js';
import { growing } from '../helpers/growing.js';

const examined: unknown[] = [];
function examine(value: unknown): Uint8Array {
  examined.push(value);
  if (!(value instanceof Uint8Array)) throw new TypeError('no bytes');
  return value;
}
beforeEach(() => examined.splice(0));

const numbered = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 7 + 1) & 0xff);

it('an array is asked about once, and has its longs from the second time on', () => {
  const familiar = new Familiar(examine);
  const array = numbered(20);
  expect(familiar.of(array).longs).toHaveLength(0);
  expect(familiar.of(array).longs).toHaveLength(2);
  expect(familiar.of(array).bytes).toEqual(array);
  expect(examined).toEqual([array]);
  const other = numbered(9);
  expect(familiar.of(other).bytes).toEqual(other);
  expect(familiar.of(other).longs).toHaveLength(1);
  familiar.of(array);
  expect(examined).toEqual([array, other, array]);
});

it('its bytes are an array of its own, with the length of the first look', () => {
  const array = numbered(8);
  const { bytes } = new Familiar(examine).of(array);
  expect(bytes).not.toBe(array);
  expect(bytes.buffer).toBe(array.buffer);
});

it('an array whose memory was taken away is asked about again', () => {
  const familiar = new Familiar(examine);
  const array = numbered(16);
  familiar.of(array);
  familiar.of(array);
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  expect(() => familiar.of(array)).toThrow('detached');
  expect(examined).toEqual([array, array]);
});

it.each([
  ['of more than is kept', new Uint8Array(64 * 1024 + 1)],
  ['part of more than is kept', new Uint8Array(new ArrayBuffer(64 * 1024 + 8), 8, 8)],
  ['that may grow', new Uint8Array(growing(8, 16))],
  ['of a mapping, which it would keep', mapAnonymous(8).buffer],
])('an array %s is not remembered', (_, array) => {
  const familiar = new Familiar(examine);
  const first = familiar.of(array);
  expect(familiar.of(array)).not.toBe(first);
  expect(first.longs).toHaveLength(0);
  expect(familiar.bytes).toHaveLength(0);
  expect(examined).toHaveLength(2);
});

it('what is no array is refused each time, and leaves the last one as it was', () => {
  const familiar = new Familiar(examine);
  const array = numbered(8);
  familiar.of(array);
  for (const value of [undefined, null, 8, 'bytes']) {
    expect(() => familiar.of(value)).toThrow('no bytes');
    expect(() => familiar.of(value)).toThrow('no bytes');
  }
  expect(familiar.of(array).bytes).toEqual(array);
});

it('an array that lies askew has no longs', () => {
  const familiar = new Familiar(examine);
  const array = numbered(40).subarray(4);
  familiar.of(array);
  expect(familiar.of(array)).toMatchObject({ bytes: array, longs: new BigInt64Array() });
});

const RING = 1024;
const AROUND = 8;

describe.each([true, false])('copies, known %s', (isKnown) => {
  const known = (array: Uint8Array) => {
    const familiar = new Familiar(examine);
    familiar.of(array);
    return isKnown ? familiar.of(array) : plain(array);
  };

  it('every length is copied, and nothing beside it', () => {
    for (let length = 0; length <= 500; length++) {
      const ring = new Uint8Array(RING).fill(0xee);
      const copy = new ShortCopy(ring);
      const message = numbered(length);
      copy.in(known(message), AROUND);
      expect(ring.subarray(AROUND, AROUND + length)).toEqual(message);
      expect([...ring.subarray(0, AROUND), ...ring.subarray(AROUND + length)]).toEqual(
        Array(RING - length).fill(0xee),
      );
      for (const at of [0, 3, 8]) {
        const target = new Uint8Array(at + length + AROUND).fill(0xdd);
        copy.out(known(target), at, { offset: AROUND, length });
        expect(target.subarray(at, at + length)).toEqual(message);
        const beside = [...target.subarray(0, at), ...target.subarray(at + length)];
        expect(beside).toEqual(Array(at + AROUND).fill(0xdd));
      }
    }
  });
});
