/** `bench bridge`: the cost of a message from MQTT into Kafka.
 *
 * All lanes run in one run, on one Kafka, under one load: 180 devices, 2 KB, QoS 1. CPU time is what Linux counts of a
 * process, divided by the messages acknowledged in that time; it does not depend on the machine's load. Latency and rate do:
 * the table has the load at the start. Stored records are counted in Kafka. The bridge's cost is compared with that of its
 * components, in the same run: the MQTT library without Kafka plus the Kafka client without MQTT. */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Bench, BenchFlags, BenchOptions, BenchReport, Gate } from "./bench.ts";
import { type Lane, type LaneName, laneNames, Rig } from "./bridge/lanes.ts";
import type { FromLoad, Looked, Order, ToLoad } from "./bridge/meter.ts";
import { cpuMs, residentMegabytes } from "./bridge/processes.ts";

const DEVICES = 180;
const PAYLOAD_BYTES = 2_048;
const WINDOW = 16;
const PACED_RATE = 1_000;
const WARM_UP_MS = 5_000;
const LOOK_MS = 500;

/** A bound on processor time is a ratio: microseconds are the machine's. What a message costs at this pace is mostly waking
 * up, as the lane acks shows. */
const paced = { ofParts: 1.25, kafkaOfProducer: 1, p50Ms: 8, p99Ms: 20 } as const;
const full = { rawOfParts: 2, wholeOfParts: 3.5, megabytes: 250 } as const;

export const bridge: Bench = {
  name: "bridge",
  summary: "a message from MQTT into Kafka: CPU time, latency and memory, beside its components and a peer",
  details: `${DEVICES} devices publish ${PAYLOAD_BYTES} bytes at QoS 1, at most ${WINDOW} unacknowledged each: ${PACED_RATE} messages a second in all, and as fast
as they are acknowledged. Lanes:
  raw          the bridge, by a route of format raw: bytes as they arrived
  predictions  the bridge, by the device contract: every check, and Avro's header replaced
  frames       the same with a JPEG that is looked at
  producer     the bridge's Kafka client fed from memory: no MQTT
  aedes        the bridge's MQTT library alone: no Kafka
  acks         a server that only acknowledges: the generator's own ceiling
  telegraf     with --peers: Telegraf behind Mosquitto, which acknowledges before Kafka has a message
Processor time is that of whole processes. Gates, at ${PACED_RATE}/s: the bridge at most ${paced.ofParts} times aedes and producer together, Kafka
at most ${paced.kafkaOfProducer} times what it costs the producer, PUBACK p50 ${paced.p50Ms} and p99 ${paced.p99Ms} ms; at full speed: raw at most ${full.rawOfParts} times, predictions
and frames ${full.wholeOfParts} times aedes and producer together; ${full.megabytes} MB resident. Without those two lanes nothing is compared with them.
Run it where nothing else runs: one core makes the load, and rate and latency are those of what is left.`,
  run,
};

type Speed = "paced" | "full";
type Measured = Looked & {
  readonly lane: LaneName;
  readonly speed: Speed;
  readonly payloadBytes: number;
  /** Records in Kafka by the lane's end; null where it has none. */
  readonly stored: number | null;
  readonly rate: number;
  /** Microseconds of processor time a message, by process. */
  readonly micros: Readonly<Record<string, number>>;
  readonly megabytes: number;
};

