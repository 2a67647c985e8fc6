/** The judge as rollouts use it beside its cross-check by re-randomisation, in fleets so small that both have little data. */

import { seededRandom } from "@tributary/kernel";
import { CrossCheck, MetricWatch, metricDefaults, plannedLooks, plannedVariance } from "@tributary/rollouts/judge";
import { Fleet, type World } from "./fleet.ts";

export const FEW = { devices: 40, canaries: 8 } as const;
const MINUTE = 60_000;

/** Minutes; null: not in six hours. */
export type Crossed = { readonly backAt: number | null; readonly harmfulAt: number | null };

export async function crossChecked(world: World, runs: number, seed: number): Promise<readonly Crossed[]> {
  const found: Crossed[] = [];
  for (let i = 0; i < runs; i++) {
    found.push(crossCheckedOnce({ ...world, ...FEW }, seed + i));
    if (i % 20 === 0) await new Promise(setImmediate); // Lets Ctrl-C be handled.
  }
  return found;
}

/** Both look on after a verdict, so that one that comes later is seen. */
function crossCheckedOnce(world: World, seed: number): Crossed {
  const { devices, canaries, minutes, accuracy, framesPerMinute } = world;
  const fleet = new Fleet(world, seededRandom(seed));
  const watch = new MetricWatch({
    ...metricDefaults,
    endMs: minutes * MINUTE,
    plannedVariance: plannedVariance({
      canaries,
      controls: devices - canaries,
      rate: accuracy,
      frames: 30 * framesPerMinute,
      deviceSd: Math.sqrt((accuracy * (1 - accuracy)) / (1_440 * framesPerMinute)),
    }),
  });
  const check = new CrossCheck({
    alpha: metricDefaults.alpha,
    plannedMs: plannedLooks(metricDefaults.burnInMs, minutes * MINUTE),
    seed,
    strata: { canary: new Uint8Array(canaries), control: new Uint8Array(devices - canaries) },
  });
  const isHarmful = () => check.looks.at(-1)?.isHarmful === true;
  const found: { backAt: number | null; harmfulAt: number | null } = { backAt: null, harmfulAt: null };
  for (let minute = 1; minute <= minutes && (found.backAt === null || !isHarmful()); minute++) {
    fleet.step();
    if (found.backAt === null && watch.look(minute * MINUTE, fleet)?.isHarmful) found.backAt = minute;
    check.look(minute * MINUTE, fleet);
    if (isHarmful()) found.harmfulAt ??= minute;
  }
  return found;
}
