/** How soon a change is detected, and how often nothing is: our detector and others on the very same windows. */
import { logBar } from "@tributary/drift";
import { seededRandom } from "@tributary/kernel";
import type { Gate, Table } from "../bench.ts";
import { drawMix, type Observed, Scenes } from "./observed.ts";
import type { Peers, Watched } from "./peers.ts";
import { Watcher } from "./watcher.ts";

export const DELAY = {
  frames: 60,
  baseline: 240,
  before: 60,
  after: 240,
  cleanAfter: 120,
  fleetStreams: 8_000,
} as const;
const WINDOW_MS = 60_000;
const OURS = "tributary";
const DETECTED_MIN = 0.95;
/** Frames of a scene: independent of each other, as most methods assume; or some of one class, as cameras have them. */
const SCENES = { "independent frames": 1, "scenes of 5 frames": 5 } as const;
type SceneName = keyof typeof SCENES;
const [INDEPENDENT, IN_SCENES] = ["independent frames", "scenes of 5 frames"] as const;
/** Changes of the world beside faults of a camera. */
const MIX = "half of one class";

type Run = {
  readonly change: string | null;
  readonly scene: SceneName;
  readonly watched: Readonly<Record<string, Watched>>;
};

export type Delays = {
  readonly methods: readonly string[];
  readonly seeds: number;
  readonly changes: readonly {
    readonly change: string;
    readonly byMethod: Readonly<
      Record<string, { readonly median: number | null; readonly p90: number | null; readonly missed: number }>
    >;
  }[];
  /** By method and kind of scene: windows without a change that alarmed, of how many. */
  readonly falseAlarms: Readonly<
    Record<string, Readonly<Record<SceneName, { readonly alarms: number; readonly looked: number }>>>
  >;
};

export async function delays(
  observed: Observed,
  peers: Peers,
  faults: readonly string[],
  seeds: number,
  progress: (line: string) => void,
): Promise<Delays> {
  const runs: Run[] = [];
  for (const change of [...faults, MIX, null]) {
    for (let seed = 0; seed < seeds; seed++) runs.push(await runOf(observed, peers, change, seed, INDEPENDENT));
    progress(`  ${change ?? "nothing"}: ${seeds} cameras watched`);
  }
  for (let seed = 0; seed < seeds; seed++) runs.push(await runOf(observed, peers, null, seed, IN_SCENES));
  const methods = Object.keys(runs[0]?.watched ?? {});
  const of = (change: string | null, method: string) =>
    runs.filter((run) => run.change === change).map(({ watched }) => watched[method] as Watched);
  return {
    methods,
    seeds,
    changes: [...faults, MIX].map((change) => ({
      change,
      byMethod: Object.fromEntries(methods.map((method) => [method, delayOf(of(change, method))])),
    })),
    falseAlarms: Object.fromEntries(
      methods.map((method) => {
        const falseAlarmsIn = (scene: SceneName) => {
          const own = runs.filter((run) => run.scene === scene).map(({ watched }) => watched[method] as Watched);
          const sum = (key: "alarms" | "looked") => own.reduce((total, one) => total + one[key], 0);
          return { alarms: sum("alarms"), looked: sum("looked") };
        };
        return [method, { [INDEPENDENT]: falseAlarmsIn(INDEPENDENT), [IN_SCENES]: falseAlarmsIn(IN_SCENES) }];
      }),
    ),
  };
}

