/** What the demo must show, against what was found. Pure. */
import type { ModelVersion, TrainingDetail } from "@tributary/api";
import type { DriftVerdict } from "@tributary/contracts";
import type { Check } from "../rollout/run-case.ts";
import type { Control, Gate } from "./controls.ts";
import type { Figures } from "./judge.ts";
import type { QueueLabels } from "./queue-labeller.ts";
import { settings } from "./settings.ts";

const REGAINED_MIN = 0.5;
const COST_MAX = 0.005;
const COST_BOUND_MAX = 0.01;
const UNSEEN_MIN = 1_000;

/** What the main run left. */
export type Found = {
  readonly verdict: DriftVerdict;
  readonly run: TrainingDetail;
  readonly queue: QueueLabels;
  readonly candidate: ModelVersion | null;
  /** Version that the registry names champion, and the devices that report it. */
  readonly champion: string;
  readonly devicesOnChampion: number;
  readonly resumedBy: string | null;
  readonly figures: Figures;
  readonly gains: Figures;
  readonly page: string;
};

export const points = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export function checksOf(
  found: Found,
  controls: readonly Control[],
  { seconds, devices }: { readonly seconds: number; readonly devices: number },
): readonly Check[] {
  return [...loopChecks(found, devices), ...figureChecks(found), ...controlChecks(found, controls), timeCheck(seconds)];
}

function loopChecks(found: Found, devices: number): readonly Check[] {
  const { verdict, run, queue, candidate, champion, devicesOnChampion, resumedBy } = found;
  const { cause, scopeKey, scopeValue, loss } = verdict;
  return [
    {
      name: "the verdict: WORLD at site=north, frames are lost",
      holds: cause === "WORLD" && scopeValue === "north" && loss.state === "LOST",
      found: `${cause} at ${scopeKey}=${scopeValue}, loss ${loss.state}`,
    },
    {
      name: "people label frames of the label queue",
      holds: queue.labels > 0 && queue.unknown === 0,
      found: `${queue.labels}`,
    },
    { name: "the training succeeds", holds: run.phase === "SUCCEEDED", found: `${run.phase}: ${run.message}` },
    {
      name: "the gate passes by itself",
      holds: candidate?.gate?.passed === true && resumedBy === null,
      found: gateText(candidate?.gate ?? null, resumedBy),
    },
    {
      name: `the candidate is champion, and all ${devices} devices report it`,
      holds: champion === run.candidateVersion && devicesOnChampion === devices,
      found: `champion ${champion}, ${devicesOnChampion} devices`,
    },
  ];
}

function gateText(gate: Gate | null, resumedBy: string | null): string {
  if (gate === null) return "no gate";
  const lines = [...gate.failed, ...gate.unsure].join("; ") || "passed";
  return resumedBy === null ? lines : `${lines}; ${resumedBy} let it pass`;
}

function figureChecks({ figures, gains }: Found): readonly Check[] {
  const { site, elsewhere, regained, costBound } = figures;
  const change = elsewhere.after - elsewhere.before;
  return [
    {
      name: `at least half of the lost accuracy is back, on at least ${UNSEEN_MIN} unseen photos`,
      holds: regained >= REGAINED_MIN && site.frames >= UNSEEN_MIN,
      found: `${percent(site.before)} to ${percent(site.after)}: ${percent(regained)}, on ${site.frames}`,
    },
    {
      name: "elsewhere at most .5 points are lost, and at most 1 by the one-sided 95 % bound",
      holds: change >= -COST_MAX && costBound <= COST_BOUND_MAX,
      found: `${points(change)}, bound ${points(-costBound)}, on ${elsewhere.frames}`,
    },
    {
      name: "it regains more than one gain per channel",
      holds: regained > gains.regained,
      found: `${percent(regained)} against ${percent(gains.regained)}`,
    },
  ];
}

/** A trade may regain more, at the others' cost. */
function controlChecks({ figures }: Found, controls: readonly Control[]): readonly Check[] {
  const beaten = controls
    .filter(({ name }) => name !== "traded")
    .map(
      ({ name, figures: own }): Check => ({
        name: `it regains more than ${name}`,
        holds: figures.regained > own.regained,
        found: `${percent(figures.regained)} against ${percent(own.regained)}`,
      }),
    );
  const stopped = controls.flatMap(({ name, gate }): readonly Check[] => {
    if (gate === null) return [];
    const holds = !gate.passed || gate.unsure.length > 0;
    return [{ name: `the gate refuses ${name}, or holds it for a person`, holds, found: gateText(gate, null) }];
  });
  return [...beaten, ...stopped];
}

const timeCheck = (seconds: number): Check => ({
  name: `the main run takes at most ${settings.runMs / 60_000} minutes`,
  holds: seconds * 1_000 <= settings.runMs,
  found: `${seconds} s`,
});