async function run({ isLong, flags, progress }: BenchOptions): Promise<BenchReport> {
  const load = loadavg()[0] ?? Number.NaN;
  const dir = await mkdtemp(join(tmpdir(), "tributary-bench-bridge-"));
  const seconds = isLong ? 60 : 12;
  const lanes = lanesOf(flags);
  progress("starting Kafka");
  const rig = await Rig.start(dir, DEVICES, flags.flush === true);
  try {
    const measured: Measured[] = [];
    for (const speed of ["paced", "full"] as const) {
      for (const name of lanes) {
        const figures = await measure(rig, name, speed, seconds);
        progress(`${speed}, ${name}: ${figures.rate.toFixed(0)}/s, ${costs(figures)}`);
        measured.push(figures);
      }
    }
    return reportOf(measured, load);
  } finally {
    await rig.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function lanesOf({ peers, only }: BenchFlags): readonly LaneName[] {
  const lanes = laneNames.filter((name) => name !== "telegraf" || peers === true);
  if (only === undefined) return lanes;
  return only.split(",").map((name) => {
    const lane = laneNames.find((known) => known === name);
    if (lane === undefined) throw new Error(`--only: there is no lane ${name}; there are ${laneNames.join(", ")}`);
    return lane;
  });
}

async function measure(rig: Rig, name: LaneName, speed: Speed, seconds: number): Promise<Measured> {
  const lane = await rig.lane(name);
  const load = new Load(lane.load);
  try {
    const order: Order = {
      kind: "start",
      devices: DEVICES,
      payloadBytes: PAYLOAD_BYTES,
      window: WINDOW,
      ...lane.order,
      rate: speed === "paced" ? PACED_RATE : null,
    };
    const { payloadBytes } = await load.start(order);
    await sleep(WARM_UP_MS);
    const stored = () => (lane.storedIn === undefined ? null : rig.stored(lane.storedIn));
    const pids = Object.entries({ ...lane.pids, ...(lane.load === "producer" && { broker: load.pid }) });
    const cpu = () => pids.map(([, pid]) => cpuMs(pid));
    const storedBefore = await stored();
    await load.look();
    const before = cpu();
    const megabytes = await mostResident(pids, seconds);
    const after = cpu();
    const looked = await load.look();
    const storedAfter = await stored();
    await load.stop();
    const inKafka = storedBefore === null || storedAfter === null ? null : storedAfter - storedBefore;
    // A lane that acknowledges before Kafka has the message is measured by what Kafka has.
    const count = name === "telegraf" ? (inKafka ?? 0) : looked.acked;
    const micros = Object.fromEntries(
      pids.map(([process], i) => [process, (((after[i] ?? 0) - (before[i] ?? 0)) * 1_000) / count]),
    );
    return {
      ...looked,
      lane: name,
      speed,
      payloadBytes,
      stored: inKafka,
      rate: count / looked.seconds,
      micros,
      megabytes,
    };
  } finally {
    load.kill();
    await lane.stop();
  }
}

/** The most that all but Kafka held at once. */
async function mostResident(pids: readonly (readonly [string, number])[], seconds: number): Promise<number> {
  let most = 0;
  for (const until = performance.now() + seconds * 1_000; performance.now() < until; await sleep(LOOK_MS)) {
    const now = pids.map(([name, pid]) => (name === "kafka" ? 0 : residentMegabytes(pid)));
    most = Math.max(
      most,
      now.reduce((a, b) => a + b, 0),
    );
  }
  return most;
}

class Load {
  readonly #child: ChildProcess;
  constructor(program: Lane["load"]) {
    this.#child = fork(fileURLToPath(new URL(`./bridge/${program}.js`, import.meta.url)));
  }
  get pid(): number {
    return this.#child.pid ?? -1;
  }
  start(order: Order) {
    return this.#ask(order, "started");
  }
  look() {
    return this.#ask({ kind: "look" }, "looked");
  }
  stop() {
    return this.#ask({ kind: "stop" }, "stopped");
  }
  kill(): void {
    this.#child.kill("SIGKILL");
  }
  #ask<K extends FromLoad["kind"]>(order: ToLoad, kind: K): Promise<Extract<FromLoad, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null) => reject(new Error(`the load generator ended with ${code}`));
      this.#child.once("exit", onExit);
      this.#child.once("message", (message: FromLoad) => {
        this.#child.off("exit", onExit);
        if (message.kind === kind) resolve(message as Extract<FromLoad, { kind: K }>);
        else reject(new Error(`the load generator answered ${message.kind}`));
      });
      this.#child.send(order);
    });
  }
}

const costs = ({ micros, p50, p99, megabytes }: Measured): string =>
  `${Object.entries(micros)
    .map(([process, cost]) => `${process} ${cost.toFixed(1)} µs`)
    .join(", ")}; p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms; ${megabytes.toFixed(0)} MB`;

