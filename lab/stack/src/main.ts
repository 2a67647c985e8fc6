/** `npm start`: the stack, a live table, and at the end the verifier's report. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KafkaReader } from "@tributary/kafka";
import { reasonOf, systemClock } from "@tributary/kernel";
import type { Report } from "./account.ts";
import { CAMERA_ID } from "./agents.ts";
import { type ExternalMqtt, readPasswords } from "./external-mqtt.ts";
import { Labeller } from "./labeller.ts";
import { Live } from "./live.ts";
import { HELP, parseOptions, type StartOptions } from "./options.ts";
import { runDir, samples } from "./paths.ts";
import { type Stack, startStack } from "./stack.ts";
import { summaryOf } from "./summary.ts";
import { agentIdsOf, lightIdsOf, Screen } from "./table.ts";
import { nameOf, type Task, taskLines, taskOf } from "./task.ts";
import { endedBoots, shownBy, verify } from "./verify.ts";
import { watch } from "./watch.ts";

/** Frames a second of a light device. */
const LIGHT_FPS = 1;
const LIGHT_DEVICES_A_PROCESS = 64;
/** Of so few devices most of a deployment's 32 would be empty, and each costs Kafka and its readers at every fetch. */
const PARTITIONS = 8;
/** How long a person takes who labels a frame of the random sample. */
const LABEL_DELAY_MS = 3_000;
/** A run that is stopped leaves frames of its last seconds on their way. */
const OPEN_MS_MAX = 10_000;
/** Above it the verifier would need more memory than the stack; the live counters must do. */
const FRAMES_VERIFIED_MAX = 300_000;

const setupStartedAt = Number(process.env.TRIBUTARY_STARTED_AT ?? Date.now());
const stopping = new AbortController();
let stoppedBy: NodeJS.Signals | undefined;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (stoppedBy === undefined) console.log("\nstopping ...");
    stoppedBy ??= signal;
    stopping.abort(new Error(signal));
  });
}
watchStarter();

const parsed = parseOptions(process.argv.slice(2));
switch (parsed.kind) {
  case "help":
    console.log(HELP);
    break;
  case "wrong":
    refuse(parsed.problems);
    break;
  case "run":
    try {
      const resolved = await taskOf(parsed.options);
      if (resolved.kind === "wrong") refuse(resolved.problems);
      else process.exitCode = await run(parsed.options, resolved.task);
    } catch (error) {
      console.error(reasonOf(error));
      process.exitCode = 1;
    }
    break;
  default:
    parsed satisfies never;
}
process.exit();

function refuse(problems: readonly string[]): void {
  console.error(`${problems.join("\n")}\n\nnpm start -- --help lists the options`);
  process.exitCode = 2;
}

async function run(options: StartOptions, task: Task): Promise<number> {
  for (const line of taskLines(task)) console.log(`  ${line}`);
  const screen = new Screen();
  const log = (line: string) => screen.print(`  ${line}`);
  const stack = await started(options, task, log);
  const setupSeconds = secondsTo(Date.now());
  log(
    `ready in ${setupSeconds} s: ${stack.gatewayUrl}/api/v1/classifications, ${stack.mqttUrl}, Kafka ${stack.brokers}`,
  );
  const live = new Live(stack.brokers, stack.prefix, setupStartedAt);
  let labelling: Labelling | undefined;
  try {
    labelling = await startLabelling(stack, task, log);
    await live.follow(stack.began);
    const { memoryMbMax, unnumbered } = await watch({
      stack,
      live,
      options,
      task,
      screen,
      signal: stopping.signal,
      secondsTo,
    });
    await live.close();
    await labelling?.stop();
    console.log("  verifying ...");
    for (const [deviceId, count] of unnumbered)
      console.log(
        `  ${deviceId} could not decode or record ${count} pictures: its frames can no longer be matched with its pictures`,
      );
    const { report, restarts } = await verified(stack, task, [...unnumbered.keys()]);
    await stack.stop();
    const lightIds = lightIdsOf(stack);
    const whole = {
      models: { edge: nameOf(task.edge), cloud: nameOf(task.cloud) },
      ...report,
      firstAnswerSeconds: live.first === undefined ? null : secondsTo(live.first.seenAt),
      setupSeconds,
      restarts,
      memoryMbMax,
      light: lightIds.length === 0 ? null : { devices: lightIds.length, answers: live.all(lightIds).answered },
      labels: labelling === undefined ? null : { sampled: labelling.seen, labelled: labelling.labelled },
    };
    if (report !== undefined) console.log(summaryOf(whole as typeof whole & Report));
    if (options.report !== undefined) {
      mkdirSync(dirname(options.report), { recursive: true });
      writeFileSync(options.report, `${JSON.stringify(whole, null, 2)}\n`);
      console.log(`  report: ${options.report}`);
    }
    if (report !== undefined && (report.lost > 0 || report.duplicates > 0)) return 1;
    if (stoppedBy !== undefined && options.frames !== undefined && (report?.frames ?? 0) < options.frames) return 130;
    return 0;
  } finally {
    await live.close().catch(() => {});
    await labelling?.stop();
    await stack.stop();
  }
}

function secondsTo(at: number): number {
  return Math.round((at - setupStartedAt) / 100) / 10;
}

