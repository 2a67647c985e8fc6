/** Tables and gates of the parts `causes` and `life`. */
import { faults, type Task } from "@tributary/tasks";
import type { Gate, Table } from "../../bench.ts";
import { inWorkers } from "../../in-workers.ts";
import { type CauseTrial, causeTrials, lifeOf } from "./causes.ts";
import type { LifeResult, LifeTask } from "./life.ts";

const WRONG_CAUSES_MAX = 0.02;
const WRONG_NAMES_MAX = 0.05;
/** Frames of clean life are made of so many photos. */
const LIFE_PHOTOS = 100;
const CAMERAS_OF_SITE = 6;
const CHUNK = 12;
/** A fleet's month. */
const FLEET = { cameras: 500, days: 30 } as const;

type Section = { readonly tables: readonly Table[]; readonly gates: readonly Gate[]; readonly figures: unknown };

export async function causesSection(
  tasks: readonly Task[],
  trials: number,
  progress: (line: string) => void,
): Promise<Section> {
  const all: CauseTrial[] = [];
  for (const task of tasks) all.push(...(await causeTrials(task, { trials, clean: 500 }, progress)));
  const count = (of: readonly CauseTrial[], is: (trial: CauseTrial) => boolean) => of.filter(is).length;
  const cells = (of: readonly CauseTrial[]) => [
    of.length,
    ...(["right", "unknown", "wrong", "undetected"] as const).map((outcome) =>
      count(of, (one) => one.outcome === outcome),
    ),
    ...(["right", "none", "wrong"] as const).map((name) =>
      count(of, (one) => one.outcome !== "undetected" && one.name === name),
    ),
    of.reduce((sum, one) => sum + one.innocent, 0),
  ];
  const columns = [
    "trials",
    "cause right",
    "unknown",
    "wrong",
    "undetected",
    "name right",
    "none",
    "wrong",
    "innocent devices",
  ];
  const wrong = count(all, ({ outcome }) => outcome === "wrong");
  const wrongNames = count(all, ({ name }) => name === "wrong");
  const named = count(all, ({ name }) => name !== "none");
  const innocent = all.reduce((sum, one) => sum + one.innocent, 0);
  const part = (of: number) => `${of} of ${all.length} (${((100 * of) / all.length).toFixed(1)} %)`;
  const mistakes = all.filter(({ outcome, name }) => outcome === "wrong" || name === "wrong");
  return {
    tables: [
      {
        title:
          "Faults of a stranger's making, by task: a fleet of 24 cameras at six sites, 300 windows before and 120 after",
        columns: ["task", ...columns],
        rows: tasks.map(({ name }) => [name, ...cells(all.filter(({ task }) => task === name))]),
      },
      {
        title: "By fault",
        columns: ["fault", "what it is", ...columns],
        rows: faults
          .filter(({ name }) => all.some(({ fault }) => fault === name))
          .map(({ name, cause }) => [name, cause, ...cells(all.filter(({ fault }) => fault === name))]),
      },
      {
        title: "Mistakes",
        columns: ["task", "fault", "severity", "reported"],
        rows: mistakes.map(({ task, fault, severity, reported }) => [
          task,
          fault,
          severity.toFixed(2),
          reported.join("; "),
        ]),
      },
    ],
    gates: [
      {
        name: `at most ${100 * WRONG_CAUSES_MAX} % wrong causes`,
        passed: wrong <= WRONG_CAUSES_MAX * all.length,
        measured: part(wrong),
      },
      {
        name: `at most ${100 * WRONG_NAMES_MAX} % wrong names`,
        passed: wrongNames <= WRONG_NAMES_MAX * all.length,
        measured: `${part(wrongNames)}; of ${part(named)} that are named`,
      },
      { name: "no device without a fault is accused", passed: innocent === 0, measured: String(innocent) },
    ],
    figures: all,
  };
}

/** `cameras` of all tasks together. */
export async function lifeSection(
  tasks: readonly Task[],
  cameras: number,
  days: number,
  progress: (line: string) => void,
): Promise<Section> {
  const months: LifeTask[] = [];
  for (const task of tasks) {
    const life = await lifeOf(task, LIFE_PHOTOS, progress);
    for (let chunk = 0; chunk * CHUNK < cameras / tasks.length; chunk++) {
      const seed = 1 + months.length;
      const fleet = { cameras: CHUNK, camerasOfSite: CAMERAS_OF_SITE, fleetCameras: FLEET.cameras };
      months.push({ ...life, ...fleet, days, seed, detector: { dayParts: 8 }, faultDay: null });
      // What so many days cost in sight: the same with a fault.
      if (chunk === 0) months.push({ ...life, ...fleet, days, seed, detector: { dayParts: 8 }, faultDay: days / 2 });
    }
  }
  progress(`${days} days of ${months.length * CHUNK} cameras`);
  const url = new URL("./life-worker.js", import.meta.url);
  const done = await inWorkers<LifeTask, LifeResult>(url, months, (count) => {
    if (count % 5 === 0) progress(`  ${count} of ${months.length} groups of cameras have lived`);
  });
  const rows = tasks.map(({ name, places }) => {
    const own = done.filter((_, i) => months[i]?.places === places);
    const clean = own.filter(({ delays }) => delays.length === 0);
    const delays = own.flatMap((one) => one.delays);
    const found = delays.flatMap((delay) => delay ?? []).sort((a, b) => a - b);
    return {
      name,
      cameraDays: clean.reduce((sum, one) => sum + one.cameraDays, 0),
      opened: clean.flatMap((one) => one.opened),
      alarmed: clean.reduce((sum, one) => sum + one.alarms, 0),
      trainings: own.reduce((sum, one) => sum + one.trainings, 0),
      faulty: delays.length,
      innocent: own.filter((one) => one.delays.length > 0).reduce((sum, one) => sum + one.innocent, 0),
      found: found.length,
      hours: found[Math.floor(found.length / 2)] ?? null,
    };
  });
  const cameraDays = rows.reduce((sum, row) => sum + row.cameraDays, 0);
  const opened = rows.reduce((sum, row) => sum + row.opened.length, 0);
  const trainings = rows.reduce((sum, row) => sum + row.trainings, 0);
  const fleets = cameraDays / (FLEET.cameras * FLEET.days);
  return {
    tables: [
      {
        title: `Clean life: own mixes, days and nights, weather, scenes, 1 to 30 frames a minute; and from half of the time on a third of the cameras a third darker`,
        columns: [
          "task",
          "camera days",
          "verdicts",
          "cameras alarmed",
          "trainings",
          "darker",
          "found",
          "median hours",
          "innocent beside",
        ],
        rows: rows.map((row) => [
          ...[row.name, row.cameraDays, row.opened.length, row.alarmed, row.trainings, row.faulty, row.found],
          row.hours === null ? "-" : row.hours.toFixed(0),
          row.innocent,
        ]),
      },
      {
        title: "Verdicts of clean life",
        columns: ["task", "day", "verdict"],
        rows: rows.flatMap(({ name, opened: of }) => of.map(({ day, verdict }) => [name, day.toFixed(1), verdict])),
      },
    ],
    gates: [
      {
        name: `at most one verdict in a month of ${FLEET.cameras} cameras`,
        passed: opened <= Math.max(1, fleets),
        measured: `${opened} in ${cameraDays} camera days`,
      },
      { name: "no training", passed: trainings === 0, measured: String(trainings) },
    ],
    figures: rows,
  };
}
