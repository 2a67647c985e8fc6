/** A month of cameras that change as cameras do: daily cycles, scenes that follow each other, people who stop in front of one. */
import { logBar } from "@tributary/drift";
import { type Random, seededRandom } from "@tributary/kernel";
import { quantilesOf } from "@tributary/testing";
import type { Gate, Table } from "../bench.ts";
import { inWorkers } from "../in-workers.ts";
import { Watcher } from "./watcher.ts";

export type World = {
  readonly name: string;
  /** Of the day's cycle, in units of a stream (0 to 1). */
  readonly amplitude: number;
  readonly dayParts: number;
  /** Changes of the scene a day, each of all streams of a camera by up to `size`. */
  readonly changes: number;
  readonly changeMinutesMean: number;
  readonly changeMinutesMax: number;
  readonly size: number;
  /** From this day on every stream is moved by `faultSize`; null: never. */
  readonly faultDay: number | null;
};

export type MonthTask = {
  readonly world: World;
  readonly cameras: number;
  readonly days: number;
  readonly seed: number;
  /** Of the fleet. */
  readonly streams: number;
};

/** Streams that alarmed, each counted at the start of its alarm. */
export type MonthAlarms = {
  /** Without a fault, or before it. */
  readonly alarms: number;
  readonly cameras: number;
  /** Of each camera, minutes from the fault to its first alarm; null: none. */
  readonly delays: readonly (number | null)[];
};

export const STREAMS = 10;
const WINDOW_MS = 60_000;
const DAY = 1_440;
/** Windows; an alarm lasts longer. */
const LOOK_EVERY = 20;
const FAULT = 0.3;
/** Standard deviation of a window's mean of 60 frames, and how alike one window is to the next. */
const NOISE = { sd: 0.04, correlation: 0.5 } as const;

export function simulate({ world, cameras, days, seed, streams }: MonthTask): MonthAlarms {
  const found = Array.from({ length: cameras }, (_, camera) =>
    cameraAlarms(world, seededRandom(seed + camera), days, logBar(streams, WINDOW_MS)),
  );
  return {
    alarms: found.reduce((sum, { alarms }) => sum + alarms, 0),
    cameras: found.filter(({ alarms }) => alarms > 0).length,
    delays: found.map(({ delay }) => delay),
  };
}

function cameraAlarms(world: World, random: Random, days: number, bar: number) {
  const watcher = new Watcher(STREAMS, bar, { dayParts: world.dayParts });
  const scene = new SceneChanges(world, random);
  const mean = Float64Array.from({ length: STREAMS }, () => 0.3 + 0.4 * random());
  const cycle = Float64Array.from({ length: STREAMS }, () => (random() < 0.5 ? -1 : 1) * world.amplitude);
  const phase = random() * DAY;
  const noise = new Float64Array(STREAMS);
  const x = new Float64Array(STREAMS);
  const isAlarmed = new Uint8Array(STREAMS);
  const fresh = NOISE.sd * Math.sqrt(1 - NOISE.correlation ** 2);
  const faultAt = world.faultDay === null ? Number.POSITIVE_INFINITY : world.faultDay * DAY;
  let [alarms, delay]: [number, number | null] = [0, null];
  for (let w = 1; w <= days * DAY && delay === null; w++) {
    const fault = w > faultAt ? FAULT : 0;
    const wave = Math.sin((2 * Math.PI * (w + phase)) / DAY);
    scene.step();
    for (let s = 0; s < STREAMS; s++) {
      noise[s] = NOISE.correlation * (noise[s] as number) + fresh * normal(random);
      const usual = (mean[s] as number) + (cycle[s] as number) * wave + (noise[s] as number);
      x[s] = Math.max(0, Math.min(1, usual + (scene.shift[s] as number) + fault));
    }
    watcher.step(x, 60, (w * WINDOW_MS) / 1_000);
    if (w % LOOK_EVERY !== 0) continue;
    for (let s = 0; s < STREAMS; s++) {
      const is = watcher.isAlarmed(s) ? 1 : 0;
      if (is > (isAlarmed[s] as number)) {
        if (w > faultAt) delay ??= w - faultAt;
        else alarms += 1;
      }
      isAlarmed[s] = is;
    }
  }
  return { alarms, delay };
}

