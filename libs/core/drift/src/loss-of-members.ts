/** The labelled draws of some devices, since they changed and before, and whether they prove a loss. */
import type { LabelledDraw } from "./findings.ts";
import type { DrawnDevice, ModelLook } from "./fleet-view.ts";
import type { Member } from "./group.ts";
import { type ClassedDraw, LossTest, type LossVerdict } from "./loss.ts";
import { type Halves, hasPast, hasRisen } from "./own-past.ts";
import type { VerdictSettings } from "./settings.ts";

/** The newest count. */
const DRAWS_MAX = 10_000;

/** Of each look, by level: a test is costly to make, and a look is thrown away. */
const tests = new WeakMap<ModelLook, Map<number, LossTest>>();

export function lossTestOf(look: ModelLook, { tolerance }: VerdictSettings, alpha: number): LossTest {
  const ofLook = tests.get(look) ?? new Map<number, LossTest>();
  tests.set(look, ofLook);
  const test = ofLook.get(alpha) ?? new LossTest(look.reference?.validation ?? null, tolerance, alpha);
  ofLook.set(alpha, test);
  return test;
}

/** A change is to blame for a loss if the devices lose more than is validated, and more than they did before it, where that is known. */
export function lossOfMembers(
  members: readonly Member[],
  look: ModelLook,
  settings: VerdictSettings,
  wasLost: boolean,
): LossVerdict {
  const drawsOf = new Map(look.drawn.map(({ deviceId, draws }) => [deviceId, draws]));
  const halves = members.map(({ deviceId, cameras, golden, since }): Halves => {
    const names = new Set(cameras.map(({ cameraId }) => cameraId));
    // Earlier agents count all cameras as one without a name.
    const isAll = golden !== null || names.size === 0 || names.has("");
    const draws = (drawsOf.get(deviceId) ?? []).filter(({ cameraId }) => isAll || names.has(cameraId)).sort(byTime);
    const classes = classed(draws, settings);
    return { before: classes.filter(({ at }) => at < since), now: classes.filter(({ at }) => at >= since) };
  });
  const draws = halves.flatMap(({ now }) => now).sort(byTime);
  const loss = lossTestOf(look, settings, settings.alpha).judge(draws.slice(-DRAWS_MAX), wasLost);
  if (loss.state !== "LOST" || wasLost || !hasPast(halves)) return loss;
  if (hasRisen(halves, settings.tolerance, settings.alpha)) return loss;
  return { ...loss, state: "UNPROVEN", lostClass: null, isAsBefore: true };
}

/** Of the newest draws of these devices, whenever they were. */
export function lossOfDevices(
  devices: readonly DrawnDevice[],
  test: LossTest,
  settings: VerdictSettings,
  wasLost: boolean,
): LossVerdict | null {
  const all = function* () {
    for (const { draws } of devices) yield* classed(draws, settings);
  };
  if (!wasLost && !test.mayBeLost(all())) return null;
  const draws = [...all()].sort(byTime);
  return draws.length === 0 ? null : test.judge(draws.slice(-DRAWS_MAX), wasLost);
}

/** Weights are smallest propensity / propensity, in (0, 1]. */
const classed = (draws: readonly LabelledDraw[], { propensityMin }: VerdictSettings): readonly ClassedDraw[] =>
  draws.map(({ at, propensity, truth, loss }) => ({
    at,
    truth,
    loss,
    weight: Math.min(1, propensityMin / propensity),
  }));

const byTime = (a: LabelledDraw | ClassedDraw, b: LabelledDraw | ClassedDraw): number => a.at - b.at;
