/**
 * One hostile registered device attacks the system beside twenty benign ones, one attack after the other.
 *
 * Each attack is compared with the same devices alone, in alternating periods, with the rogue stopped in between (SIGSTOP):
 * both have the same machine, and the same effects of the previous attack. Each attack has its own rogue device, so that it
 * is listed for this attack only. Listing throttled devices starts a process: that happens once the benign devices have sent
 * everything, during the attack. The rogue is a separate process, and it and the cloud's model have the lowest priority: in a
 * deployment they have their own processors, and the measurement is about what devices share.
 */
import { type ChildProcess, fork } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { dlqOf, topics } from "@tributary/contracts";
import { KafkaReader } from "@tributary/kafka";
import { metricsOf, type Part, type Stack, seriesOf, startStack, tributary } from "@tributary/stack";
import { percent, repositoryRoot, someJpeg } from "@tributary/testing";
import { type Check, check, type Drill, type Findings } from "../scenario.ts";
import { BenignDevice, type Measured, Talker } from "./device.ts";
import type { RogueOrder } from "./rogue.ts";
import { type Way, ways } from "./ways.ts";

const GOOD = 20;
/** Until V8 has compiled the code that frames use. */
const WARM_UP_SECONDS = 15;
/** Of the benign devices alone, and beside the rogue. */
const TURN_SECONDS = 5;
/** Until the last answer is here: the frames' deadline and a little. */
const ANSWERS_MS = 6_000;
/** The last benign device begins nearly a second after the first, and waits for its last acknowledgement. */
const SENT_SECONDS = 2;
const MIB = 1_024 * 1_024;
/** The limit of a device's whole dead letters by limits.perDevice, and room for summaries. */
const deadLetterBytesMax = (seconds: number) => 4 * MIB + seconds * 64 * 1_024 + MIB;
/** Of router.state.v1 beside a device's own uplink, and to begin with. */
const STATE_PER_UPLINK_MAX = 10;
const STATE_BYTES_FIRST = 4 * MIB;
/** Below this a doubled latency is noise. */
const PUBACK_MS_MIN = 10;

export const hostile: Drill = {
  name: "hostile",
  summary: "one hostile registered device at full speed, in several attacks, beside 20 benign ones",
  details: `Each attack: the benign devices alone, then with the hostile one. Their cloud answers may fall by a tenth and their PUBACK's
p99 double; its dead letters and router.state stay within their limits; metrics and \`tributary get devices\` list it.

${ways.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join("\n")}`,
  options: [{ name: "seconds", about: "duration of each attack, and of the benign devices alone before", value: 40 }],
  choices: [{ name: "ways", about: "attacks of the hostile device", among: ways.map(({ name }) => name) }],
  async run({ dir, log, options: { seconds = 40 }, choices }) {
    // The benign devices are in this process: its garbage collections must not count as latency (the bridge's
    // small-heap.ts).
    for (const flag of ["--semi-space-growth-factor=1", "--no-parallel-scavenge"]) setFlagsFromString(flag);
    const chosen = ways.filter(({ name }) => choices?.ways?.includes(name) ?? true);
    const stack = await startStack({
      dir,
      supervised: true,
      kafka: { partitions: 8, isMeasured: true },
      onEvent: log,
    });
    const jpeg = await someJpeg();
    const talkers: Talker[] = [];
    try {
      const benign = await benignDevices(stack, jpeg, talkers);
      await lowerPriority(stack.classifier.pid ?? -1);
      await phase(benign, Math.min(seconds, WARM_UP_SECONDS));
      const findings: Findings[] = [];
      for (const way of chosen) findings.push(await beside(way, { stack, benign, seconds, log }));
      return findings;
    } finally {
      await Promise.all(talkers.map((talker) => talker.end()));
      await stack.stop();
    }
  },
};

async function benignDevices(stack: Stack, jpeg: Buffer, talkers: Talker[]): Promise<readonly BenignDevice[]> {
  const benign: BenignDevice[] = [];
  for (let i = 1; i <= GOOD; i++) {
    const talker = await Talker.connect(stack.mqttUrl, await stack.devices.register(`good-${i}`), jpeg);
    talkers.push(talker);
    const device = new BenignDevice(talker);
    await device.subscribe();
    benign.push(device);
  }
  return benign;
}

type World = {
  readonly stack: Stack;
  readonly benign: readonly BenignDevice[];
  readonly seconds: number;
  readonly log: (line: string) => void;
};