async function started(options: StartOptions, { edge, cloud, camera, devices }: Task, log: (line: string) => void) {
  let stepAt = performance.now();
  let stepName = "";
  const endStep = () => {
    if (stepName !== "") log(`${stepName}: ${((performance.now() - stepAt) / 1000).toFixed(1)} s`);
    stepAt = performance.now();
  };
  const { fps, lightDevices } = options;
  const photos = camera.kind === "folder" ? camera.folder : samples;
  const stack = await startStack({
    dir: runDir,
    fresh: options.fresh,
    classes: edge.labels,
    supervised: true,
    wellKnownPorts: true,
    kafka: options.kafka ? { brokers: options.kafka } : { partitions: PARTITIONS },
    ...(options.mqtt && { mqtt: externalOf(options.mqtt) }),
    packages: { edge: edge.dir, cloud: cloud.dir },
    rollouts: { quick: true },
    drift: {},
    // Somebody watches: the usual minute between looks at the labels is long.
    ...(options.training && { training: { trainer: { limits: { labelsEveryMs: 10_000 } } } }),
    agents: {
      count: devices,
      photos,
      ...(fps !== undefined && { fps }),
      ...(options.frames !== undefined && { frames: options.frames }),
      ...(camera.kind === "command" && {
        cameras: () => [{ id: CAMERA_ID, kind: "command", command: camera.command }],
      }),
      config: { clock: "synchronized" }, // All share this machine's clock.
    },
    ...(lightDevices > 0 && {
      light: {
        devices: lightDevices,
        processes: Math.ceil(lightDevices / LIGHT_DEVICES_A_PROCESS),
        fps: LIGHT_FPS,
        photos,
        batchWaitMs: 2_000,
        windowMs: 60_000,
      },
    }),
    signal: stopping.signal,
    onStep: (step) => {
      endStep();
      stepName = step;
    },
    onEvent: log,
  });
  endStep();
  return stack;
}

type Labelling = { readonly seen: number; readonly labelled: number; readonly stop: () => Promise<void> };

/** With labels, this program labels the random sample in place of people. */
async function startLabelling(
  stack: Stack,
  { camera }: Task,
  log: (line: string) => void,
): Promise<Labelling | undefined> {
  if (camera.kind !== "folder" || camera.labels === undefined) return undefined;
  const truths = new Map<string, string>();
  for (const [file, label] of camera.labels) {
    const jpeg = await readFile(join(camera.folder, file));
    truths.set(createHash("sha256").update(jpeg).digest("hex"), label);
  }
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "labeller" });
  const labeller = new Labeller({
    reader,
    truths,
    gatewayUrl: stack.gatewayUrl,
    labelledBy: "npm-start",
    delayMs: LABEL_DELAY_MS,
    from: stack.began,
    onTrouble: log,
  });
  await labeller.start();
  return {
    get seen() {
      return labeller.seen;
    },
    get labelled() {
      return labeller.labelled;
    },
    stop: async () => {
      await labeller.stop();
      await reader.close();
    },
  };
}

function externalOf({ url, bridges, passwordsFile }: NonNullable<StartOptions["mqtt"]>): ExternalMqtt {
  return { url, bridges, ...(passwordsFile !== undefined && { passwords: readPasswords(passwordsFile) }) };
}

async function verified(
  stack: Stack,
  { camera }: Task,
  unnumbered: readonly string[],
): Promise<{ report: Report | undefined; restarts: number }> {
  const parts = [
    ...stack.bridges,
    stack.router,
    stack.classifier,
    stack.gateway,
    ...stack.agents.map(({ part }) => part),
  ];
  const restarts = parts.reduce((sum, part) => sum + part.restarts, 0);
  // A program's pictures do not end; nor does a run that is stopped.
  const isWhole = stoppedBy === undefined && camera.kind !== "command";
  const stoppedAt = Date.now();
  if (!isWhole) {
    // No new frames; what is on its way gets its answer.
    await Promise.all([...stack.agents, ...stack.light].map(({ part }) => part.stop()));
    await systemClock.sleep(3_000);
  }
  const frames = shownBy(stack.agents).length;
  if (frames > FRAMES_VERIFIED_MAX) {
    console.log(`  ${frames} frames are too many to verify one by one (the limit is ${FRAMES_VERIFIED_MAX})`);
    return { report: undefined, restarts };
  }
  const { report } = await verify({
    brokers: stack.brokers,
    prefix: stack.prefix,
    from: stack.began,
    ledgers: stack.agents,
    ...(camera.kind === "folder" && { labels: camera.labels }),
    withoutLedger: camera.kind === "command" ? agentIdsOf(stack) : unnumbered,
    excuses: { killed: endedBoots(stack.agents), ...(!isWhole && { openSince: stoppedAt - OPEN_MS_MAX }) },
  });
  return { report, restarts };
}

/** A launcher whose own starter was killed stops as if it had been asked to: nobody is left to ask. */
function watchStarter(): void {
  const starter = process.ppid;
  setInterval(() => {
    if (process.ppid !== starter && !stopping.signal.aborted) process.kill(process.pid, "SIGTERM");
  }, 1_000).unref();
}
