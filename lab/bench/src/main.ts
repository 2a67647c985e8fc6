#!/usr/bin/env node
/** `npm run bench -- NAME`: progress on standard error, a Markdown report on standard output, exit 1 when a gate fails. */
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { reasonOf } from "@tributary/kernel";
import { Command } from "commander";
import { type Bench, type BenchFlags, markdownOf } from "./bench.ts";

type Entry = {
  readonly summary: string;
  /** Of this bench only: the flag, and what it does. */
  readonly flags?: readonly (readonly [flag: string, description: string])[];
  load(): Promise<Bench>;
};

const TASKS = ["--tasks <names>", "of lab/tasks: all, seen (without those held out), or names with commas"] as const;

/** Loaded when asked for: one bench does not pay for another's imports. */
const benches: Readonly<Record<string, Entry>> = {
  bridge: {
    summary: "a message from MQTT into Kafka: CPU time, latency and memory, beside its components and a peer",
    flags: [
      ["--peers", "also Telegraf behind Mosquitto"],
      ["--only <lanes>", "only these, with commas between them"],
      ["--flush", "every topic with flush.messages=1: Kafka answers after the disk has it"],
    ],
    load: async () => (await import("./bridge.ts")).bridge,
  },
  cloud: {
    summary: "each cloud backend beside calling its server directly; retry storms simulated",
    load: async () => (await import("./cloud.ts")).cloud,
  },
  drift: {
    summary: "faults named, clean devices not accused, and delays of detection, beside Evidently, scipy and river",
    flags: [["--quick", "a smaller run"], ["--only <parts>", "only these, with commas between them"], TASKS],
    load: async () => (await import("./drift.ts")).drift,
  },
  edge: {
    summary: "from capture to local answer, beside the bare decode, resize and run",
    flags: [["--beside", "with a niced program beside both lanes that keeps a core busy"]],
    load: async () => (await import("./edge.ts")).edge,
  },
  experiments: {
    summary: "wrong verdicts of experiments, coverage of their bands, and time to decide, beside other tests",
    load: async () => (await import("./experiments.ts")).experiments,
  },
  fleet: {
    summary: "100,000 devices: time of a look, memory, records per second, cohorts, and how they grow",
    load: async () => (await import("./fleet.ts")).fleet,
  },
  gate: {
    summary: "how often a candidate 0, 1 or 2 points worse passes the gate, by frames: today's and by slices",
    flags: [TASKS],
    load: async () => (await import("./gate.ts")).gate,
  },
  judge: {
    summary: "false rollbacks of equal models, and time to roll back a worse one, beside other methods",
    load: async () => (await import("./judge.ts")).judge,
  },
  ladder: {
    summary:
      "properties of the ladder FULL, LITE, STALE, SAFE over 10,000 simulated drives each, and controls that violate them",
    flags: [["--quick", "200 drives each"]],
    load: async () => (await import("./ladder.ts")).ladder,
  },
  packing: {
    summary: "single faults of a model's description on several tasks: reported at packing, correct ones packed",
    flags: [["--tasks <names>", "all, seen (without those held out; the default), or names with commas between them"]],
    load: async () => (await import("./packing.ts")).packing,
  },
  retrain: {
    summary: "accuracy regained at a drifted site and its cost elsewhere, beside controls and one gain per channel",
    flags: [
      ["--quick", "one seed at dusk, and its controls"],
      ["--tasks <names>", "instead, tasks of lab/tasks: all, seen, or names with commas between them"],
    ],
    load: async () => (await import("./retrain.ts")).retrain,
  },
  "rollout-times": {
    summary:
      "300 devices over the real bridge: from create to a running canary, from a bad metric to the last rollback",
    load: async () => (await import("./rollout-times.ts")).rolloutTimes,
  },
  rollouts: {
    summary: "rollouts of simulated fleets: how each kind of model ends, when, and how many devices it reached",
    load: async () => (await import("./rollouts.ts")).rollouts,
  },
  routing: {
    summary: "share of the cloud's gain kept at a budget, guarantee, budget, and unbiasedness of the sample",
    flags: [
      ["--tasks <names>", "instead, policies for other tasks: all, seen, names with commas, or words of one's name"],
    ],
    load: async () => (await import("./routing.ts")).routing,
  },
  tasks: {
    summary: "the tasks of lab/tasks: photos, classes, licences, and accuracy and recalls of their models",
    flags: [TASKS],
    load: async () => (await import("./tasks.ts")).tasks,
  },
  vehicle: {
    summary: "answers within 50 ms at 20 frames a second under faults of a vehicle's computer, beside the plain agent",
    flags: [
      ["--minutes <n>", "length of the drive under faults of the computer; 12 by default"],
      ["--only <parts>", "only these, with commas between them: computer, camera, load, group, control"],
      ["--realtime", "as on a vehicle, in Linux's real-time class, also busy loops; may stop a virtual machine"],
    ],
    load: async () => (await import("./vehicle.ts")).vehicle,
  },
  world: {
    summary: "points gained by a world model where classes depend on the context, and lost with wrong contexts",
    flags: [["--quick", "fewer photos and seeds"]],
    load: async () => (await import("./world.ts")).world,
  },
};

type Flags = { readonly json?: string; readonly svg?: string; readonly long?: true } & BenchFlags;

const program = new Command("bench")
  .description("Measures ratios side by side, in one run, on this machine.")
  .showHelpAfterError()
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));

for (const [name, { summary, flags = [], load }] of Object.entries(benches)) {
  const command = program
    .command(name)
    .description(summary)
    .option("--json <file>", "also write all measurements as JSON")
    .option("--svg <file>", "also write the plot, if the bench draws one")
    .option("--long", "the thorough run, minutes instead of seconds")
    .action(async (given: Flags) => run(await load(), given));
  for (const [flag, description] of flags) command.option(flag, description);
  if (process.argv.includes("--help") && process.argv.includes(name)) {
    command.addHelpText("after", `\n${(await load()).details}`);
  }
}
program.action(() => program.help({ error: true }));

await program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`bench: ${reasonOf(error)}\n`);
  process.exitCode = 2;
});

async function run(bench: Bench, flags: Flags): Promise<void> {
  const startedMs = performance.now();
  const report = await bench.run({
    isLong: flags.long === true,
    flags,
    progress: (line) => process.stderr.write(`${((performance.now() - startedMs) / 1_000).toFixed(1)} s  ${line}\n`),
  });
  const passed = report.gates.every((gate) => gate.passed);
  const machine = { cpu: cpus()[0]?.model ?? "", cores: availableParallelism(), node: process.version };
  process.stdout.write(markdownOf(bench, report));
  if (flags.json !== undefined) {
    const { gates, figures } = report;
    const seconds = (performance.now() - startedMs) / 1_000;
    const document = { bench: bench.name, passed, long: flags.long === true, seconds, machine, gates, figures };
    writeFileSync(flags.json, `${JSON.stringify(document, null, 2)}\n`);
  }
  if (flags.svg !== undefined) {
    if (report.svg === undefined) throw new Error(`bench ${bench.name} draws no plot`);
    writeFileSync(flags.svg, report.svg);
  }
  if (!passed) process.exitCode = 1;
}
