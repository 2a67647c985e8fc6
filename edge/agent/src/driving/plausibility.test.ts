/** Cameras that are well, and cameras that are not, by photos that no threshold was chosen with: those were the golden frames of models/. */
import { beforeAll, describe, expect, test } from "@jest/globals";
import { type Implausible, Plausibility } from "@tributary/driving";
import { CELLS, pictureCells } from "@tributary/inference";
import { samplePhotos } from "@tributary/testing";
import { day, type Look, SyntheticCamera } from "./synthetic-camera.test-kit.ts";

const PERIOD_MS = 100;
const dusk = { ...day, light: 0.3, noise: 3 };
const night = { ...day, light: 0.06, noise: 4, lamps: 4 };
let photos: readonly Buffer[];

beforeAll(async () => {
  photos = (await samplePhotos(40)).map(({ pixels }) => pixels);
});

const cameraOf = (seed: number) =>
  SyntheticCamera.of(seed, photos[(7 * seed) % photos.length] as Buffer, {
    raw: { width: 32, height: 32, channels: 3 },
  });

/** The verdicts of so many frames. */
async function verdictsOf(camera: SyntheticCamera, look: Look, frames: number, periodMs = PERIOD_MS) {
  const plausibility = new Plausibility();
  const found = new Set<Implausible | null>();
  for (let i = 0; i < frames; i++)
    found.add(plausibility.next(await camera.cells(camera.exposed(look), look), i * periodMs));
  return [...found];
}

const well: readonly [string, Look, number, number][] = [
  ["drives by day", day, 60, PERIOD_MS],
  ["drives at dusk, with a clock", { ...dusk, hasClock: true }, 60, PERIOD_MS],
  ["drives at night, with lamps", night, 60, PERIOD_MS],
  ["is parked for ten minutes by day", { ...day, pan: 0 }, 300, 2_000],
  [
    "is parked with a clock, and coarse JPEGs",
    { ...day, pan: 0, noise: 1, quality: 50, hasClock: true },
    120,
    PERIOD_MS,
  ],
  ["is parked at night, with lamps", { ...night, pan: 0, noise: 3, quality: 70 }, 120, PERIOD_MS],
];

test.each(well)("a camera that %s is plausible", async (_, look, frames, periodMs) => {
  expect(await verdictsOf(await cameraOf(1 + frames + look.quality), look, frames, periodMs)).toEqual([null]);
});

test("entering a tunnel, and leaving it, takes exposure a moment, and is no fault", async () => {
  const camera = await cameraOf(3);
  const plausibility = new Plausibility();
  const lights = [
    1, 1, 1, 0.05, 0.02, 0.02, 0.03, 0.05, 0.08, 0.12, 0.15, 0.2, 0.2, 0.2, 4, 8, 8, 6, 4, 2, 1.5, 1, 1, 1,
  ];
  const verdicts = [];
  for (const [i, light] of lights.entries())
    verdicts.push(plausibility.next(await camera.cells(camera.exposed({ ...day, light }), day), i * PERIOD_MS));
  expect(new Set(verdicts)).toEqual(new Set([null]));
});

type Faulty = (
  camera: SyntheticCamera,
  still: Uint8ClampedArray,
) => { readonly pixels: Uint8ClampedArray; readonly quality?: number };
const grey = (camera: SyntheticCamera, level: number, noise: number) =>
  camera.exposed({ ...day, light: 0, noise }).map((value) => value + level);

const faults: readonly [string, Implausible, number, Faulty][] = [
  ["is frozen but for its clock", "frozen", 21, (_, still) => ({ pixels: still })],
  [
    "is frozen, and encodes that with ever other qualities",
    "frozen",
    110,
    ({ random }, still) => ({ pixels: still, quality: 70 + Math.floor(20 * random()) }),
  ],
  ["sees noise in the dark", "noise", 21, (camera) => ({ pixels: camera.exposed({ ...day, light: 0, noise: 25 }) })],
  ["sees nothing in the dark", "dark", 21, (camera) => ({ pixels: camera.exposed({ ...day, light: 0.01, noise: 1 }) })],
  ["has a covered lens", "covered", 21, (camera) => ({ pixels: grey(camera, 90, 1) })],
  ["is overexposed", "saturated", 21, (camera) => ({ pixels: grey(camera, 254, 1) })],
];

describe("a fault is found, named, and over when it is over", () => {
  test.each(faults)("a camera that %s: %s, within %i frames", async (_, verdict, within, faulty) => {
    const camera = await cameraOf(5);
    const plausibility = new Plausibility();
    let at = 0;
    const next = async (pixels: Uint8ClampedArray, quality = day.quality) => {
      at += PERIOD_MS;
      return plausibility.next(await camera.cells(pixels, { hasClock: true, quality }), at);
    };
    for (let i = 0; i < 40; i++) expect(await next(camera.exposed(day))).toBeNull();
    const still = camera.exposed(day);
    let frames = 0;
    let found: Implausible | null = null;
    while (found === null && frames < within) {
      camera.skip();
      const { pixels, quality } = faulty(camera, still);
      found = await next(pixels, quality);
      frames += 1;
    }
    expect(found).toBe(verdict);
    for (let i = 0; i < 11; i++) await next(camera.exposed(day));
    expect(plausibility.verdict).toBeNull();
  });
});

test("a loop of a few pictures is not frozen: they differ", () => {
  const pictures = Array.from({ length: 3 }, (_, i) =>
    pictureCells(
      Uint8Array.from({ length: 3 * 64 * 48 }, (_, j) => (j * (i + 3) * 31) % 200),
      64,
      48,
    ),
  );
  const plausibility = new Plausibility();
  for (let i = 0; i < 100; i++)
    expect(plausibility.next(pictures[i % 3] as Uint8Array, i * PERIOD_MS)).not.toBe("frozen");
});

test("a picture of few pixels has no cells", () => {
  expect(pictureCells(new Uint8Array(3 * 32 * 32), 32, 32)).toBeNull();
  expect(pictureCells(new Uint8Array(3 * 64 * 48), 64, 48)).toHaveLength(4 * CELLS);
});
