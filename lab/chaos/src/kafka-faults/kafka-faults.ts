/**
 * Kafka is killed, stopped, paused, moved to another address, or starts after the services. Each service must be ready again within
 * `READY_S_MAX` of Kafka's readiness, without a restart, and must name Kafka while it is not ready.
 *
 * All services run, two instances of those that share partitions, and a device sends frames. Readiness is what a probe of Kubernetes
 * sees: the answer of `/health/ready`.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { ensureTributaryTopics, KafkaInspector, KafkajsAdmin } from "@tributary/kafka";
import { type Part, type Stack, startStack } from "@tributary/stack";
import { repositoryRoot } from "@tributary/testing";
import { check, type Drill, type DrillSettings, type Findings } from "../scenario.ts";
import { MovableKafka } from "./movable-kafka.ts";
import { type Readiness, ReadinessWatch } from "./readiness-watch.ts";

const READY_S_MAX = 30;
/** Longer than a stalled consumer takes to be noticed. */
const WATCHED_S_MIN = 60;
const WATCHED_S_MAX = 150;
const STEADY_S = 10;
const WARM_UP_S = 10;
const PARTITIONS = 8;
const MODULE = "moving-name";

type Fault = { readonly what: string; run(world: World): Promise<void> };
type World = {
  readonly kafka: MovableKafka;
  readonly stack: Stack;
  readonly services: readonly Part[];
};

/** Each resolves when Kafka is ready again. */
const faults: Readonly<Record<string, Fault>> = {
  "killed-5s": { what: "killed with -9, started after 5 s", run: ({ kafka }) => killed(kafka, 5) },
  "killed-60s": { what: "killed with -9, started after 60 s", run: ({ kafka }) => killed(kafka, 60) },
  "stopped-20s": {
    what: "stopped in order, started after 20 s",
    run: async ({ kafka }) => {
      await kafka.stop();
      await seconds(20);
      await kafka.start();
    },
  },
  "paused-45s": {
    what: "paused for 45 s, longer than a session",
    run: async ({ kafka }) => {
      kafka.signal("SIGSTOP");
      await seconds(45);
      kafka.signal("SIGCONT");
    },
  },
  moved: {
    what: "vanished with its host, started after 5 s at another address",
    run: async ({ kafka }) => {
      kafka.vanish();
      await seconds(5);
      await kafka.start();
    },
  },
  "starts-last": {
    what: "started 20 s after the services, its topics created 20 s later",
    run: startsLast,
  },
};

export const kafkaFaults: Drill = {
  name: "kafka-faults",
  summary: "Kafka killed, stopped, paused, moved, or started last: seconds until each service is ready, and its exits",
  details: `In turn: ${Object.entries(faults)
    .map(([name, { what }]) => `${name} (${what})`)
    .join(", ")}. Seconds count from when Kafka answers again; in the last, from when its topics exist.`,
  options: [],
  choices: [{ name: "faults", about: "faults", among: Object.keys(faults) }],
  run: (settings) => inTurn(settings),
};

async function inTurn({ choices, dir, log }: DrillSettings): Promise<readonly Findings[]> {
  const kafka = await MovableKafka.make(dir);
  process.env.TRIBUTARY_MOVING_NAME = kafka.nameFile;
  await import(pathToFileURL(join(repositoryRoot, `lab/sabotage/${MODULE}.mjs`)).href);
  let stack: Stack | undefined;
  try {
    await kafka.start();
    stack = await startStack({
      dir,
      supervised: true,
      kafka: { brokers: kafka.brokers, partitions: PARTITIONS },
      services: { routers: 2 },
      rollouts: { managers: 2 },
      drift: {},
      training: {},
      agents: { count: 1, fps: 2 },
      sabotage: Object.fromEntries(SERVICES.map((name) => [name, MODULE])),
      onEvent: log,
    });
    const services = servicesOf(stack);
    const findings: Findings[] = [];
    for (const name of choices?.faults ?? Object.keys(faults)) {
      await seconds(WARM_UP_S);
      findings.push(await findingsOf(faults[name] as Fault, { kafka, stack, services }, log));
    }
    return findings;
  } finally {
    await stack?.stop();
    await kafka.close();
  }
}

