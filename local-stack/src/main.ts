/** `npm start`: the stack, a live table, and at the end what the verifier found. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { reasonOf, systemClock } from "@tributary/kernel";
import { lossesOf, type Report } from "./account.ts";
import { type ExternalMqtt, readPasswords } from "./external-mqtt.ts";
import { STACK_MARK } from "./journal.ts";
import { Live } from "./live.ts";
import { HELP, parseOptions, type StartOptions } from "./options.ts";
import { cloudPackage, runDir } from "./paths.ts";
import { marked, pssBytes } from "./proc.ts";
import { type Stack, startStack } from "./stack.ts";
import { summaryOf } from "./summary.ts";
import { type AgentView, askAgent, lineOf, Screen, tableOf } from "./table.ts";
import { accountOf, endedBoots, shownBy, verify } from "./verify.ts";

const TICK_MS = 1_000;
const LINE_MS = 5_000;
/** Cameras have ended and no answer came for so long: what is missing will not come. */
const SILENCE_MS_MAX = 45_000;
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
    console.error(`${parsed.problems.join("\n")}\n\nnpm start -- --help tells the options`);
    process.exitCode = 2;
    break;
  case "run":
    try {
      process.exitCode = await run(parsed.options);
    } catch (error) {
      console.error(reasonOf(error));
      process.exitCode = 1;
    }
    break;
  default:
    parsed satisfies never;
}
process.exit();

async function run(options: StartOptions): Promise<number> {
  let stepAt = performance.now();
  let stepName = "";
  const endStep = () => {
    if (stepName !== "") console.log(`  ${stepName}: ${((performance.now() - stepAt) / 1000).toFixed(1)} s`);
    stepAt = performance.now();
  };
  const stack = await startStack({
    dir: runDir,
    devices: options.devices,
    ...(options.frames !== undefined && { frames: options.frames }),
    ...(options.kafka && { kafka: options.kafka }),
    ...(options.mqtt && { mqtt: externalOf(options.mqtt) }),
    fresh: options.fresh,
    supervised: true,
    rollouts: {},
    ports: { kafka: 9092, mqtt: 1883, gateway: 8080 },
    signal: stopping.signal,
    onStep: (step) => {
      endStep();
      stepName = step;
    },
    onEvent: (line) => console.log(`  ${line}`),
  });
  endStep();
  const setupSeconds = Math.round((Date.now() - setupStartedAt) / 100) / 10;
  console.log(
    `  ready in ${setupSeconds} s: ${stack.gatewayUrl}/api/v1/classifications, ${stack.mqttUrl}, Kafka ${stack.brokers}`,
  );
  const live = new Live(stack.brokers, stack.prefix);
  try {
    live.follow(stack.began);
    const memory = await watch(stack, live, options);
    await live.close();
    console.log("  verifying ...");
    const { report, restarts } = await verified(stack, options);
    await stack.stop();
    const whole = { ...report, setupSeconds, restarts, memoryMbMax: memory };
    if (report !== undefined) console.log(summaryOf(whole as typeof whole & Report));
    if (options.report !== undefined) {
      mkdirSync(dirname(options.report), { recursive: true });
      writeFileSync(options.report, `${JSON.stringify(whole, null, 2)}\n`);
      console.log(`  report: ${options.report}`);
    }
    if (report !== undefined && (report.lost > 0 || report.duplicates > 0)) return 1;
    if (stoppedBy !== undefined && options.frames !== undefined) return 130;
    return 0;
  } finally {
    await live.close().catch(() => {});
    await stack.stop();
  }
}

function externalOf({ url, bridges, passwordsFile }: NonNullable<StartOptions["mqtt"]>): ExternalMqtt {
  return { url, bridges, ...(passwordsFile !== undefined && { passwords: readPasswords(passwordsFile) }) };
}

/** Draws until stopped, or, with --exit, until every frame has its final answer. Returns the stack's largest memory, MB. */
async function watch(stack: Stack, live: Live, options: StartOptions): Promise<number> {
  const screen = new Screen();
  const startedAt = performance.now();
  const views = new Map<string, AgentView | undefined>();
  let lineAt = 0;
  let memoryMax = 0;
  let answeredBefore = -1;
  let answeredAt = startedAt;
  while (!stopping.signal.aborted) {
    await systemClock.sleep(TICK_MS, stopping.signal).catch(() => {});
    await Promise.all(stack.agents.map(async ({ deviceId, url }) => views.set(deviceId, await askAgent(url()))));
    const now = performance.now();
    if (live.failure !== undefined) throw live.failure;
    if (now - lineAt > LINE_MS) {
      const bytes = marked(STACK_MARK, stack.stackId).reduce((sum, { pid }) => sum + pssBytes(pid), 0);
      memoryMax = Math.max(memoryMax, Math.round(bytes / 1e6));
    }
    if (process.stdout.isTTY) screen.draw(tableOf(stack, live, views));
    else if (now - lineAt > LINE_MS) console.log(lineOf(live, views, (now - startedAt) / 1000));
    if (now - lineAt > LINE_MS) lineAt = now;
    if (!options.exit || options.frames === undefined) continue;
    if (live.answered !== answeredBefore) [answeredBefore, answeredAt] = [live.answered, now];
    const shown = shownBy(stack.agents).length;
    if (shown < options.frames) continue;
    const isSilent = now - answeredAt > SILENCE_MS_MAX;
    if (live.answered < shown && !isSilent && now - answeredAt < 5_000) continue;
    const account = await accountOf({
      brokers: stack.brokers,
      prefix: stack.prefix,
      from: stack.began,
      ledgers: stack.agents,
    });
    if (lossesOf(account, { killed: endedBoots(stack.agents) }).lost.length === 0 || isSilent) break;
  }
  if (!process.stdout.isTTY) console.log(tableOf(stack, live, views));
  return memoryMax;
}

async function verified(
  stack: Stack,
  options: StartOptions,
): Promise<{ report: Report | undefined; restarts: number }> {
  const parts = [
    ...stack.bridges,
    stack.router,
    stack.classifier,
    stack.gateway,
    ...stack.agents.map(({ part }) => part),
  ];
  const restarts = parts.reduce((sum, part) => sum + part.restarts, 0);
  const isWhole = stoppedBy === undefined;
  const stoppedAt = Date.now();
  if (!isWhole) {
    // No new frames; what is on its way gets its answer.
    await Promise.all(stack.agents.map(({ part }) => part.stop()));
    await systemClock.sleep(3_000);
  }
  const frames = shownBy(stack.agents).length;
  if (frames > FRAMES_VERIFIED_MAX) {
    console.log(`  ${frames} frames are too many to be verified one by one (${FRAMES_VERIFIED_MAX} at most)`);
    return { report: undefined, restarts };
  }
  const { report } = await verify({
    brokers: stack.brokers,
    prefix: stack.prefix,
    from: stack.began,
    ledgers: stack.agents,
    ...((isWhole || options.report !== undefined) && { cloudPackage }),
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
