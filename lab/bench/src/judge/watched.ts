/** Draws of a world, watched by all judges alike. */
import { seededRandom } from "@tributary/kernel";
import {
  GroupSequential,
  logarithmic,
  looksUntil,
  MetricWatch,
  metricDefaults,
  plannedVariance,
} from "@tributary/rollouts/judge";
import { type Drawing, drawnInWorkers, seedsAfter } from "../in-workers.ts";
import { Fleet, type World } from "./fleet.ts";
import { ArgoLike, type Judge, KayentaLike, obrienFleming, PeekedZTest } from "./others.ts";

export const JUDGES = [
  "strict",
  "production",
  "half weight",
  "group-sequential",
  "O'Brien-Fleming",
  "peeked z-test",
  "Kayenta-like",
  "Argo-like",
] as const;
/** Minutes after which the group-sequential tests end. */
export const GROUP_MINUTES = 60;
const GROUP_ALPHA = 0.05;
export type JudgeName = (typeof JUDGES)[number];
/** Minute of the rollback; null: none in six hours. */
export type Minutes = readonly (number | null)[];

export type Watched = Readonly<Record<JudgeName, Minutes>>;
type WatchedOnce = Readonly<Record<JudgeName, number | null>>;

/** `runs` draws of each world, by its name. */
export async function watchedWorlds(
  worlds: readonly { readonly name: string; readonly world: World }[],
  runs: number,
  progress: (line: string) => void,
): Promise<ReadonlyMap<string, Watched>> {
  const drawings = worlds.map(({ world }, w) => ({ of: world, seeds: seedsAfter(w * 1_000_000, runs) }));
  const program = new URL("./watched-worker.js", import.meta.url);
  const done = await drawnInWorkers<World, WatchedOnce>(program, drawings, (line) => progress(`canaries: ${line}`));
  return new Map(
    worlds.map(({ name }, w) => [name, byJudge((judge) => (done[w] ?? []).map((minutes) => minutes[judge]))]),
  );
}

export const watchSeeds = ({ of, seeds }: Drawing<World>): readonly WatchedOnce[] =>
  seeds.map((seed) => watchedOnce(of, seed));

const byJudge = <T>(of: (judge: JudgeName) => T) =>
  Object.fromEntries(JUDGES.map((judge) => [judge, of(judge)])) as Record<JudgeName, T>;

const NO_ARM = { good: [], frames: [], before: [] };
/** A segment that shows nothing. */
const NOTHING = { control: NO_ARM, canary: NO_ARM };

function watchedOnce(world: World, seed: number): WatchedOnce {
  const fleet = new Fleet(world, seededRandom(seed));
  const plannedAt = (minutes: number) =>
    plannedVariance({
      canaries: world.canaries,
      controls: world.devices - world.canaries,
      rate: world.accuracy,
      frames: minutes * world.framesPerMinute,
      // What a day of frames leaves unexplained.
      deviceSd: Math.sqrt((world.accuracy * (1 - world.accuracy)) / (1_440 * world.framesPerMinute)),
    });
  const planned = plannedAt(30);
  const plannedMs = looksUntil(metricDefaults.burnInMs, GROUP_MINUTES * 60_000);
  const groups = {
    "group-sequential": new GroupSequential({ plannedMs, spending: logarithmic(GROUP_ALPHA, 3 / GROUP_MINUTES) }),
    "O'Brien-Fleming": new GroupSequential({ plannedMs, spending: obrienFleming(GROUP_ALPHA) }),
  };
  const strict = new MetricWatch({
    ...metricDefaults,
    alpha: 0.05,
    tolerated: 0,
    margin: null,
    burnInMs: 0,
    restartMs: Number.POSITIVE_INFINITY,
    endMs: null,
    plannedVariance: plannedAt(12),
  });
  const endMs = world.minutes * 60_000;
  const production = new MetricWatch({ ...metricDefaults, endMs, plannedVariance: planned });
  const half = new MetricWatch({ ...metricDefaults, endMs, plannedVariance: planned, segments: [0.5] });
  const others: Readonly<Record<"peeked z-test" | "Kayenta-like" | "Argo-like", Judge>> = {
    "peeked z-test": new PeekedZTest(),
    "Kayenta-like": new KayentaLike(),
    "Argo-like": new ArgoLike(),
  };
  const found = byJudge((): number | null => null);
  for (let minute = 1; minute <= world.minutes; minute++) {
    const pooled = fleet.step();
    for (const [name, watch] of [
      ["strict", strict],
      ["production", production],
      ["half weight", half],
    ] as const) {
      if (name !== "strict" && found[name] !== null) continue;
      const look = watch.look(minute * 60_000, fleet, [NOTHING]);
      if (look?.isHarmful) found[name] ??= minute;
      if (name !== "strict") continue;
      for (const [of, group] of Object.entries(groups) as [keyof typeof groups, GroupSequential][]) {
        group.look(minute * 60_000, look?.comparison ?? null);
        if (group.crossedMs !== null) found[of] ??= minute;
      }
    }
    for (const [name, other] of Object.entries(others) as [keyof typeof others, Judge][]) {
      if (found[name] === null && other.look(pooled)) found[name] = minute;
    }
    if (JUDGES.every((name) => found[name] !== null)) break;
  }
  return found;
}
