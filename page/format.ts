// Numbers as people read them: bytes with units, addresses in hexadecimal.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** '4 KiB', '63.2 MiB', '128 TiB'. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

/** The same, of what may not be known. */
export const amount = (count: number | undefined): string =>
  count === undefined ? '–' : bytes(count);

/** '4 096 bytes', with thin spaces. */
export const exactBytes = (count: number): string =>
  `${whole(count)} ${count === 1 ? 'byte' : 'bytes'}`;

export const whole = (count: number): string =>
  Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, '\u2009');

/** '0x7f12a4000'. Multiples of a page are exact in a number up to 2^64. */
export const hex = (address: number): string => `0x${BigInt(Math.round(address)).toString(16)}`;

export const percent = (part: number, of: number): string => {
  if (of === 0) return '0 %';
  const share = (100 * part) / of;
  if (share > 0 && share < 1) return '< 1 %';
  return `${share > 99 && share < 100 ? '> 99' : String(Math.round(share))} %`;
};

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${whole(count)} ${count === 1 ? one : many}`;

/** '12.3 ms', '1.24 s'. */
export const duration = (ms: number): string =>
  ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;

export const fileName = (path: string): string => path.slice(path.lastIndexOf('/') + 1) || path;
