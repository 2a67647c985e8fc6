/** What the demo must show, against what was found. Pure. */
import type { ModelVersion, TrainingDetail } from "@tributary/api";
import type { DriftVerdict } from "@tributary/contracts";
import { holmAdjusted, mcNemarP } from "@tributary/statistics";
import type { Check } from "../rollout/run-case.ts";
import type { Control, Gate } from "./controls.ts";
import type { Figures, Shares } from "./judge.ts";
import { type Kill, killChecks, type Left } from "./kill-findings.ts";
import type { QueueLabels } from "./queue-labeller.ts";
import type { Reading } from "./readers.ts";
import type { Bars, Story } from "./story.ts";

/** Level at which a class counts as harmed, after Holm's correction over the classes of a place. */
const HARM_ALPHA = 0.05;

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
  /** Null: it is not compared with that. */
  readonly gains: Figures | null;
  readonly page: string;
  readonly kills: readonly Kill[];
  /** Null: nobody was killed. */
  readonly left: Left | null;
  readonly readings: readonly Reading[];
};

type Judged = {
  readonly seconds: number;
  readonly devices: number;
  readonly story: Pick<Story, "site" | "bars">;
};

export const points = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export function checksOf(
  found: Found,
  controls: readonly Control[],
  { seconds, devices, story: { site, bars } }: Judged,
): readonly Check[] {
  return [
    ...loopChecks(found, devices, site, bars),
    ...figureChecks(found, bars),
    ...(found.left === null ? [] : killChecks(found.kills, found.left)),
    ...found.readings.flatMap(({ checks }) => checks),
    ...controlChecks(found, controls),
    timeCheck(seconds, bars),
  ];
}

function loopChecks(found: Found, devices: number, site: string, { mayBeHeld }: Bars): readonly Check[] {
  const { verdict, run, queue, candidate, champion, devicesOnChampion, resumedBy } = found;
  const { cause, scopeKey, scopeValue, loss } = verdict;
  return [
    {
      name: `the verdict: WORLD at site=${site}, frames are lost`,
      holds: cause === "WORLD" && scopeValue === site && loss.state === "LOST",
      found: `${cause} at ${scopeKey}=${scopeValue}, loss ${loss.state}`,
    },
    {
      name: "people label frames of the label queue",
      holds: queue.labels > 0 && queue.unknown === 0,
      found: `${queue.labels}`,
    },
    { name: "the training succeeds", holds: run.phase === "SUCCEEDED", found: `${run.phase}: ${run.message}` },
    {
      name: mayBeHeld
        ? "no line of the gate fails; where frames are too few to prove one, a person lets it pass"
        : "the gate passes by itself",
      holds: candidate?.gate?.passed === true && (mayBeHeld || resumedBy === null),
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

function figureChecks({ figures, gains }: Found, { regainedMin, unseenMin, cost }: Bars): readonly Check[] {
  const { site, elsewhere, regained, costBound } = figures;
  const change = elsewhere.after - elsewhere.before;
  const harmed = [...harmedClasses(site, true), ...harmedClasses(elsewhere, false)];
  return [
    {
      name: `at least ${percent(regainedMin)} of the lost accuracy is back, on at least ${unseenMin} unseen photos`,
      holds: regained >= regainedMin && site.frames >= unseenMin,
      found: `${percent(site.before)} to ${percent(site.after)}: ${percent(regained)}, on ${site.frames}`,
    },
    cost === null
      ? {
          name: "no class is proven to have lost anything, at the site or elsewhere",
          holds: harmed.length === 0,
          found: harmed.join(", ") || "none",
        }
      : {
          name: "elsewhere at most .5 points are lost, and at most 1 by the one-sided 95 % bound",
          holds: change >= -cost.max && costBound <= cost.boundMax,
          found: `${points(change)}, bound ${points(-costBound)}, on ${elsewhere.frames}`,
        },
    ...(gains === null
      ? []
      : [
          {
            name: "it regains more than one gain per channel",
            holds: regained > gains.regained,
            found: `${percent(regained)} against ${percent(gains.regained)}`,
          },
        ]),
  ];
}

/** At the site a class that was answered for others has lost nothing while its F1 rises (ADR 72). */
function harmedClasses({ classes }: Shares, isSite: boolean): readonly string[] {
  const all = Object.entries(classes);
  const ps = holmAdjusted(all.map(([, { won, lost }]) => mcNemarP(lost, won)));
  return all
    .filter(([, { f1Before, f1After }], i) => (ps[i] as number) <= HARM_ALPHA && !(isSite && f1After > f1Before))
    .map(([name, { lost, won }]) => `${name} ${isSite ? "at the site" : "elsewhere"}: ${lost} lost, ${won} won`);
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

const timeCheck = (seconds: number, { runMs }: Bars): Check => ({
  name: `the main run takes at most ${runMs / 60_000} minutes`,
  holds: seconds * 1_000 <= runMs,
  found: `${seconds} s`,
});
