/**
 * What pictures look like place by place, on a grid of 8 x 8 cells: what is wrong with a lens, a sensor or a mount shows in some
 * cells and not in others, and no statistic of the whole picture says where.
 *
 * Of a frame each cell is a whole number from 0 to 255, so sums over frames merge exactly, in any order and grouping. */
import type { PictureStatistics } from "./ports.ts";

export const GRID_SIDE = 8;
export const GRID_CELLS = GRID_SIDE * GRID_SIDE;

/** Of one frame: luminance by cell, gradient by cell, then the mean gradient across and down the picture. */
export const FRAME_GRID = 2 * GRID_CELLS + 2;
/** Sums of a window: as of a frame, then the squares of luminance / 256 by cell. */
export const GRID_SUMS = FRAME_GRID + GRID_CELLS;
/** Where each part starts. */
export const gridParts = {
  luminance: 0,
  gradient: GRID_CELLS,
  across: 2 * GRID_CELLS,
  down: 2 * GRID_CELLS + 1,
  squares: FRAME_GRID,
} as const;

/** Where there is no picture: of a tensor that somebody else made. */
export const noPicture: PictureStatistics = {
  channelMeans: [0, 0, 0],
  channelSds: [0, 0, 0],
  luminance: 0,
  bitsPerPixel: 0,
  grid: new Uint8Array(FRAME_GRID),
  encoder: "none",
  quality: 0,
};

/** Neighbouring pixels seldom differ by more than half of the range. */
const GRADIENT_SCALE = 2;

/** `rgb`: interleaved 8-bit pixels. A picture of fewer than 8 pixels a side has its nearest pixel in several cells. */
export function frameGrid(rgb: Uint8Array, width: number, height: number): Uint8Array {
  const area = width * height;
  const luma = new Uint8Array(area);
  for (let i = 0, j = 0; i < area; i++, j += 3) {
    luma[i] =
      (19595 * (rgb[j] as number) + 38470 * (rgb[j + 1] as number) + 7471 * (rgb[j + 2] as number) + 0x8000) >> 16;
  }
  const grid = new Uint8Array(FRAME_GRID);
  let [across, down] = [0, 0];
  for (let row = 0; row < GRID_SIDE; row++) {
    const [top, bottom] = bounds(row, height);
    for (let column = 0; column < GRID_SIDE; column++) {
      const [left, right] = bounds(column, width);
      let [sum, sumX, sumY] = [0, 0, 0];
      for (let y = top; y < bottom; y++) {
        const below = y + 1 < height ? width : y > 0 ? -width : 0;
        for (let x = left; x < right; x++) {
          const at = y * width + x;
          const value = luma[at] as number;
          sum += value;
          sumX += Math.abs((luma[at + (x + 1 < width ? 1 : x > 0 ? -1 : 0)] as number) - value);
          sumY += Math.abs((luma[at + below] as number) - value);
        }
      }
      const pixels = (bottom - top) * (right - left);
      const cell = row * GRID_SIDE + column;
      grid[cell] = Math.round(sum / pixels);
      grid[GRID_CELLS + cell] = Math.min(255, Math.round((GRADIENT_SCALE * (sumX + sumY)) / 2 / pixels));
      across += sumX / pixels;
      down += sumY / pixels;
    }
  }
  grid[gridParts.across] = Math.min(255, Math.round((GRADIENT_SCALE * across) / GRID_CELLS));
  grid[gridParts.down] = Math.min(255, Math.round((GRADIENT_SCALE * down) / GRID_CELLS));
  return grid;
}

/** Adds a frame to the sums of its window. */
export function addFrameGrid(sums: Float64Array, frame: Uint8Array): void {
  for (let i = 0; i < FRAME_GRID; i++) sums[i] = (sums[i] as number) + (frame[i] as number);
  for (let cell = 0; cell < GRID_CELLS; cell++) {
    const value = frame[cell] as number;
    const at = gridParts.squares + cell;
    sums[at] = (sums[at] as number) + ((value * value + 128) >> 8);
  }
}

/** Pixels of a cell, of `side` in all: at least one. */
function bounds(cell: number, side: number): readonly [number, number] {
  const first = Math.min(side - 1, Math.floor((cell * side) / GRID_SIDE));
  return [first, Math.max(first + 1, Math.floor(((cell + 1) * side) / GRID_SIDE))];
}