function reportOf(measured: readonly Measured[], load: number): BenchReport {
  const at = (speed: Speed) => measured.filter((one) => one.speed === speed);
  const count = (value: number | undefined, digits = 1) => (value === undefined ? "" : value.toFixed(digits));
  const tableOf = (title: string, rows: readonly Measured[]) => ({
    title,
    columns: [
      "lane",
      "msg/s",
      "stored/s",
      "process µs",
      "telegraf µs",
      "Kafka µs",
      "p50 ms",
      "p99 ms",
      "MB",
      "generator µs",
    ],
    rows: rows.map((one) => [
      one.lane,
      count(one.rate, 0),
      one.stored === null ? "" : count(one.stored / one.seconds, 0),
      count(one.micros.broker),
      count(one.micros.telegraf),
      count(one.micros.kafka),
      count(one.p50),
      count(one.p99),
      count(one.megabytes, 0),
      one.lane === "producer" ? "" : count((one.cpuMs * 1_000) / one.acked),
    ]),
  });
  return {
    tables: [
      tableOf(`${PACED_RATE} messages a second`, at("paced")),
      tableOf("As fast as they are acknowledged", at("full")),
      ratiosOf(measured),
    ],
    notes: [
      "Process: the bridge, or its replacement; for telegraf it is Mosquitto, whose acknowledgements are not Kafka's.",
      `Load of the machine at the start: ${load.toFixed(1)} on ${availableParallelism()} cores.`,
    ],
    gates: gatesOf(measured),
    figures: { measured, load },
  };
}

/** Processor time of all processes but Kafka and the generator; of the bridge beside each of the others. */
function ratiosOf(measured: readonly Measured[]) {
  const own = ({ micros }: Measured) => (micros.broker ?? 0) + (micros.telegraf ?? 0);
  const rows = (["paced", "full"] as const).flatMap((speed) => {
    const of = (lane: LaneName) => measured.find((one) => one.lane === lane && one.speed === speed);
    const others = (["aedes", "producer", "telegraf"] as const).flatMap((lane) => of(lane) ?? []);
    return (["raw", "predictions", "frames"] as const).flatMap((lane) => {
      const bridge = of(lane);
      if (bridge === undefined) return [];
      return others.map((other) => [
        `${lane} beside ${other.lane}, ${speed}`,
        (own(bridge) / own(other)).toFixed(2),
        bridge.micros.kafka === undefined || other.micros.kafka === undefined
          ? ""
          : (bridge.micros.kafka / other.micros.kafka).toFixed(2),
        (bridge.rate / other.rate).toFixed(2),
      ]);
    });
  });
  return { title: "Ratios", columns: ["", "own µs", "Kafka µs", "msg/s"], rows };
}

function gatesOf(measured: readonly Measured[]): readonly Gate[] {
  const gates: Gate[] = [];
  const most = (name: string, value: number | undefined, bound: number, unit: string) =>
    gates.push({
      name: `${name} at most ${bound} ${unit}`,
      passed: value !== undefined && value <= bound,
      measured: `${value?.toFixed(2)} ${unit}`,
    });
  for (const one of measured) {
    const { lane, speed, micros } = one;
    if (lane !== "raw" && lane !== "predictions" && lane !== "frames") continue;
    const name = `${lane}, ${speed}:`;
    const part = (of: LaneName) => measured.find((other) => other.lane === of && other.speed === speed)?.micros;
    const [aedes, producer] = [part("aedes"), part("producer")];
    if (aedes?.broker !== undefined && producer?.broker !== undefined && micros.broker !== undefined) {
      const bound = speed === "paced" ? paced.ofParts : lane === "raw" ? full.rawOfParts : full.wholeOfParts;
      most(`${name} bridge`, micros.broker / (aedes.broker + producer.broker), bound, "x its parts");
    }
    if (speed === "paced") {
      if (micros.kafka !== undefined && producer?.kafka !== undefined) {
        most(`${name} Kafka`, micros.kafka / producer.kafka, paced.kafkaOfProducer, "x the producer's");
      }
      most(`${name} PUBACK p50`, one.p50, paced.p50Ms, "ms");
      most(`${name} PUBACK p99`, one.p99, paced.p99Ms, "ms");
    }
    most(`${name} resident`, one.megabytes, full.megabytes, "MB");
    // What was acknowledged is in Kafka by then, but for what arrived between two looks.
    const stored = one.stored ?? 0;
    gates.push({
      name: `${name} stored every acknowledged message in Kafka`,
      passed: stored >= one.acked - DEVICES * WINDOW,
      measured: `${stored} of ${one.acked}`,
    });
  }
  return gates;
}