async function runOf(
  observed: Observed,
  peers: Peers,
  change: string | null,
  seed: number,
  scene: SceneName,
): Promise<Run> {
  const { frames, baseline, before, after, cleanAfter } = DELAY;
  const random = seededRandom(9_000_000 + seed);
  const classes = observed.streams.length - observed.features;
  const mix = drawMix(random, classes);
  const windows = baseline + before + (change === null ? cleanAfter : after);
  const changeAt = change === null ? null : baseline + before;
  const drawn = new Uint32Array(windows * frames);
  const own = new Scenes(random, mix, SCENES[scene]);
  const favourite = Math.floor(random() * classes);
  const other = new Scenes(
    random,
    mix.map((share, c) => share / 2 + (c === favourite ? 0.5 : 0)),
    SCENES[scene],
  );
  for (let w = 0; w < windows; w++) {
    const isChanged = changeAt !== null && w >= changeAt;
    const set = isChanged && change !== MIX ? `now/${change}` : "now";
    const scenes = isChanged && change === MIX ? other : own;
    scenes.draw(observed.framesOf(set), drawn.subarray(w * frames, (w + 1) * frames));
  }
  const theirs = peers.watch(drawn, windows, baseline, changeAt);
  const ours = watchedByUs(observed, drawn, windows, changeAt);
  return { change, scene, watched: { [OURS]: ours, ...(await theirs) } };
}

function watchedByUs(observed: Observed, drawn: Uint32Array, windows: number, changeAt: number | null): Watched {
  const { frames, baseline, fleetStreams } = DELAY;
  const watcher = new Watcher(observed.streams.length, logBar(fleetStreams, WINDOW_MS));
  const means = new Float64Array(observed.streams.length);
  let [alarms, delay]: [number, number | null] = [0, null];
  for (let w = 0; w < windows && delay === null; w++) {
    observed.mean(drawn.subarray(w * frames, (w + 1) * frames), means);
    watcher.step(means, frames, ((w + 1) * WINDOW_MS) / 1_000);
    if (!watcher.alarms) continue;
    if (changeAt === null || w < changeAt) alarms += 1;
    else delay = w - changeAt + 1;
  }
  return { delay, alarms, looked: (changeAt ?? windows) - baseline };
}

function delayOf(watched: readonly Watched[]) {
  const found = watched.map(({ delay }) => delay ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const at = (share: number) => {
    const value = found[Math.ceil(share * found.length) - 1] as number;
    return Number.isFinite(value) ? value : null;
  };
  return { median: at(0.5), p90: at(0.9), missed: found.filter((delay) => !Number.isFinite(delay)).length };
}

export const delayTable = ({ methods, seeds, changes, falseAlarms }: Delays): Table => ({
  title: `Windows of ${DELAY.frames} frames until half / nine tenths of ${seeds} cameras alarm, and false alarms on the same windows`,
  columns: ["change", ...methods],
  rows: [
    ...changes.map(({ change, byMethod }) => [
      change,
      ...methods.map((method) => {
        const { median, p90 } = byMethod[method] ?? { median: null, p90: null };
        return `${median ?? "never"} / ${p90 ?? "never"}`;
      }),
    ]),
    ...([INDEPENDENT, IN_SCENES] as const).map((scene) => [
      `false: clean windows, ${scene}`,
      ...methods.map((method) => {
        const { alarms, looked } = falseAlarms[method]?.[scene] ?? { alarms: 0, looked: 0 };
        return `${alarms} of ${looked}, ${((100 * alarms) / looked).toFixed(1)} %`;
      }),
    ]),
  ],
});

export function delayGates({ changes, falseAlarms, seeds }: Delays): readonly Gate[] {
  const alarms = Object.values(falseAlarms[OURS] ?? {}).reduce((sum, one) => sum + one.alarms, 0);
  const [all, missed] = [
    changes.length * seeds,
    changes.reduce((sum, { byMethod }) => sum + (byMethod[OURS]?.missed ?? seeds), 0),
  ];
  return [
    { name: "no false alarm on the windows of the delays", passed: alarms === 0, measured: String(alarms) },
    {
      name: `at least ${100 * DETECTED_MIN} % of changes are detected within ${DELAY.after} windows`,
      passed: all - missed >= DETECTED_MIN * all,
      measured: `${all - missed} of ${all}`,
    },
  ];
}
