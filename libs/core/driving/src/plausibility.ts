/**
 * Whether what a camera delivers can be of now, by its frames' cells (@tributary/inference, picture-cells.ts).
 *
 *   frozen     nothing changes but a small region, as a burnt-in clock
 *   noise      there is no structure, but neighbouring pixels differ
 *   dark       there is no structure, and no light
 *   saturated  nearly all is white
 *   covered    there is no structure, though there is light
 *
 * P1. A cell is new when its hash is none of its last ones, or its mean jumps. A sensor has noise: of a still scene cells become new here and
 *     there, all over the picture. A frozen picture that is encoded again with other qualities has a few hashes a cell, which return.
 * P2. Frozen: for `holdMs` only few cells were new, within few rows, and elsewhere there is something that noise would change.
 * P3. Bands at the top and the bottom may have text burnt in, and are not asked for structure.
 * P4. A verdict needs `holdMs` and `holdFrames`, as exposure takes a moment in a tunnel; it ends after `clearMs` and `clearFrames` without
 *     evidence. No verdict is better than a wrong one: SAFE on a good road is a danger as well.
 */
import { CELL_BYTES, CELL_COLUMNS, CELL_ROWS, CELLS, RIPPLE_SCALE } from "@tributary/inference";

const implausibilities = ["frozen", "noise", "dark", "saturated", "covered"] as const;
export type Implausible = (typeof implausibilities)[number];

export type PlausibilitySettings = {
  readonly holdMs: number;
  readonly holdFrames: number;
  readonly clearMs: number;
  readonly clearFrames: number;
};

export const plausibilityDefaults: PlausibilitySettings = {
  holdMs: 2_000,
  holdFrames: 20,
  clearMs: 1_000,
  clearFrames: 10,
};

/** P1. Hashes of a cell that are remembered. */
const HASHES = 32;
/** Another quality of the same picture moves a cell's mean less. */
const JUMP = 12;
/** P2. Of all cells, and of their rows. */
const [REGION_SHARE, REGION_ROWS] = [0.15, 6] as const;
/** Of all cells: so many would show noise, being neither black nor white nor flat. */
const NOISY_SHARE = 0.05;
const [NOISY_MEAN_MIN, NOISY_MEAN_MAX, NOISY_RIPPLE] = [12, 243, 1] as const;
/** P3. Rows. */
const BAND = CELL_ROWS / 8;
/** Least difference of bright and dark cells that is structure, before what noise adds. */
const CONTRAST = 10;
/** Levels of contrast a level of ripple explains. */
const CONTRAST_OF_RIPPLE = 1.5;
/** Cells of noise are not like their neighbours; where they differ by more than this they are a scene's all the same. */
const [LIKENESS, CONTRAST_OF_SCENES] = [0.25, 80] as const;
const NOISE_RIPPLE = 4;
const DARK_MEAN = 40;
/** Nothing is lit: no cell, of those that count, reaches this. */
const [UNLIT_MEAN, UNLIT_MAX] = [12, 30] as const;
const [WHITE, WHITE_SHARE] = [250, 0.9] as const;
/** Looked up once: a test's global object is slow to search. */
const { abs } = Math;

/** Of one camera; `next` with each frame. */
export class Plausibility {
  readonly #settings: PlausibilitySettings;
  readonly #hashes = new Uint16Array(CELLS * HASHES);
  readonly #known = new Uint32Array(CELLS);
  readonly #means = new Uint8Array(CELLS);
  /** When a cell was new last: time, and number of the frame. */
  readonly #newAt = new Float64Array(CELLS);
  readonly #newIn = new Float64Array(CELLS);
  #frames = 0;
  #verdict: Implausible | null = null;
  /** What speaks against the camera, or, while there is a verdict, since when nothing does. */
  #run: { readonly fromMs: number; readonly fromFrame: number } | null = null;

  constructor(settings: PlausibilitySettings = plausibilityDefaults) {
    this.#settings = settings;
  }

  get verdict(): Implausible | null {
    return this.#verdict;
  }