async function beside(way: Way, { stack, benign, seconds, log }: World): Promise<Findings> {
  log(`${way.name}: ${way.summary}`);
  const deviceId = `rogue-${way.name}`;
  const credentials = await stack.devices.register(deviceId);
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "chaos-hostile" });
  let rogue: ChildProcess | undefined;
  try {
    const written = await meterOf(reader, deviceId);
    const alone: Measured[] = [];
    const with_: Measured[] = [];
    let named: Named = { metrics: [], commandLine: "" };
    let beganMs = 0;
    const turns = Math.ceil(seconds / TURN_SECONDS);
    for (let turn = 1; turn <= turns; turn++) {
      alone.push(...(await phase(benign, seconds / turns)));
      if (rogue === undefined) {
        rogue = await startRogue({ way: way.name, url: stack.mqttUrl, credentials });
        beganMs = performance.now();
      } else rogue.kill("SIGCONT");
      const isLast = turn === turns;
      const asked = isLast && sleep((seconds / turns + SENT_SECONDS) * 1_000).then(() => namedBy(stack, deviceId));
      with_.push(...(await phase(benign, seconds / turns)));
      if (asked) named = await asked;
      else rogue.kill("SIGSTOP");
    }
    if (rogue === undefined || rogue.exitCode !== null) throw new Error(`the rogue ended with ${rogue?.exitCode}`);
    await end(rogue);
    // Its token buckets refill while it is stopped, too.
    const lastedSeconds = (performance.now() - beganMs) / 1_000;
    const bytes = await written();
    const findings = findingsOf(way, {
      alone: figuresOf(alone),
      with_: figuresOf(with_),
      named,
      bytes,
      lastedSeconds,
    });
    for (const { name, passed, found } of findings.checks) log(`  ${passed ? "holds" : "FAILS"}: ${name}: ${found}`);
    return findings;
  } finally {
    if (rogue !== undefined) await end(rogue);
    await reader.close();
  }
}

