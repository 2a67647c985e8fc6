/** How a camera's pictures changed, by the mean grids of two times: numbers of about -1 to 1 that do not depend on where a
 * crack or a stain is, so that a fault that was made on purpose elsewhere is like it. */
import { GRID_CELLS, GRID_SIDE, GRID_SUMS, gridParts } from "./picture-grid.ts";

const pictureChanges = [
  "sharpness",
  "motion",
  "direction",
  "luminance_local",
  "luminance_border",
  "luminance_rows",
  "luminance_columns",
  "sharpness_local",
  "sharpness_border",
  "sharpness_rows",
  "sharpness_columns",
  "motion_local",
  "flipped",
  "mirrored",
  "turned",
  "quality",
  "encoder",
] as const;
export type PictureChange = (typeof pictureChanges)[number];

/** Means over frames. */
export type Appearance = {
  /** `GRID_SUMS` of them, each by frame. */
  readonly grid: ArrayLike<number>;
  /** 1 to 100; 0: not known. */
  readonly quality: number;
  /** Share of frames by encoder. */
  readonly encoders: ReadonlyMap<string, number>;
};

/** Luminance by which a cell changes for a change of 1. */
const LUMINANCE = 96;
/** Factors of two for a change of 1. */
const OCTAVES = 2;
/** Added to gradients and deviations (of 255), so that black pictures have no infinite change. */
const FLOOR = 2;
/** Spatial deviation of a mean picture of which a flip is fully seen. */
const PATTERN = 32;

export function pictureChange(before: Appearance, now: Appearance): Readonly<Record<PictureChange, number>> {
  const luminance = cells((cell) => (part(now, "luminance", cell) - part(before, "luminance", cell)) / LUMINANCE);
  const sharpness = cells((cell) => octaves(part(before, "gradient", cell), part(now, "gradient", cell)));
  const motion = cells((cell) => octaves(deviation(before, cell), deviation(now, cell)));
  const mean = (of: Appearance, which: "gradient") => meanOf(cells((cell) => part(of, which, cell)));
  const [like, flipped, mirrored, turned] = [same, upsideDown, mirror, turn].map((place) =>
    likeness(before, now, place),
  );
  const turnedBy = (how: number | undefined) => Math.max(0, (how ?? 0) - (like ?? 0));
  const direction = (of: Appearance) =>
    Math.log2((of.grid[gridParts.across] ?? 0) + FLOOR) - Math.log2((of.grid[gridParts.down] ?? 0) + FLOOR);
  const changes: Record<PictureChange, number> = {
    sharpness: octaves(mean(before, "gradient"), mean(now, "gradient")),
    motion: octaves(meanOf(cells((cell) => deviation(before, cell))), meanOf(cells((cell) => deviation(now, cell)))),
    direction: (direction(now) - direction(before)) / OCTAVES,
    luminance_local: local(luminance),
    luminance_border: border(luminance),
    luminance_rows: local(lines(luminance, false)),
    luminance_columns: local(lines(luminance, true)),
    sharpness_local: local(sharpness),
    sharpness_border: border(sharpness),
    sharpness_rows: local(lines(sharpness, false)),
    sharpness_columns: local(lines(sharpness, true)),
    motion_local: local(motion),
    flipped: turnedBy(flipped),
    mirrored: turnedBy(mirrored),
    turned: turnedBy(turned),
    quality: before.quality === 0 || now.quality === 0 ? 0 : (now.quality - before.quality) / 50,
    encoder: newShare(before, now),
  };
  for (const name of pictureChanges) changes[name] = Math.max(-1, Math.min(1, changes[name]));
  return changes;
}

/** Means of sums over at least one frame. */
export function appearanceOf(
  sums: ArrayLike<number>,
  frames: number,
  qualitySum: number,
  encoders: Iterable<readonly [string, number]>,
): Appearance {
  return {
    grid: Float64Array.from({ length: GRID_SUMS }, (_, i) => (sums[i] as number) / frames),
    quality: qualitySum / frames,
    encoders: new Map([...encoders].map(([encoder, count]) => [encoder, count / frames])),
  };
}

const cells = (value: (cell: number) => number): Float64Array =>
  Float64Array.from({ length: GRID_CELLS }, (_, cell) => value(cell));

const part = ({ grid }: Appearance, which: "luminance" | "gradient" | "squares", cell: number): number =>
  grid[gridParts[which] + cell] as number;

/** Standard deviation of the cell's luminance from frame to frame. */
const deviation = (of: Appearance, cell: number): number =>
  Math.sqrt(Math.max(0, 256 * part(of, "squares", cell) - part(of, "luminance", cell) ** 2));

const octaves = (before: number, now: number): number => Math.log2((now + FLOOR) / (before + FLOOR)) / OCTAVES;

const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
};

/** Root mean square about the mean. */
function local(values: Float64Array): number {
  const mean = meanOf(values);
  return Math.sqrt(meanOf(values.map((value) => (value - mean) ** 2)));
}

function border(values: Float64Array): number {
  let [outer, inner] = [0, 0];
  for (let cell = 0; cell < GRID_CELLS; cell++) {
    const [row, column] = [Math.floor(cell / GRID_SIDE), cell % GRID_SIDE];
    const isInner = row > 1 && row < GRID_SIDE - 2 && column > 1 && column < GRID_SIDE - 2;
    if (isInner) inner += (values[cell] as number) / 16;
    else outer += (values[cell] as number) / (GRID_CELLS - 16);
  }
  return outer - inner;
}

/** Means of the rows, or of the columns. */
function lines(values: Float64Array, isColumns: boolean): Float64Array {
  const means = new Float64Array(GRID_SIDE);
  for (let cell = 0; cell < GRID_CELLS; cell++) {
    const line = isColumns ? cell % GRID_SIDE : Math.floor(cell / GRID_SIDE);
    means[line] = (means[line] as number) + (values[cell] as number) / GRID_SIDE;
  }
  return means;
}

const same = (cell: number): number => cell;
const upsideDown = (cell: number): number => GRID_CELLS - GRID_SIDE - cell + 2 * (cell % GRID_SIDE);
const mirror = (cell: number): number => cell + GRID_SIDE - 1 - 2 * (cell % GRID_SIDE);
const turn = (cell: number): number => GRID_CELLS - 1 - cell;

/** Correlation of the mean pictures, with the earlier one's cells elsewhere; less where it has no pattern. */
function likeness(before: Appearance, now: Appearance, place: (cell: number) => number): number {
  const a = cells((cell) => part(before, "luminance", place(cell)));
  const b = cells((cell) => part(now, "luminance", cell));
  const [meanA, meanB] = [meanOf(a), meanOf(b)];
  const both = meanOf(a.map((value, i) => (value - meanA) * ((b[i] as number) - meanB)));
  const sizes = local(a) * local(b);
  return sizes === 0 ? 0 : (both / sizes) * Math.min(1, local(a) / PATTERN);
}

/** Share of the frames now whose encoder had no frame before. */
function newShare(before: Appearance, now: Appearance): number {
  if (before.encoders.size === 0) return 0;
  let share = 0;
  for (const [encoder, of] of now.encoders) if ((before.encoders.get(encoder) ?? 0) < 0.02) share += of;
  return share;
}
