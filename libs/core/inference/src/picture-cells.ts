/**
 * A frame's thumbnail of 32 x 24 cells, by which a camera is judged (libs/core/driving, plausibility.ts). A plain thumbnail averages a
 * sensor's noise away, and noise is what distinguishes a still scene from a frozen camera. So each cell has, of a fixed sample of its pixels: their
 * mean, how much neighbours differ, and a hash that changes when any of them does.
 */
export const CELL_COLUMNS = 32;
export const CELL_ROWS = 24;
export const CELLS = CELL_COLUMNS * CELL_ROWS;
/** Of a cell: mean, ripple, and its hash in two bytes. */
export const CELL_BYTES = 4;
/** Ripple is the mean difference of neighbouring pixels, times this. */
export const RIPPLE_SCALE = 4;
/** Pixels of a cell a side, at most: more would cost more than a millisecond of a frame. */
const SAMPLES = 6;
/** Looked up once: a test's global object is slow to search. */
const { abs, imul } = Math;

/** `rgb`: interleaved 8-bit pixels. Null: too small a picture to have cells. */
export function pictureCells(rgb: Uint8Array, width: number, height: number): Uint8Array | null {
  if (width < 2 * CELL_COLUMNS || height < 2 * CELL_ROWS) return null;
  const cells = new Uint8Array(CELLS * CELL_BYTES);
  const columns = Array.from({ length: CELL_COLUMNS }, (_, i) => samplesOf(i, CELL_COLUMNS, width - 1));
  for (let row = 0, at = 0; row < CELL_ROWS; row++) {
    const lines = samplesOf(row, CELL_ROWS, height);
    for (let column = 0; column < CELL_COLUMNS; column++, at += CELL_BYTES)
      writeCell(cells, at, rgb, width, columns[column] as readonly number[], lines);
  }
  return cells;
}

function writeCell(
  cells: Uint8Array,
  at: number,
  rgb: Uint8Array,
  width: number,
  columns: readonly number[],
  lines: readonly number[],
): void {
  let [sum, ripple, hash] = [0, 0, 0x811c9dc5];
  for (const line of lines) {
    for (const column of columns) {
      const j = 3 * (line * width + column);
      const luma = ((rgb[j] as number) + 2 * (rgb[j + 1] as number) + (rgb[j + 2] as number)) >> 2;
      const next = ((rgb[j + 3] as number) + 2 * (rgb[j + 4] as number) + (rgb[j + 5] as number)) >> 2;
      sum += luma;
      ripple += abs(next - luma);
      hash = imul(hash ^ luma, 0x01000193);
    }
  }
  const count = lines.length * columns.length;
  cells[at] = Math.round(sum / count);
  cells[at + 1] = Math.min(255, Math.round((RIPPLE_SCALE * ripple) / count));
  const folded = (hash ^ (hash >>> 16)) & 0xffff;
  cells[at + 2] = folded & 0xff;
  cells[at + 3] = folded >> 8;
}

/** Places of a cell's samples, evenly over it. */
function samplesOf(cell: number, of: number, side: number): readonly number[] {
  const first = Math.floor((cell * side) / of);
  const length = Math.floor(((cell + 1) * side) / of) - first;
  const count = Math.min(SAMPLES, length);
  return Array.from({ length: count }, (_, i) => first + Math.floor(((i + 0.5) * length) / count));
}
