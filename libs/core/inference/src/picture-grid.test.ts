import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { addFrameGrid, FRAME_GRID, frameGrid, GRID_CELLS, GRID_SIDE, GRID_SUMS, gridParts } from "./index.ts";

const grey = (width: number, height: number, of: (x: number, y: number) => number): Uint8Array =>
  Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return of(pixel % width, Math.floor(pixel / width));
  });

describe("a frame's grid", () => {
  test("has each cell's luminance where the cell is, whatever the size of the picture", () => {
    for (const [width, height] of [
      [32, 32],
      [224, 224],
      [50, 37],
      [8, 8],
      [5, 3],
    ] as const) {
      const frame = frameGrid(
        grey(width, height, (x) => (x < width / 2 ? 40 : 200)),
        width,
        height,
      );
      const row = [...frame.subarray(0, GRID_SIDE)];
      expect(row[0]).toBe(40);
      expect(row.at(-1)).toBe(200);
      expect([...row].sort((a, b) => a - b)).toEqual(row);
      expect(frame).toHaveLength(FRAME_GRID);
    }
  });

  test("shows in which direction pictures change: stripes across, not down", () => {
    const frame = frameGrid(
      grey(64, 64, (x) => (x % 2 === 0 ? 100 : 130)),
      64,
      64,
    );
    expect(frame[gridParts.across]).toBeGreaterThan(50);
    expect(frame[gridParts.down]).toBe(0);
    expect(frame[gridParts.gradient]).toBeGreaterThan(25);
  });

  test("sums of two windows are those of all their frames", () => {
    const random = seededRandom(1);
    const frames = Array.from({ length: 20 }, () =>
      frameGrid(
        grey(16, 16, () => 256 * random()),
        16,
        16,
      ),
    );
    const [all, first, second] = [0, 0, 0].map(() => new Float64Array(GRID_SUMS)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    for (const [i, frame] of frames.entries()) {
      addFrameGrid(all, frame);
      addFrameGrid(i < 7 ? first : second, frame);
    }
    expect(first.map((sum, i) => sum + (second[i] as number))).toEqual(all);
    expect(Math.max(...all.subarray(0, GRID_CELLS))).toBeLessThanOrEqual(255 * 20);
  });
});