/** Resolves once the rogue has begun its attack. */
function startRogue(order: RogueOrder): Promise<ChildProcess> {
  const child = fork(join(repositoryRoot, "lab/chaos/dist/hostile/rogue.js"));
  process.once("exit", () => child.kill("SIGKILL")); // One that is stopped does not notice that its parent has ended.
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the rogue ended with ${code}`)));
    child.once("message", () => resolve(child));
    child.send(order);
  });
}

async function end(rogue: ChildProcess): Promise<void> {
  if (rogue.exitCode !== null || rogue.signalCode !== null) return;
  const ended = new Promise((resolve) => rogue.once("exit", resolve));
  rogue.kill("SIGKILL");
  await ended;
}

/** All threads of a process and of its children. */
async function lowerPriority(pid: number): Promise<void> {
  const tasks = await readdir(`/proc/${pid}/task`);
  for (const task of tasks) {
    setPriority(Number(task), constants.priority.PRIORITY_LOW);
    const children = await readFile(`/proc/${pid}/task/${task}/children`, "utf8");
    for (const child of children.split(" ").filter(Boolean)) await lowerPriority(Number(child));
  }
}

/** Some seconds of every benign device, and their answers. */
async function phase(benign: readonly BenignDevice[], seconds: number): Promise<readonly Measured[]> {
  for (const good of benign) good.reset();
  const seconds_ = Array.from({ length: Math.ceil(seconds) }, (_, second) => second);
  await Promise.all(
    benign.map(async (good, i) => {
      await sleep((i * 1_000) / benign.length);
      const under = seconds_.map(async (second) => {
        await sleep(second * 1_000);
        await good.second();
      });
      await Promise.race([Promise.all(under), sleep(seconds * 1_000 + ANSWERS_MS)]);
    }),
  );
  await sleep(ANSWERS_MS);
  return benign.map(({ measured }) => measured);
}

type Figures = { readonly cloudShare: number; readonly worstShare: number; readonly p50: number; readonly p99: number };

function figuresOf(all: readonly Measured[]): Figures {
  const puback = all.flatMap(({ pubackMs }) => pubackMs).sort((a, b) => a - b);
  const at = (share: number) => puback[Math.min(puback.length - 1, Math.floor(share * puback.length))] ?? Number.NaN;
  const asked = all.reduce((sum, one) => sum + one.asked, 0);
  const cloud = all.reduce((sum, one) => sum + one.cloud, 0);
  const worstShare = Math.min(...all.map((one) => one.cloud / one.asked));
  return { cloudShare: cloud / asked, worstShare, p50: at(0.5), p99: at(0.99) };
}

type Written = { deadLetters: number; deadLetterBytes: number; state: number; uplink: number; requests: number };

/** Bytes written from now on because of a device, including dead letters under any name. */
async function meterOf(reader: KafkaReader, deviceId: string): Promise<() => Promise<Written>> {
  const { frames, predictions, metrics, routerState, requestsHigh, requestsNormal } = topics;
  const dead = [frames, predictions, metrics].map(({ name }) => dlqOf(name, "bridge"));
  const names = [frames, predictions, metrics, routerState, requestsHigh, requestsNormal].map(({ name }) => name);
  const all = [...names, ...dead];
  const marks = await Promise.all(
    all.map(async (topic) => {
      const partitions = await reader.partitions(topic);
      return Promise.all(partitions.map(async (partition) => (await reader.offsets(topic, partition)).next));
    }),
  );
  return async () => {
    const written: Written = { deadLetters: 0, deadLetterBytes: 0, state: 0, uplink: 0, requests: 0 };
    const readOne = async (topic: string, partition: number, from: bigint) => {
      const { next: until } = await reader.offsets(topic, partition);
      if (until <= from) return;
      for await (const { key, value } of reader.read(topic, partition, { from, until })) {
        // States have keys of their own, which begin with the device's.
        if (key !== deviceId && !(topic === routerState.name && key?.startsWith(deviceId))) continue;
        const bytes = value?.length ?? 0;
        if (dead.includes(topic)) {
          written.deadLetters++;
          written.deadLetterBytes += bytes;
        } else if (topic === routerState.name) written.state += bytes;
        else if (topic === requestsHigh.name || topic === requestsNormal.name) written.requests++;
        else written.uplink += bytes;
      }
    };
    await Promise.all(all.flatMap((topic, i) => (marks[i] ?? []).map((from, p) => readOne(topic, p, from))));
    return written;
  };
}

type Named = { readonly metrics: readonly string[]; readonly commandLine: string };

async function namedBy(stack: Stack, deviceId: string): Promise<Named> {
  const metrics = await Promise.all([stack.bridge, stack.router].map((part) => reasonsIn(part, deviceId)));
  const output = await tributary(stack, "get", "devices", "-o", "json").catch(() => "[]");
  const devices = JSON.parse(output) as { deviceId: string; throttled?: { reason: string }[] }[];
  const mine = devices.find((device) => device.deviceId === deviceId)?.throttled ?? [];
  return { metrics: metrics.flat(), commandLine: mine.map(({ reason }) => reason).join(", ") };
}

/** For which reasons a service's metrics name the device. */
async function reasonsIn(part: Part, deviceId: string): Promise<readonly string[]> {
  const series = [...seriesOf(await metricsOf(part).catch(() => "")).keys()];
  const mine = series.filter((one) => one.includes("_throttled_device{") && one.includes(`device="${deviceId}"`));
  return mine.map((one) => /reason="([^"]+)"/.exec(one)?.[1] ?? "?");
}

type Found = { alone: Figures; with_: Figures; named: Named; bytes: Written; lastedSeconds: number };

function findingsOf(way: Way, { alone, with_, named, bytes, lastedSeconds }: Found): Findings {
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const checks: Check[] = [
    check(
      "the others' cloud answers fall by at most a tenth",
      with_.cloudShare >= 0.9 * alone.cloudShare,
      `${percent(alone.cloudShare)} alone, ${percent(with_.cloudShare)} beside it`,
    ),
    check(
      "their PUBACK's p99 at most doubles",
      with_.p99 <= 2 * Math.max(alone.p99, PUBACK_MS_MIN),
      `${ms(alone.p99)} alone, ${ms(with_.p99)} beside it`,
    ),
    check(
      "its dead letters are within their limit",
      bytes.deadLetterBytes <= deadLetterBytesMax(lastedSeconds),
      `${(bytes.deadLetterBytes / MIB).toFixed(1)} MiB in ${bytes.deadLetters} records`,
    ),
    check(
      "its state is within its limit",
      bytes.state <= STATE_BYTES_FIRST + STATE_PER_UPLINK_MAX * bytes.uplink,
      `${(bytes.state / MIB).toFixed(1)} MiB of state for ${(bytes.uplink / MIB).toFixed(1)} MiB of uplink`,
    ),
    check(
      "metrics list it",
      named.metrics.some((reason) => way.named.includes(reason)),
      named.metrics.join(", ") || "not named",
    ),
    check(
      "`tributary get devices` lists it",
      way.named.some((reason) => named.commandLine.includes(reason)),
      named.commandLine || "not named",
    ),
  ];
  return {
    title: `${way.name}: ${way.summary}`,
    checks,
    figures: {
      "benign: worst device's cloud share, alone": round(alone.worstShare),
      "benign: worst device's cloud share, with the attack": round(with_.worstShare),
      "benign: PUBACK p50 ms, alone": round(alone.p50),
      "benign: PUBACK p50 ms, beside it": round(with_.p50),
      "rogue: cloud requests": bytes.requests,
      "rogue: uplink bytes": bytes.uplink,
      "rogue: state bytes": bytes.state,
      "hostile: dead letter bytes": bytes.deadLetterBytes,
    },
  };
}

const round = (value: number) => Number(value.toFixed(3));
