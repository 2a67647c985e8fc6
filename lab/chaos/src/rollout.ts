/**
 * Two rollout-managers are killed with -9 at every transition of rollouts, at four places of each: before the event is
 * appended, after it, after it was read back, and while desired states are written (V1, G5, G6).
 *
 * In every case a good model ends on every device and is rolled back when a person undoes it; a bad one ends on none, and
 * never was on more than the canary. The check only reads Kafka: there is one history, and a valid event for every
 * desired state. A control acts before reading back (lab/sabotage), and must be detected.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { reasonOf, seededRandom } from "@tributary/kernel";
import type { Rollout } from "@tributary/rollouts";
import { waitFor } from "@tributary/testing";
import { startKafka } from "../../../tools/kafka.mjs";
import { type History, historyOf, staleIgnored } from "./rollout/history.ts";
import { DEVICES, digests, type RolloutView, World } from "./rollout/world.ts";
import { type Check, check, type Drill, type DrillSettings, type Findings } from "./scenario.ts";

const CANARY = DEVICES / 10;
const PLACES = ["before-append", "after-append", "after-read-back", "while-writing-desired"];
const GOOD = [
  "created",
  "step-started",
  "step-finished",
  "paused",
  "resumed",
  "analysed",
  "completed",
  "aborted",
  "rolled-back",
];
const BAD = ["analysed", "aborted", "rolled-back", "retried", "promoted"];
const STOPS_MS = 2_500;
/** Most of a story is waiting. */
const STORIES_AT_ONCE = 3;

export const rollout: Drill = {
  name: "rollout",
  summary: "two rollout-managers killed with -9 at every transition, or paused; rollouts must end as without faults",
  details: `Each rollout is completed by the instances that run. With a control that must fail: instances that act on their own
proposals before they have read them back.`,
  options: [
    { name: "kills", about: "kills per transition and place", value: 1 },
    { name: "seed", about: "seed of the moments of pauses", value: 1 },
  ],
  choices: [{ name: "places", about: "where in a transition instances are killed", among: PLACES }],
  run: async (settings) => {
    const { dir, log, options } = settings;
    const kafka = await startKafka({ dataDir: join(dir, "kafka"), logFile: join(dir, "kafka.log"), heapMb: 256 });
    try {
      const stage = { brokers: [kafka.brokers], settings };
      const rounds = Array.from({ length: options.kills ?? 1 }, (_, i) => i + 1);
      const stories = [
        // The longest first: none is left to end alone.
        () => stopped(stage),
        ...rounds.flatMap((round) => killedEverywhere(stage, round)),
        () => crossed(stage, false),
        () => crossed(stage, true),
      ];
      log(`${stories.length} stories, ${STORIES_AT_ONCE} at once`);
      return merged(await inTurns(stories, STORIES_AT_ONCE));
    } finally {
      await kafka.stop();
    }
  },
};

type Stage = { readonly brokers: readonly string[]; readonly settings: DrillSettings };
type Story = (world: World) => Promise<readonly string[]>;

function killedEverywhere(stage: Stage, round: number): readonly (() => Promise<Findings>)[] {
  const acting = (kinds: readonly string[]) => kinds.filter((kind) => ["step-started", "aborted"].includes(kind));
  const places = PLACES.filter((place) => stage.settings.choices?.places?.includes(place) ?? true);
  return places.flatMap((place) => {
    const at = (kinds: readonly string[]) =>
      (place === "while-writing-desired" ? acting(kinds) : kinds).map((kind) => `${place}:${kind}`);
    return [
      () => act(stage, `killed ${place}, a good model`, `${round}-${place}-good`, goodStory, at(GOOD)),
      () => act(stage, `killed ${place}, a bad model`, `${round}-${place}-bad`, badStory, at(BAD)),
    ];
  });
}