const SERVICES = [
  ...["bridge", "router", "router-2", "cloud-classifier", "gateway", "model-registry"],
  ...["rollout-manager", "rollout-manager-2", "drift-monitor", "frame-archive", "trainer"],
];

function servicesOf(stack: Stack): readonly Part[] {
  const { bridges, routers, classifiers, gateway, registry, managers, monitors, archive, trainer } = stack;
  return [
    ...[...bridges, ...routers, ...classifiers, gateway],
    ...[registry, ...managers, ...monitors, archive, trainer].flatMap((part) => part ?? []),
  ];
}

async function findingsOf(fault: Fault, world: World, log: (line: string) => void): Promise<Findings> {
  log(fault.what);
  const watch = new ReadinessWatch(world.services);
  try {
    await fault.run(world);
    const readyAtMs = performance.now();
    log("Kafka is ready again");
    const coordinated = coordinatedAfterS(world.stack, readyAtMs);
    await seconds(WATCHED_S_MIN);
    while (!watch.isSteady(1_000 * STEADY_S) && performance.now() - readyAtMs < 1_000 * WATCHED_S_MAX) await seconds(1);
    const readings = watch.readings(readyAtMs);
    for (const { name, readyAfterS, exits, problems } of readings) {
      log(`${name}: ready after ${readyAfterS ?? "-"} s, ${exits} exits${problems === "" ? "" : `; ${problems}`}`);
    }
    return report(fault.what, readings, await coordinated);
  } finally {
    watch.stop();
  }
}

/** Until then Kafka refuses those who join a group: after a crash it reads its logs first. */
async function coordinatedAfterS({ brokers, prefix }: Stack, sinceMs: number): Promise<number | null> {
  const inspector = new KafkaInspector({ brokers, prefix, clientId: "chaos" });
  try {
    while (performance.now() - sinceMs < 1_000 * WATCHED_S_MIN) {
      const groups = await inspector.groups().catch(() => []);
      if (groups.length > 0) return Math.round((performance.now() - sinceMs) / 100) / 10;
      await seconds(0.25);
    }
    return null;
  } finally {
    await inspector.close();
  }
}

function report(title: string, readings: readonly Readiness[], coordinatedS: number | null): Findings {
  const late = readings.filter(({ readyAfterS }) => readyAfterS === null || readyAfterS > READY_S_MAX);
  const ended = readings.filter(({ exits }) => exits > 0);
  const mute = readings.filter(({ problems }) => problems !== "" && !/kafka/i.test(problems));
  const slowest = Math.max(...readings.map(({ readyAfterS }) => readyAfterS ?? Number.POSITIVE_INFINITY));
  const named = (some: readonly Readiness[]) => some.map(({ name }) => name).join(", ");
  return {
    title: `Kafka ${title}`,
    checks: [
      check(`every service is ready within ${READY_S_MAX} s`, late.length === 0, named(late) || `${slowest} s at most`),
      check("no process ended", ended.length === 0, named(ended) || 0),
      check("those that are not ready name Kafka", mute.length === 0, mute[0]?.problems ?? "all"),
    ],
    figures: {
      "Kafka's groups, ready after s": coordinatedS,
      ...Object.fromEntries(readings.map(({ name, readyAfterS }) => [`${name}, ready after s`, readyAfterS])),
    },
  };
}

async function killed(kafka: MovableKafka, forS: number): Promise<void> {
  await kafka.kill();
  await seconds(forS);
  await kafka.start();
}

/** Devices end: their registrations are lost with Kafka. */
async function startsLast({ kafka, stack, services }: World): Promise<void> {
  await Promise.all([...stack.agents.map(({ part }) => part), ...services].map((part) => part.stop()));
  await kafka.stop();
  kafka.forget();
  for (const part of services) part.start().catch(() => {}); // the watch counts
  await seconds(20);
  await kafka.start();
  await seconds(20);
  const admin = new KafkajsAdmin({ ...stack, clientId: "chaos" });
  await ensureTributaryTopics(admin, { partitions: PARTITIONS }).finally(() => admin.close());
}

const seconds = (count: number) => sleep(1_000 * count);
