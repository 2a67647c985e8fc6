import { describe, expect, test } from "@jest/globals";
import { GRID_CELLS, GRID_SUMS, gridParts } from "@tributary/inference";
import { AppearanceWatch, type WindowAppearance } from "./appearance-watch.ts";
import { StateReader, StateWriter } from "./state-bytes.ts";

/** A window of frames that are all alike. */
function windowOf(
  frames: number,
  luminance: number,
  encoder = "standard/2x2/standard",
  quality = 90,
): WindowAppearance {
  const grid = new Array<bigint>(GRID_SUMS).fill(BigInt(20 * frames));
  for (let cell = 0; cell < GRID_CELLS; cell++) {
    grid[cell] = BigInt(luminance * frames);
    grid[gridParts.squares + cell] = BigInt(Math.round((luminance ** 2 / 256 + 2) * frames));
  }
  const classes = new Map([[0, [frames, (frames * luminance) / 255, frames / 2, frames / 2]]]);
  return { frames, grid, quality: BigInt(quality * frames), encoders: { [encoder]: BigInt(frames) }, classes };
}

/** 60 windows before an alarm, 5 since. */
function watched(before: WindowAppearance, now: WindowAppearance): AppearanceWatch {
  const watch = new AppearanceWatch();
  for (let i = 0; i < 60; i++) watch.add(before, false);
  for (let i = 0; i < 5; i++) watch.add(now, true);
  return watch;
}

describe.each([30, 6_000, 2_600_000])("windows of %d frames", (frames) => {
  test("a change of encoder and quality is no change of the picture, nor of frames of one class", () => {
    const { changes, within } =
      watched(windowOf(frames, 100), windowOf(frames, 100, "own/1x1/optimised", 40)).drift() ?? {};
    expect(changes?.encoder).toBeCloseTo(1, 5);
    expect(changes?.quality).toBeCloseTo(-1, 5);
    expect(changes?.sharpness).toBeCloseTo(0, 5);
    expect(changes?.luminance_local).toBeCloseTo(0, 5);
    expect(within?.shifts[0]).toBeCloseTo(0, 3);
  });

  test("frames of the same class that are darker are, by as much", () => {
    const { within } = watched(windowOf(frames, 153), windowOf(frames, 51)).drift() ?? {};
    expect(within?.shifts[0]).toBeCloseTo(-0.4, 3);
  });
});

test("the past stays as it was until the alarm is over, and the present begins anew (appearance-watch.ts P1)", () => {
  const watch = watched(windowOf(60, 100), windowOf(60, 100, "own/1x1/optimised"));
  const to = new StateWriter();
  watch.write(to);
  const again = AppearanceWatch.read(new StateReader(to.finish()));
  expect(again.drift()?.changes.encoder).toBeCloseTo(watch.drift()?.changes.encoder ?? 0, 5);
  watch.add(windowOf(60, 100), false);
  expect(watch.drift()).toBeNull();
});

test("what a hostile device names its encoders is a name like any other", () => {
  const { changes } = watched(windowOf(60, 100), windowOf(60, 100, "constructor")).drift() ?? {};
  expect(changes?.encoder).toBeCloseTo(1, 5);
  expect(watched(windowOf(60, 100, "__proto__"), windowOf(60, 100, "__proto__")).drift()?.changes.encoder).toBe(0);
});