/** The results in order; at most `atOnce` of them run at a time. */
async function inTurns<T>(works: readonly (() => Promise<T>)[], atOnce: number): Promise<T[]> {
  const results: T[] = [];
  const waiting = works.entries();
  const next = async () => {
    for (const [i, work] of waiting) results[i] = await work();
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  return results;
}

/** Runs a story, and checks how it ended. */
async function act(
  { brokers, settings }: Stage,
  title: string,
  name: string,
  story: Story,
  deaths: readonly string[],
  disturb?: (world: World, signal: AbortSignal) => Promise<void>,
): Promise<Findings> {
  const { dir, log } = settings;
  const startedMs = performance.now();
  const world = await World.open({ dir: join(dir, name), brokers, prefix: `${name}.`, deaths });
  const disturbing = new AbortController();
  try {
    const disturbance = disturb?.(world, disturbing.signal);
    const wrong = await story(world).catch((error: unknown) => [reasonOf(error)]);
    disturbing.abort();
    await disturbance;
    const history = await historyOf(world.reader);
    const missed = deaths.filter((death) => !world.died.includes(death));
    log(
      `${title}: ${world.died.length} died, ${history.events.length} events count, ${wrong.length} wrong ${wrong.join("; ")}`,
    );
    return {
      title,
      checks: [
        check("the rollout ends as expected", wrong.length === 0, wrong.join("; ") || "yes"),
        ...lawful(history),
        check("every planned kill happened", missed.length === 0, missed.join(", ") || `${world.died.length} kills`),
      ],
      figures: figuresOf(world, history, startedMs),
    };
  } finally {
    disturbing.abort();
    await world.close();
  }
}

const lawful = ({ unlawful, desired }: History): readonly Check[] => [
  check(
    "every desired state belongs to a valid event",
    unlawful.length === 0,
    unlawful.length === 0
      ? `${desired} written`
      : `${unlawful.length} of ${desired}: ${unlawful.slice(0, 3).join(", ")}`,
  ),
];

const figuresOf = (world: World, history: History, startedMs: number): Findings["figures"] => ({
  "instances killed": world.died.length,
  "valid events": history.events.length,
  "events without effect": history.stale,
  "desired states written": history.desired,
  "older generations that devices ignored": staleIgnored(world.fleet.all),
  seconds: Math.round((performance.now() - startedMs) / 1_000),
});

const specOf = (version: string, steps: readonly object[]): object => ({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "chaos" },
  spec: {
    model: `edge@${version}`,
    strategy: { canary: { steps } },
    metrics: [{ name: "deadline-met", alpha: 0.02 }],
    burnIn: "1s",
    pacing: { devicesPerMinute: 60_000 },
    progressDeadline: "60s",
  },
});

/** A good model reaches everyone; then a person undoes it. */
const goodStory: Story = async (world) => {
  const steps = [
    { setWeight: 10 },
    { pause: { duration: "1s" } },
    { analysis: { duration: "90s" } },
    { setWeight: 100 },
  ];
  const { uid } = await create(world, specOf("2", steps));
  await world.until(uid, "a good model on every device", ({ phase }) => phase === "HEALTHY", 150_000);
  const wrong = await everyDevice(world, digests.good);
  await command(world, uid, "undo", ({ phase }) => phase === "DEGRADED");
  await world.until(uid, "its rollback", ({ isBack }) => isBack);
  return [
    ...wrong,
    ...(await everyDevice(world, digests.old)),
    ...(await agreed(world, uid, { phase: "DEGRADED", isBack: true })),
  ];
};

