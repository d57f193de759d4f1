import { OWNER_KINDS } from '../../lib/looking/owner-draft';
import { KINDS, OWNERS } from '../../page/owners';

it('knows every kind of owner', () => {
  expect([...KINDS].sort()).toEqual([...OWNER_KINDS].sort());
});

type Colour = [number, number, number];

const parse = (hex: string): Colour =>
  [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255) as Colour;
const linear = (value: number): number =>
  value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;

/** What people without one kind of cone see (Viénot, Brettel and Mollon 1999), in linear light. */
const SIGHTS: Record<string, (colour: Colour) => Colour> = {
  'all colours': (colour) => colour,
  'no red cones': ([r, g, b]) => [
    0.11238 * r + 0.88762 * g,
    0.11238 * r + 0.88762 * g,
    0.00401 * r - 0.00401 * g + b,
  ],
  'no green cones': ([r, g, b]) => [
    0.29275 * r + 0.70725 * g,
    0.29275 * r + 0.70725 * g,
    -0.02234 * r + 0.02234 * g + b,
  ],
};

/** CIE L*a*b*, in which distances are what the eye makes of them. */
function lab([r, g, b]: Colour): Colour {
  const f = (t: number): number =>
    t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 / 116) * t + 4 / 29;
  const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
  const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
  const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const families = [
  ...(['mapping', 'v8-heap', 'executable', 'thread-stack'] as const),
  ...(['libc-heap', 'anonymous'] as const),
];

describe.each(Object.entries(SIGHTS))('for eyes with %s', (_, sight) => {
  it.each(['light', 'dark'] as const)('the families differ on a %s ground', (theme) => {
    const seen = families.map((kind) =>
      lab(sight(parse(OWNERS[kind][theme]).map(linear) as Colour)),
    );
    seen.forEach((one, at) => {
      for (const [other, colour] of seen.entries()) {
        if (other <= at) continue;
        const distance = Math.hypot(...one.map((value, axis) => value - colour[axis]!));
        expect([families[at], families[other], Math.round(distance) >= 12]).toEqual([
          families[at],
          families[other],
          true,
        ]);
      }
    });
  });
});
