/**
 * The wall clock of one service after the other is wrong by two hours and by ten years, ahead and behind (G1, G2, G8).
 *
 * Meanwhile it must report that it is not ready, and why; frames are still acknowledged, none is resent forever; and in the end
 * every frame has one answer. The clock is set wrong from outside (lab/sabotage/wrong-clock.mjs).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CAMERA_ID, mains, type Part, type Stack, samples, startStack, untilAnswered, verify } from "@tributary/stack";
import { type SpawnedService, sabotaged, spawnProcess, waitFor } from "@tributary/testing";
import { statusOf } from "../observe.ts";
import { type Check, check, type Drill, type DrillSettings, type Findings } from "../scenario.ts";

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
export const clockOffsets: Readonly<Record<string, number>> = {
  "2 h ahead": 2 * HOUR_MS,
  "2 h behind": -2 * HOUR_MS,
  "10 years ahead": 10 * YEAR_MS,
  "10 years behind": -10 * YEAR_MS,
};
const DEVICES = 2;
/** On a machine that is busy with other things. */
const NOT_READY_MS_MAX = 120_000;
const SILENCE_MS_MAX = 60_000;
/** Devices wait up to 5 s between two tries to connect, and then send what was captured meanwhile. */
const DRAINED_MS_MAX = 60_000;
/** What outboxes may hold of frames that go on: they drain, or they would grow by every frame. */
const HELD_SECONDS_MAX = 3;

export const clocks: Drill = {
  name: "clocks",
  summary:
    "every service's clock wrong by 2 h and 10 years, ahead and behind: nothing lost, not ready, no endless resends",
  details: `Bridge, router, classifier, gateway and rollout-manager, each restarted with each wrong clock under load, and then with the
right one. The verifier compares what the cameras produced with what Kafka holds.`,
  options: [
    { name: "seconds", about: "duration of each wrong clock", value: 6 },
    { name: "fps", about: "frames per second of a device", value: 5 },
  ],
  run: async (settings) => [await wrongClocks(settings)],
};

type Case = { readonly service: string; readonly offset: string; readonly message: string; readonly held: number };

async function wrongClocks({ dir, log, options }: DrillSettings): Promise<Findings> {
  const { seconds = 6, fps = 5 } = options;
  let isEnding = false;
  const ledgerOf = (device: number) => join(dir, `shown-${device + 1}.jsonl`);
  const cameras = (device: number) =>
    isEnding
      ? []
      : [
          {
            id: CAMERA_ID,
            kind: "sheet",
            sheets: samples,
            fps,
            start: device,
            stride: DEVICES,
            ledger: ledgerOf(device),
            resume: true,
          },
        ];
  const stack = await startStack({
    dir,
    kafka: { partitions: 8 },
    rollouts: {},
    agents: { count: DEVICES, fps, cameras },
    onEvent: log,
  });
  try {
    const heldMax = HELD_SECONDS_MAX * fps * DEVICES;
    const cases: Case[] = [];
    for (const [part, main] of servicesOf(stack)) {
      for (const [offset, aheadMs] of Object.entries(clockOffsets)) {
        cases.push({ service: part.name, offset, ...(await withClock(stack, part, main, aheadMs, seconds, heldMax)) });
        log(`${part.name} ${offset}: ${cases.at(-1)?.message}; outboxes held ${cases.at(-1)?.held} messages`);
      }
    }
    isEnding = true;
    await Promise.all(stack.agents.map(({ part }) => part.stop().then(() => part.start())));
    const agents = stack.agents.map(({ deviceId }, i) => ({ deviceId, ledger: ledgerOf(i) }));
    const frames = agents.reduce(
      (sum, { ledger }) => sum + readFileSync(ledger, "utf8").trimEnd().split("\n").length,
      0,
    );
    log(`${frames} frames were captured; waiting for their answers`);
    const isAnswered = await untilAnswered({ ...stack, agents }, frames, { silenceMsMax: SILENCE_MS_MAX });
    const { report } = await verify({ ...stack, from: stack.began, ledgers: agents });
    const held = Math.max(...cases.map((one) => one.held));
    return {
      title: `${cases.length} wrong clocks`,
      figures: { cases: cases.length, frames, lost: report.lost, repeated: report.duplicates, heldMax: held },
      checks: [
        ...notReady(cases),
        check("outboxes drain: nothing is resent forever", held <= heldMax, `${held} held, of at most ${heldMax}`),
        check("every frame has an answer", isAnswered && report.lost === 0, `${report.lost} without`),
        check("no frame has two answers that differ", report.contradictions === 0, report.contradictions),
      ],
    };
  } finally {
    await stack.stop();
  }
}