/** A bad model is rolled back from its canary, and once more when a person tries again. */
const badStory: Story = async (world) => {
  const steps = [{ setWeight: 10 }, { pause: {} }, { analysis: { duration: "90s" } }, { setWeight: 100 }];
  const { uid } = await create(world, specOf("3", steps));
  const atPause = ({ phase, step, isBack }: RolloutView) => (phase === "PAUSED" && step === 1) || isBack;
  await world.until(uid, "its pause", atPause);
  await world.until(uid, "its rollback", ({ isBack }) => isBack, 150_000);
  await command(world, uid, "retry", ({ phase, isBack }) => phase !== "DEGRADED" && !isBack);
  await world.until(uid, "its second pause", atPause);
  await command(world, uid, "promote", ({ step, phase }) => step > 1 || phase === "DEGRADED", { step: 1 });
  await world.until(uid, "its second rollback", ({ isBack }) => isBack, 150_000);
  const had = world.fleet.all.filter(({ ran }) => ran.includes(digests.bad)).length;
  return [
    ...(had > CANARY ? [`${had} devices ran the bad model, and the canary is ${CANARY}`] : []),
    ...(await everyDevice(world, digests.old)),
    ...(await agreed(world, uid, { phase: "DEGRADED", isBack: true })),
  ];
};

/** One instance after the other is paused, as behind a network partition. */
function stopped(stage: Stage): Promise<Findings> {
  const random = seededRandom(stage.settings.options.seed ?? 1);
  return act(stage, "paused, a good model", "stopped", goodStory, [], async (world, signal) => {
    for (let turn = 0; !signal.aborted; turn++) {
      const pids = world.pids();
      const pid = pids[turn % Math.max(1, pids.length)];
      await sleep(300 + random() * 1_500);
      if (pid === undefined || signal.aborted) continue;
      process.kill(pid, "SIGSTOP");
      await sleep(STOPS_MS);
      process.kill(pid, "SIGCONT");
    }
  });
}

/** Two people send opposite commands to two instances, at the same moment. */
async function crossed({ brokers, settings }: Stage, isControl: boolean): Promise<Findings> {
  const { dir, log } = settings;
  const startedMs = performance.now();
  const name = isControl ? "control" : "crossed";
  const world = await World.open({
    dir: join(dir, name),
    brokers,
    prefix: `${name}.`,
    deaths: [],
    ...(isControl && { sabotage: "act-before-read-back" }),
  });
  try {
    const steps = [{ setWeight: 10 }, { pause: {} }, { analysis: { duration: "90s" } }, { setWeight: 100 }];
    const wrong: string[] = [];
    const rounds = 3;
    for (let round = 0; round < rounds; round++) {
      const created = await create(world, specOf("2", steps)).catch((error: unknown) => reasonOf(error));
      if (typeof created === "string") {
        wrong.push(created);
        break;
      }
      const { uid } = created;
      const atPause = ({ phase }: RolloutView) => phase === "PAUSED";
      await world.until(uid, "its pause", atPause, 30_000).catch((error: unknown) => wrong.push(reasonOf(error)));
      const path = `/rollouts/${uid}/commands`;
      await Promise.all([
        world.askOnce(0, "POST", path, { command: "abort", by: "ann" }),
        world.askOnce(1, "POST", path, { command: "promote-full", by: "bob" }),
      ]);
      await sleep(1_500);
      // The second command may be repeated.
      await world.ask("POST", path, { command: "abort", by: "ann" });
      await world.ask("POST", path, { command: "undo", by: "ann" });
      await world
        .until(uid, "its rollback", ({ isBack }) => isBack, 20_000)
        .catch((error: unknown) => wrong.push(reasonOf(error)));
      if (wrong.length > 0) break;
      wrong.push(
        ...(await agreed(world, uid, { phase: "DEGRADED", isBack: true }).catch((e: unknown) => [reasonOf(e)])),
      );
      if (wrong.length > 0) break;
    }
    const history = await historyOf(world.reader);
    const found = [...wrong, ...history.unlawful];
    log(`${isControl ? "control" : "conflicting commands"}: ${found.length} wrong`);
    const title = isControl ? "Control: acting before reading back" : "Conflicting commands";
    const verdicts = isControl
      ? [check("acting before reading back is detected", found.length > 0, found.slice(0, 2).join("; ") || "nothing")]
      : [check("the rollout ends as expected", wrong.length === 0, wrong.join("; ") || "yes"), ...lawful(history)];
    return { title, checks: verdicts, figures: figuresOf(world, history, startedMs) };
  } finally {
    await world.close();
  }
}

