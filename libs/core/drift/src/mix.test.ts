import { expect, test } from "@jest/globals";
import type { CameraDrift } from "./findings.ts";
import { driftReferenceOf } from "./index.ts";
import { mixOf } from "./mix.ts";
import { DIGEST, documents } from "./testing/drifting-fleet.ts";

/** Of the last of four classes 58 % are recognised, the others are taken for the first. */
const counts = [
  [100, 0, 0, 0],
  [0, 100, 0, 0],
  [0, 0, 100, 0],
  [42, 0, 0, 58],
];
const means = documents.confusion?.means ?? {};
const reference = driftReferenceOf(DIGEST, { ...documents, confusion: { formatVersion: 1, counts, means } });

/** A camera whose predictions were a quarter each, and are `now`. */
function refuted(now: readonly number[]): string | undefined {
  const shareOf = (shares: readonly number[]) =>
    reference.streams.map(({ name }) => shares[reference.labels.indexOf(name.slice("label:".length))] ?? 0.5);
  const before = shareOf([0.355, 0.25, 0.25, 0.145]);
  const shifts = shareOf(now).map((share, i) => share - (before[i] as number));
  const drift = { before, shifts, frames: 1_000, picture: null } as unknown as CameraDrift;
  return mixOf([{ drift }], reference)?.refuted;
}

test("predictions that no mix of classes gives refute a change of the mix", () => {
  expect(refuted([0.42, 0, 0, 0.58])).toBe(""); // all frames are of the last class
  expect(refuted([0.1, 0.8, 0.1, 0])).toBe("");
  expect(refuted([0, 0, 0, 1])).toBe("no mix of classes gives these predictions: 42 % of them differ from the nearest");
  expect(refuted([0, 0.2, 0.1, 0.7])).toMatch(/^no mix of classes gives these predictions/);
});

test("a class that is not watched, since it was rare, can have become frequent", () => {
  const labels = Array.from({ length: 18 }, (_, i) => `class-${i}`);
  const last = labels.length - 1;
  const ofLabels = driftReferenceOf(DIGEST, {
    ...documents,
    labels,
    faults: null,
    sketch: { ...documents.sketch, labels: Object.fromEntries(labels.map((label, i) => [label, 100 - i])) },
    confusion: {
      formatVersion: 1,
      counts: labels.map((_, t) => labels.map((__, p) => (t === p ? 50 : 0))),
      means: { luminance: labels.map((_, i) => (i === last ? 0.9 : 0.5)) },
    },
  });
  const changed = (luminance: number) => {
    const before = ofLabels.streams.map(({ name }) => (name.startsWith("label:") ? 1 / 18 : 0.5));
    const shifts = ofLabels.streams.map(({ name }) =>
      name.startsWith("label:") ? -0.5 / 18 : name === "luminance" ? luminance : 0,
    );
    return mixOf([{ drift: { before, shifts, frames: 10_000, picture: null } as unknown as CameraDrift }], ofLabels);
  };
  // Half of all frames are now of the last class, which is brighter; that they are darker no mix explains.
  expect(changed(0.18)?.explained).toBeGreaterThan(0.9);
  expect(changed(0.18)?.now[last]).toBeCloseTo(0.5, 1);
  expect(changed(-0.18)?.explained).toBeLessThan(0.1);
});

test("a change of the mean picture that mixes do not make refutes a change of the mix", () => {
  const cameraFaults = { examples: [], spread: { motion: 0.04, sharpness: 0.04 } };
  const known = driftReferenceOf(DIGEST, { ...documents, cameraFaults });
  const before = known.streams.map(() => 0.25);
  const refutedBy = (motion: number) => {
    const picture = { changes: { motion, sharpness: 0.1, quality: 0.9 }, within: null };
    const drift = { before, shifts: before.map(() => 0), frames: 1_000, picture } as unknown as CameraDrift;
    return mixOf([{ drift }], known)?.refuted;
  };
  expect(refutedBy(-0.2)).toBe("");
  expect(refutedBy(-0.6)).toBe("no mix changes motion of the mean picture by -0.60: 10 times what mixes differ by");
});
