// Hatching. What a colour alone would say, people who do not see it must be able to read as well.

interface Pattern {
  kind: 'stripes' | 'dots';
  colour: string;
}

const made = new Map<string, CanvasPattern>();
const SIZE = 6;

export function patternFor(
  context: CanvasRenderingContext2D,
  { kind, colour }: Pattern,
): CanvasPattern | string {
  const key = `${kind} ${colour}`;
  const known = made.get(key);
  if (known) return known;
  const tile = document.createElement('canvas');
  tile.width = tile.height = SIZE;
  const drawing = tile.getContext('2d');
  if (drawing === null) return colour;
  drawing.strokeStyle = drawing.fillStyle = colour;
  drawing.globalAlpha = kind === 'stripes' ? 0.45 : 0.55;
  if (kind === 'stripes') {
    drawing.beginPath();
    for (const at of [-SIZE, 0, SIZE]) {
      drawing.moveTo(at - 1, SIZE + 1);
      drawing.lineTo(at + SIZE + 1, -1);
    }
    drawing.stroke();
  } else {
    drawing.fillRect(1, 1, 1.4, 1.4);
    drawing.fillRect(4, 4, 1.4, 1.4);
  }
  const pattern = context.createPattern(tile, 'repeat');
  if (pattern === null) return colour;
  made.set(key, pattern);
  return pattern;
}