/** Creates it, also when the instance that was asked died over it. */
async function create(world: World, spec: object): Promise<{ readonly uid: string }> {
  for (let attempt = 0; ; attempt++) {
    const known = (await world.rollouts()).find(({ isBack, phase }) => !isBack && phase !== "HEALTHY");
    if (known !== undefined) return known;
    const answer = await world.ask("POST", "/rollouts", { spec, by: "ann" });
    if (answer.status === 201) return answer.json as { uid: string };
    const { code, detail } = answer.json as { code?: string; detail?: string };
    if (code !== "rollout-conflict" || attempt > 5) throw new Error(`not created: ${code}: ${detail}`);
    await sleep(200);
  }
}

/** Repeats the command until it took effect: the instance that was asked may have died over it. */
async function command(
  world: World,
  uid: string,
  wanted: string,
  isDone: (view: RolloutView) => boolean,
  more: object = {},
): Promise<void> {
  await waitFor(
    async () => {
      const view = (await world.rollouts()).find((one) => one.uid === uid);
      if (view !== undefined && isDone(view)) return true;
      await world.ask("POST", `/rollouts/${uid}/commands`, { command: wanted, by: "ann", ...more });
      return false;
    },
    { what: `${wanted} of ${uid}`, timeoutMs: 60_000, everyMs: 300 },
  );
}

async function everyDevice(world: World, modelDigest: string): Promise<readonly string[]> {
  try {
    await waitFor(() => world.fleet.running(modelDigest).length === DEVICES, {
      what: "every device",
      timeoutMs: 20_000,
    });
    return [];
  } catch {
    const others = DEVICES - world.fleet.running(modelDigest).length;
    return [`${others} devices do not run ${modelDigest.slice(0, 4)}`];
  }
}

/** Both instances and the log agree. */
async function agreed(world: World, uid: string, wanted: Partial<RolloutView>): Promise<readonly string[]> {
  const isSo = (view: object | undefined) =>
    view !== undefined && Object.entries(wanted).every(([key, value]) => view[key as keyof typeof view] === value);
  const wrong: string[] = [];
  for (const instance of [0, 1]) {
    const view = await waitFor(
      async () => {
        const one = (await world.rollouts(instance)).find((each) => each.uid === uid);
        return isSo(one) && one;
      },
      { what: `instance ${instance} to know the end`, timeoutMs: 30_000, everyMs: 200 },
    ).catch(() => undefined);
    if (view === undefined) wrong.push(`instance ${instance} does not know the end`);
  }
  const rollout: Rollout | undefined = (await historyOf(world.reader)).rollouts.get(uid);
  if (rollout?.aborted?.isBack !== true) wrong.push(`the log ends ${rollout?.phase}`);
  return wrong;
}

/** Rounds of one kind are reported together: a check fails if it failed in any. */
function merged(findings: readonly Findings[]): readonly Findings[] {
  const byTitle = Map.groupBy(findings, ({ title }) => title);
  return [...byTitle].map(([title, same]) => {
    const [first] = same as [Findings, ...Findings[]];
    return {
      title,
      checks: first.checks.map(({ name }) => {
        const all = same.flatMap(({ checks }) => checks.filter((one) => one.name === name));
        const failed = all.find(({ passed }) => !passed);
        return (
          failed ?? { name, passed: true, found: all.length === 1 ? (all[0]?.found ?? "") : `${all.length} times` }
        );
      }),
      figures: Object.fromEntries(
        Object.keys(first.figures).map((name) => [
          name,
          same.reduce((sum, { figures }) => sum + (figures[name] ?? 0), 0),
        ]),
      ),
    };
  });
}