function servicesOf({ bridge, router, classifier, gateway, manager }: Stack): readonly (readonly [Part, string])[] {
  return [
    [bridge, mains.bridge],
    [router, mains.router],
    [classifier, mains.classifier],
    [gateway, mains.gateway],
    ...(manager === undefined ? [] : [[manager, mains.rolloutManager] as const]),
  ];
}

/** Runs a part with a wrong clock; returns its readiness message, and the sizes of outboxes at the end. */
async function withClock(stack: Stack, part: Part, main: string, aheadMs: number, seconds: number, heldMax: number) {
  await part.stop();
  const configFile = join(stack.dir, `${part.name}.yaml`);
  const { http } = JSON.parse(readFileSync(configFile, "utf8")) as { readonly http: { readonly port: number } };
  const args = ["--config", configFile];
  const env = { TRIBUTARY_CLOCK_OFFSET_MS: `${aheadMs}` };
  const wrong = spawnProcess({ name: part.name, main, args, nodeArgs: sabotaged("wrong-clock"), env });
  try {
    const message = await readinessMessageOf(wrong, http.port);
    await sleep(seconds * 1_000);
    const still = await readinessOf(http.port);
    const held = await heldBy(stack, heldMax);
    return { message: still?.clock === undefined ? `ready again (${message})` : message, held };
  } finally {
    await wrong.stop();
    await part.start();
  }
}

/** What the outboxes hold once they have drained to `heldMax`, or after a while in which they did not. */
async function heldBy(stack: Stack, heldMax: number): Promise<number> {
  const until = performance.now() + DRAINED_MS_MAX;
  for (;;) {
    const statuses = await Promise.all(stack.agents.map((agent) => statusOf(agent)));
    const held = statuses.reduce((sum, of) => sum + (of?.outbox.frames ?? 0) + (of?.outbox.predictions ?? 0), 0);
    const isKnown = statuses.every((status) => status !== undefined);
    if ((isKnown && held <= heldMax) || performance.now() > until) return held;
    await sleep(250);
  }
}

async function readinessMessageOf(service: Pick<SpawnedService, "alive" | "lines">, port: number): Promise<string> {
  const look = async () => (service.alive() ? (await readinessOf(port))?.clock : "it ended");
  const isAnswer = async () => {
    const message = await look();
    return message === "not compared with Kafka's yet" ? undefined : message;
  };
  return waitFor(isAnswer, { what: "readiness to name the clock", timeoutMs: NOT_READY_MS_MAX }).catch(
    () => `nothing of the clock: ${service.lines().at(-1) ?? "no line at all"}`,
  );
}

async function readinessOf(port: number): Promise<Record<string, string> | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health/ready`, { signal: AbortSignal.timeout(2_000) });
    if (response.status !== 503) return undefined;
    return ((await response.json()) as { readonly problems: Record<string, string> }).problems;
  } catch {
    return undefined;
  }
}

function notReady(cases: readonly Case[]): Check[] {
  return [...Map.groupBy(cases, ({ service }) => service)].map(([service, of]) => {
    const silent = of.filter(({ message }) => !/^\d+\.\d s (ahead of|behind) Kafka's/.test(message));
    const found =
      silent.length === 0 ? `${of.length} of ${of.length}` : silent.map((c) => `${c.offset}: ${c.message}`).join("; ");
    return check(`${service} is not ready, and reports the offset`, silent.length === 0, found);
  });
}
