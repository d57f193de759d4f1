// `memmap regions`: what a process has mapped, as a table or as JSON.

import { styleText } from 'node:util';
import { oneOf, parseCommandLine, parsePid, UsageError, type Command } from './command.js';
import type { OwnerKind, RegionJson } from './data.js';
import { print } from './output.js';
import { look, ownerKinds, type Look } from './process.js';
import { humanSize, printable } from './sizes.js';
import { formatTable, type Cell, type Column } from './table.js';

const SORTS = ['address', 'size', 'resident'] as const;
type Sort = (typeof SORTS)[number];

const COLUMNS: readonly Column[] = [
  { title: 'SIZE', align: 'right' },
  { title: 'RWX', align: 'left' },
  { title: 'RESIDENT', align: 'right', optional: 1 },
  { title: 'DIRTY', align: 'right', optional: 2 },
  { title: 'OWNER', align: 'left' },
  { title: 'NAME', align: 'left', optional: 3 },
];

/** On a narrow terminal where a region begins has to do: its size is beside it. */
const NARROW = 100;
const whereOf: Readonly<Record<'wide' | 'narrow', Column>> = {
  wide: { title: 'ADDRESSES', align: 'left' },
  narrow: { title: 'START', align: 'left' },
};

type Style = Parameters<typeof styleText>[0];

/** By family; the word beside it says the same. */
const COLOURS: Readonly<Record<OwnerKind, Style>> = {
  mapping: 'blue',
  reservation: 'blue',
  retired: 'blue',
  'v8-heap': 'yellow',
  'v8-code': 'yellow',
  'v8-cage': 'yellow',
  wasm: 'yellow',
  executable: 'green',
  library: 'green',
  file: 'green',
  'shared-memory': 'cyan',
  stack: 'magenta',
  'thread-stack': 'magenta',
  'libc-heap': 'cyan',
  'libc-arena': 'cyan',
  kernel: 'gray',
  guard: 'gray',
  anonymous: 'gray',
};

type Paint = (style: Style, text: string) => string;

/** Colours where a person looks; NO_COLOR and FORCE_COLOR are Node's to understand. */
function painter(): Paint {
  const coloured = process.stdout.isTTY && process.stdout.hasColors();
  return coloured
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_, text) => text;
}

/** The width of the terminal; what is piped or kept in a file is never cut. */
const room = (): number => (process.stdout.isTTY ? process.stdout.columns : Infinity);

const size = (bytes: number | undefined): string => (bytes === undefined ? '-' : humanSize(bytes));
const bare = (address: string): string => address.slice(2);

function rowOf(region: RegionJson, paint: Paint, form: 'wide' | 'narrow'): Cell[] {
  const { start, end, length, protection, resident, dirty, owner, path } = region;
  const { kind, label, certain } = owner;
  const dim = protection === '---' ? (text: string) => paint('dim', text) : undefined;
  return [
    { text: form === 'wide' ? `${bare(start)}-${bare(end)}` : bare(start), paint: dim },
    { text: humanSize(length), paint: dim },
    { text: protection, paint: protection === 'rwx' ? (text) => paint('red', text) : dim },
    { text: size(resident), paint: dim },
    { text: size(dirty), paint: dim },
    { text: `${kind}${certain ? '' : '?'}`, paint: (text) => paint(COLOURS[kind], text) },
    { text: printable(path ?? label), paint: dim },
  ];
}

function sorted(regions: readonly RegionJson[], by: Sort): RegionJson[] {
  const measure = ({ length, resident = 0 }: RegionJson) => (by === 'size' ? length : resident);
  return by === 'address' ? [...regions] : regions.toSorted((a, b) => measure(b) - measure(a));
}

const sum = (regions: readonly RegionJson[], of: (region: RegionJson) => number): number =>
  regions.reduce((total, region) => total + of(region), 0);

function totals(regions: readonly RegionJson[], paint: Paint): string[] {
  const groups = new Map<OwnerKind, RegionJson[]>();
  for (const region of regions) {
    const { kind } = region.owner;
    const group = groups.get(kind);
    if (group === undefined) groups.set(kind, [region]);
    else group.push(region);
  }
  const row = (name: Cell, group: readonly RegionJson[]): Cell[] => [
    name,
    { text: String(group.length) },
    { text: humanSize(sum(group, ({ length }) => length)) },
    { text: humanSize(sum(group, ({ resident = 0 }) => resident)) },
    { text: humanSize(sum(group, ({ dirty = 0 }) => dirty)) },
  ];
  const rows = [...groups]
    .sort(([, a], [, b]) => sum(b, ({ length }) => length) - sum(a, ({ length }) => length))
    .map(([kind, group]) =>
      row({ text: kind, paint: (text) => paint(COLOURS[kind], text) }, group),
    );
  const columns = ['OWNER', 'REGIONS', 'SIZE', 'RESIDENT', 'DIRTY'].map((title, at): Column => ({
    title,
    align: at === 0 ? 'left' : 'right',
  }));
  return formatTable(columns, [...rows, row({ text: 'all' }, regions)], room());
}

async function printTable(regions: readonly RegionJson[], { hole }: Look): Promise<void> {
  const paint = painter();
  const bold = ([head = '', ...rest]: string[]) => [paint('bold', head), ...rest];
  const form = room() < NARROW ? 'narrow' : 'wide';
  const table = formatTable(
    [whereOf[form], ...COLUMNS],
    regions.map((region) => rowOf(region, paint, form)),
    room(),
  );
  const guessed = regions.some(({ owner }) => !owner.certain);
  const lines = [
    ...bold(table),
    '',
    ...bold(totals(regions, paint)),
    '',
    `largest hole: ${humanSize(hole.length)} at ${hole.start}`,
    ...(guessed ? ['? after an owner: a guess by size, access and place'] : []),
  ];
  await print(lines.join('\n'));
}

const help = `Usage: memmap regions [PID] [options]

What a process has mapped: memmap's own, where no PID is given.

Options:
  --json            an array of regions, for programs: sizes in bytes, addresses in hexadecimal
  --owner KIND      only these, and again for more kinds: mapping, reservation, retired, v8-heap,
                    v8-code, v8-cage, wasm, executable, library, stack, thread-stack, libc-heap,
                    libc-arena, kernel, file, shared-memory, guard, anonymous
  --sort WORD       by address (as they lie), size or resident (largest first)
  -h, --help        this text

RWX is what may be done: read, write, execute. RESIDENT is in memory, DIRTY was written to.
Another user's process can only be looked at by root, or with CAP_SYS_PTRACE.`;

async function run(argv: string[]): Promise<number> {
  const { values, positionals } = parseCommandLine({
    args: argv,
    allowPositionals: true,
    options: {
      json: { type: 'boolean' },
      owner: { type: 'string', multiple: true },
      sort: { type: 'string', default: 'address' },
    },
  });
  if (positionals.length > 1) throw new UsageError('one process at a time');
  const pid = parsePid(positionals[0]);
  const sort = oneOf('--sort', values.sort, SORTS);
  const kinds = await ownerKinds();
  const wanted = values.owner?.map((word) => oneOf('--owner', word, kinds));
  const found = await look(pid);
  const regions = sorted(
    found.regions.filter(({ owner }) => wanted?.includes(owner.kind) ?? true),
    sort,
  );
  if (values.json) await print(JSON.stringify(regions, undefined, 1));
  else await printTable(regions, found);
  return 0;
}

export const regionsCommand: Command = {
  name: 'regions',
  summary: 'list what a process has mapped, and whose it is',
  help,
  run,
};
