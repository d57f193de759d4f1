// The text of /proc/PID/maps as regions: the same as those of a live process, and of text of any kind.

import { readFileSync } from 'node:fs';
import { addressSpace } from '../lib/index';
import { regionsOfText } from '../lib/looking/maps-text';
import { itUnless } from './helpers/refusals';

const notLinux = process.platform === 'linux' ? undefined : 'there is no /proc/self/maps';

itUnless(notLinux)('gives what addressSpace.regions() gives', () => {
  const text = readFileSync('/proc/self/maps', 'utf8');
  const parsed = new Map(
    regionsOfText(text, process.execPath).map((region) => [region.start, region]),
  );
  // What this process maps and unmaps meanwhile is in one list only.
  const live = addressSpace.regions().map((region) => region.toJSON());
  const same = live.filter(({ start, end }) => parsed.get(start)?.end === end);
  // The process maps and unmaps between the two looks.
  expect(same.length).toBeGreaterThan(20);
  for (const { start, end, length, protection, shared, path, offset, inode, device } of same) {
    const { owner, ...found } = parsed.get(start)!;
    expect(found).toEqual({
      ...{ start, end, length, protection, shared, offset, inode, device },
      ...(path !== undefined && { path }),
    });
    expect(owner.label).not.toBe('');
  }
  const kinds = (kind: string, regions: { owner: { kind: string } }[]) =>
    regions.filter(({ owner }) => owner.kind === kind).length;
  for (const kind of ['executable', 'stack']) {
    expect(kinds(kind, [...parsed.values()])).toBeGreaterThan(0);
  }
  expect(kinds('library', [...parsed.values()])).toBeGreaterThan(3);
});

it('reads every part of a line, and leaves out what is no line', () => {
  const text = [
    '0040a000-0040b000 r-xp 00001000 fd:01 123456                             /a b/c (deleted)',
    'nonsense',
    '7ffff7ff0000-7ffff7ff1000 -w-s 00000000 00:05 7                          /dev/zero',
    '7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]',
    '7ffffffff000-8000000',
  ].join('\n');
  expect(regionsOfText(text, undefined)).toMatchObject([
    {
      start: '0x40a000',
      end: '0x40b000',
      length: 0x1000,
      protection: 'r-x',
      shared: false,
      offset: 0x1000,
      inode: 123456,
      device: '253:1',
      path: '/a b/c (deleted)',
    },
    { start: '0x7ffff7ff0000', protection: '-w-', shared: true, inode: 7 },
    { owner: { kind: 'stack', label: 'stack', certain: true } },
  ]);
  expect(regionsOfText('', undefined)).toEqual([]);
});

it('reads names with anything in them', () => {
  const names = ['/a\rb', '/c\u2028d', '/e\u2029f', '/g h', '/i\\j'];
  const line = (name: string) => `00400000-00401000 rw-s 00000000 00:05 7      ${name}`;
  const paths = regionsOfText([...names, '/k\\012l'].map(line).join('\n'), undefined).map(
    ({ path }) => path,
  );
  expect(paths).toEqual([...names, '/k\nl']);
});
