/** Faults of a camera, made on photos and named by the direction in which its features move from the camera's own past. */
import { nearestCameraFault } from "@tributary/drift";
import type { FaultCodebook } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import type { Gate, Table } from "../bench.ts";
import { drawMix, type Observed, Scenes } from "./observed.ts";

export const CAMERA = { frames: 300, pastFrames: 3_600, namedMin: 0.95 } as const;
const BITS = "bits_per_pixel";

export type CameraTrials = {
  /** Whose frames: drawn evenly from all photos, or of a class mix of the camera's own, in scenes. */
  readonly isMixed: boolean;
  readonly trials: number;
  readonly faults: readonly {
    readonly fault: string;
    readonly right: number;
    readonly rightWithoutBits: number;
    /** What else was named, and how often; "" for nothing. */
    readonly others: Readonly<Record<string, number>>;
  }[];
};

/** Sets `past` and `now/FAULT` of other photos. */
export function cameraTrials(
  observed: Observed,
  faults: FaultCodebook["camera"],
  trials: number,
  isMixed: boolean,
): CameraTrials {
  return {
    isMixed,
    trials,
    faults: faults.map(({ name }, f) => {
      let [right, rightWithoutBits] = [0, 0];
      const others: Record<string, number> = {};
      for (let trial = 0; trial < trials; trial++) {
        const shift = shiftOf(observed, `now/${name}`, 1 + f * 1_000 + trial, isMixed);
        const named = nearestCameraFault(faults, shift, CAMERA.frames)?.name ?? "";
        if (named === name) right += 1;
        else others[named] = (others[named] ?? 0) + 1;
        const { [BITS]: _, ...without } = shift;
        if (nearestCameraFault(faults, without, CAMERA.frames)?.name === name) rightWithoutBits += 1;
      }
      return { fault: name, right, rightWithoutBits, others };
    }),
  };
}

/** now - before, by stream. */
function shiftOf(observed: Observed, set: string, seed: number, isMixed: boolean): Readonly<Record<string, number>> {
  const random = seededRandom(seed);
  const classes = observed.streams.length - observed.features;
  const even = new Array<number>(classes).fill(1 / classes);
  const scenes = isMixed ? new Scenes(random, drawMix(random, classes)) : new Scenes(random, even, 1);
  const meanOf = (name: string, frames: number) =>
    observed.mean(
      scenes.draw(observed.framesOf(name), new Uint32Array(frames)),
      new Float64Array(observed.streams.length),
    );
  const before = meanOf("past", CAMERA.pastFrames);
  const now = meanOf(set, CAMERA.frames);
  return Object.fromEntries(observed.streams.map((stream, s) => [stream, (now[s] as number) - (before[s] as number)]));
}

export const cameraTable = ({ trials, faults, isMixed }: CameraTrials): Table => ({
  title: `Camera faults from ${CAMERA.frames} frames, beside ${CAMERA.pastFrames} of the camera's past, ${isMixed ? "each camera with its own classes, in scenes of 5 frames" : "of all classes"}: right of ${trials}`,
  columns: ["fault", "right", "without bits per pixel", "otherwise named"],
  rows: [
    ...faults.map(({ fault, right, rightWithoutBits, others }) => {
      const named = Object.entries(others).map(([name, count]) => `${name || "none"} ${count}`);
      return [fault, right, rightWithoutBits, named.join(", ") || "-"];
    }),
    ["all", sumOf(faults, "right"), sumOf(faults, "rightWithoutBits"), "-"],
  ],
});

export function cameraGates({ trials, faults }: CameraTrials): readonly Gate[] {
  const [right, all] = [sumOf(faults, "right"), trials * faults.length];
  const without = sumOf(faults, "rightWithoutBits");
  return [
    {
      name: `at least ${100 * CAMERA.namedMin} % of camera faults are named`,
      passed: right >= CAMERA.namedMin * all && faults.length >= 11,
      measured: `${right} of ${all} (without bits per pixel ${without})`,
    },
  ];
}

const sumOf = (faults: CameraTrials["faults"], key: "right" | "rightWithoutBits"): number =>
  faults.reduce((sum, one) => sum + one[key], 0);