/** What stands in front of a camera for some minutes. */
class SceneChanges {
  readonly shift = new Float64Array(STREAMS);
  readonly #world: World;
  readonly #random: Random;
  #left = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  step(): void {
    const { changes, changeMinutesMean, changeMinutesMax, size } = this.#world;
    if (this.#left > 0) {
      this.#left -= 1;
      if (this.#left === 0) this.shift.fill(0);
    } else if (this.#random() < changes / DAY) {
      const minutes = -changeMinutesMean * Math.log(1 - this.#random());
      this.#left = Math.max(1, Math.min(changeMinutesMax, Math.round(minutes)));
      for (let s = 0; s < STREAMS; s++) this.shift[s] = (2 * this.#random() - 1) * size;
    }
  }
}

/** Nearly: a sum of four uniforms. */
const normal = (random: Random): number => (random() + random() + random() + random() - 2) * Math.sqrt(3);

const CHANGES = { changes: 12, changeMinutesMean: 5, changeMinutesMax: 20, size: 0.3, faultDay: null } as const;
const indoors: World = { name: "indoors: one baseline", amplitude: 0.04, dayParts: 1, ...CHANGES };
const outdoors: World = { name: "outdoors: dayParts 8", amplitude: 0.25, dayParts: 8, ...CHANGES };
const AMPLITUDES = [0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3] as const;
const MINUTES = [5, 10, 20, 30, 45, 60] as const;
const CHUNK = 20;

export type Month = {
  readonly days: number;
  readonly streams: number;
  readonly worlds: readonly (World & MonthAlarms & { readonly streams: number })[];
  readonly sweepDays: number;
  readonly sweepCameras: number;
  /** Cameras that alarm. */
  readonly cycles: readonly {
    readonly amplitude: number;
    readonly byParts: Readonly<Record<string, { readonly alarmed: number; readonly medianDelay: number | null }>>;
  }[];
  readonly changes: readonly { readonly minutes: number; readonly alarmed: number }[];
};

/** `cameras` in each of the two worlds. */
export async function month(cameras: number, days: number, progress: (line: string) => void): Promise<Month> {
  const streams = 2 * cameras * STREAMS;
  const sweep = { cameras: 20, days: 7 };
  // A fault on the last day, of all that are left alone until then.
  const still = { changes: 0, changeMinutesMean: 1, changeMinutesMax: 1, size: 0, faultDay: sweep.days - 1 };
  const parts = [1, 8, 24];
  const cycles = AMPLITUDES.flatMap((amplitude) =>
    parts.map((dayParts) => ({ name: `${amplitude}/${dayParts}`, amplitude, dayParts, ...still })),
  );
  const changes = MINUTES.map((minutes) => ({
    ...{ name: `${minutes} minutes`, amplitude: 0, dayParts: 1, changes: 12, size: 0.3, faultDay: null },
    ...{ changeMinutesMean: 1e9, changeMinutesMax: minutes },
  }));
  const tasks: MonthTask[] = [indoors, outdoors].flatMap((world, w) =>
    Array.from({ length: cameras / CHUNK }, (_, chunk) => {
      const seed = 1 + w * 1_000_000 + chunk * CHUNK;
      return { world, cameras: CHUNK, days, seed, streams };
    }),
  );
  for (const [i, world] of [...cycles, ...changes].entries()) {
    tasks.push({ world, ...sweep, seed: 5_000_000 + i * 1_000, streams });
  }
  const url = new URL("./month-worker.js", import.meta.url);
  const done = await inWorkers<MonthTask, MonthAlarms>(url, tasks, (count) => {
    if (count % 20 === 0) progress(`  ${count} of ${tasks.length} groups of cameras simulated`);
  });
  const of = (world: World) => {
    const own = done.filter((_, i) => tasks[i]?.world === world);
    const sum = (key: "alarms" | "cameras") => own.reduce((all, one) => all + one[key], 0);
    return { alarms: sum("alarms"), cameras: sum("cameras"), delays: own.flatMap(({ delays }) => delays) };
  };
  return {
    days,
    streams,
    worlds: [indoors, outdoors].map((world) => ({ ...world, ...of(world), streams: cameras * STREAMS })),
    sweepDays: sweep.days,
    sweepCameras: sweep.cameras,
    cycles: AMPLITUDES.map((amplitude) => ({
      amplitude,
      byParts: Object.fromEntries(
        cycles
          .filter((one) => one.amplitude === amplitude)
          .map((one) => [one.dayParts, { alarmed: of(one).cameras, medianDelay: medianOf(of(one).delays) }]),
      ),
    })),
    changes: changes.map((world) => ({ minutes: world.changeMinutesMax, alarmed: of(world).cameras })),
  };
}

function medianOf(delays: readonly (number | null)[]): number | null {
  const [median] = quantilesOf(
    delays.map((delay) => delay ?? Number.POSITIVE_INFINITY),
    0.5,
  );
  return Number.isFinite(median) ? median : null;
}

export const monthTables = (found: Month): readonly Table[] => [
  {
    title: `${found.days} days of ${found.streams} streams, windows of a minute`,
    columns: ["cameras", "streams", "daily cycle", "scene changes a day", "their minutes", "alarms"],
    rows: found.worlds.map(({ name, streams, amplitude, changes, changeMinutesMean, changeMinutesMax, alarms }) => [
      name,
      streams,
      `±${amplitude}`,
      changes,
      `mean ${changeMinutesMean}, at most ${changeMinutesMax}`,
      alarms,
    ]),
  },
  {
    title: `Cycles alone, then a lasting change by ${FAULT}: cameras of ${found.sweepCameras} that alarm in ${found.sweepDays - 1} days before it; median minutes until they do after it`,
    columns: ["daily cycle", ...Object.keys(found.cycles[0]?.byParts ?? {}).map((parts) => `dayParts ${parts}`)],
    rows: found.cycles.map(({ amplitude, byParts }) => [
      `±${amplitude}`,
      ...Object.values(byParts).map(({ alarmed, medianDelay }) => `${alarmed}; ${medianDelay ?? "never"}`),
    ]),
  },
  {
    title: `Scene changes alone, 12 a day by up to .3, ${found.sweepDays} days: cameras of ${found.sweepCameras} that alarm`,
    columns: ["each lasts, minutes", "alarmed"],
    rows: found.changes.map(({ minutes, alarmed }) => [minutes, alarmed]),
  },
];

export const monthGates = ({ days, streams, worlds }: Month): readonly Gate[] => [
  {
    name: `at most one alarm in ${days} days of ${streams} streams`,
    passed: worlds.reduce((sum, { alarms }) => sum + alarms, 0) <= 1,
    measured: worlds.map(({ name, alarms }) => `${alarms} ${name.split(":")[0]}`).join(", "),
  },
];