  /** `cells`: as of `pictureCells`. `at`: in ms, monotonic. Null: it is plausible. */
  next(cells: Uint8Array, at: number): Implausible | null {
    this.#frames += 1;
    this.#compare(cells, at);
    const isFrozen = this.#isFrozen(cells, at);
    const evidence = isFrozen ? "frozen" : structureless(cells);
    const { holdMs, holdFrames, clearMs, clearFrames } = this.#settings;
    const isSame = (evidence === null) === (this.#verdict === null);
    if (isSame) {
      this.#run = null;
      if (evidence !== null) this.#verdict = evidence;
      return this.#verdict;
    }
    this.#run ??= { fromMs: at, fromFrame: this.#frames };
    const [ms, frames] = [at - this.#run.fromMs, this.#frames - this.#run.fromFrame + 1];
    // P2 has waited already.
    const isHeld = isFrozen || (ms >= holdMs && frames >= holdFrames);
    const isOver = evidence === null ? ms >= clearMs && frames >= clearFrames : isHeld;
    if (isOver) {
      this.#verdict = evidence;
      this.#run = null;
    }
    return this.#verdict;
  }

  /** P1. */
  #compare(cells: Uint8Array, at: number): void {
    for (let cell = 0, i = 0; cell < CELLS; cell++, i += CELL_BYTES) {
      const mean = cells[i] as number;
      const isNew = this.#isNewHash(cell, (cells[i + 2] as number) | ((cells[i + 3] as number) << 8));
      if (isNew || abs(mean - (this.#means[cell] as number)) > JUMP) {
        this.#newAt[cell] = at;
        this.#newIn[cell] = this.#frames;
      }
      this.#means[cell] = mean;
    }
  }

  #isNewHash(cell: number, hash: number): boolean {
    const known = this.#known[cell] as number;
    const from = cell * HASHES;
    for (let i = 0, end = Math.min(known, HASHES); i < end; i++) if (this.#hashes[from + i] === hash) return false;
    this.#hashes[from + (known % HASHES)] = hash;
    this.#known[cell] = known + 1;
    return true;
  }

  /** P2. */
  #isFrozen(cells: Uint8Array, at: number): boolean {
    const { holdMs, holdFrames } = this.#settings;
    let [changing, noisy, rows] = [0, 0, 0];
    for (let row = 0, cell = 0; row < CELL_ROWS; row++) {
      const before = changing;
      for (let column = 0; column < CELL_COLUMNS; column++, cell++) {
        const isStill =
          at - (this.#newAt[cell] as number) >= holdMs && this.#frames - (this.#newIn[cell] as number) >= holdFrames;
        if (!isStill) changing += 1;
        else if (showsNoise(cells, cell * CELL_BYTES)) noisy += 1;
      }
      if (changing > before) rows += 1;
    }
    return changing <= REGION_SHARE * CELLS && rows <= REGION_ROWS && noisy >= NOISY_SHARE * CELLS;
  }
}

function showsNoise(cells: Uint8Array, i: number): boolean {
  const mean = cells[i] as number;
  if (mean < NOISY_MEAN_MIN || mean > NOISY_MEAN_MAX) return false;
  return (cells[i + 1] as number) >= NOISY_RIPPLE * RIPPLE_SCALE;
}

/** Of one frame alone: what it lacks; null: nothing. */
function structureless(cells: Uint8Array): Implausible | null {
  const [first, last] = [BAND * CELL_COLUMNS, (CELL_ROWS - BAND) * CELL_COLUMNS];
  const count = last - first;
  const histogram = new Uint32Array(256);
  let [sum, ripples] = [0, 0];
  for (let cell = first; cell < last; cell++) {
    const value = cells[cell * CELL_BYTES] as number;
    histogram[value] = (histogram[value] as number) + 1;
    sum += value;
    ripples += cells[cell * CELL_BYTES + 1] as number;
  }
  const mean = sum / count;
  const ripple = ripples / count / RIPPLE_SCALE;
  const [low, high] = [quantileOf(histogram, 0.02 * count), quantileOf(histogram, 0.995 * count)];
  const contrast = high - low;
  if (quantileOf(histogram, (1 - WHITE_SHARE) * count) >= WHITE) return "saturated";
  if (mean < UNLIT_MEAN && high < UNLIT_MAX) return ripple >= NOISE_RIPPLE ? "noise" : "dark";
  const isFlat = contrast < CONTRAST + CONTRAST_OF_RIPPLE * ripple;
  if (!isFlat && (contrast >= CONTRAST_OF_SCENES || likeness(cells, first, last, mean) >= LIKENESS)) return null;
  if (ripple >= NOISE_RIPPLE) return "noise";
  return mean < DARK_MEAN ? "dark" : "covered";
}

/** The least value that so many cells do not exceed. */
function quantileOf(histogram: Uint32Array, cells: number): number {
  let sum = 0;
  for (let value = 0; value < 256; value++) {
    sum += histogram[value] as number;
    if (sum > cells) return value;
  }
  return 255;
}

/** Correlation of a cell with the one below it and the one at its right. */
function likeness(cells: Uint8Array, first: number, last: number, mean: number): number {
  let [products, squares, pairs, count] = [0, 0, 0, 0];
  for (let cell = first; cell < last; cell++) {
    const deviation = (cells[cell * CELL_BYTES] as number) - mean;
    squares += deviation * deviation;
    count += 1;
    for (const other of [cell + 1, cell + CELL_COLUMNS]) {
      const isNeighbour = other < last && (other !== cell + 1 || other % CELL_COLUMNS !== 0);
      if (!isNeighbour) continue;
      products += deviation * ((cells[other * CELL_BYTES] as number) - mean);
      pairs += 1;
    }
  }
  return squares === 0 ? 0 : products / pairs / (squares / count);
}
