/** Stories of rollouts and experiments under faults: each in a world of its own, on one Kafka, some at once; how it ended is checked from
 * Kafka alone. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Random, reasonOf } from "@tributary/kernel";
import { waitFor } from "@tributary/testing";
import { startKafka } from "../../../../tools/kafka.mjs";
import { type Check, check, type DrillSettings, type Findings } from "../scenario.ts";
import { type History, historyOf, staleIgnored } from "./history.ts";
import { INSTANCES, type Shown, World, type WorldOptions } from "./world.ts";

/** Where in a transition an instance dies: lab/sabotage/die-at.mjs. */
export const PLACES: readonly string[] = ["before-append", "after-append", "after-read-back", "while-writing-desired"];
const STOPS_MS = 2_500;
/** Most of a story is waiting. */
const STORIES_AT_ONCE = 3;

export type Stage = {
  readonly brokers: readonly string[];
  readonly settings: DrillSettings;
  /** What the stories are of. */
  readonly what: "rollout" | "experiment";
  readonly world: Pick<WorldOptions, "devices" | "policies">;
};
/** What went wrong. */
export type Story = (world: World) => Promise<readonly string[]>;
type Disturbance = (world: World, signal: AbortSignal) => Promise<void>;

/** Runs the stories on a Kafka of their own; rounds of one kind are reported together. */
export async function runStories(
  parts: Omit<Stage, "brokers">,
  storiesOf: (stage: Stage) => readonly (() => Promise<Findings>)[],
): Promise<readonly Findings[]> {
  const { dir, log } = parts.settings;
  const kafka = await startKafka({ dataDir: join(dir, "kafka"), logFile: join(dir, "kafka.log"), heapMb: 256 });
  try {
    const stories = storiesOf({ ...parts, brokers: [kafka.brokers] });
    log(`${stories.length} stories, ${STORIES_AT_ONCE} at once`);
    return merged(await inTurns(stories, STORIES_AT_ONCE));
  } finally {
    await kafka.stop();
  }
}

export type Killed = {
  /** After "killed PLACE, "; and as part of the names of folders and topics. */
  readonly title: string;
  readonly name: string;
  readonly story: Story;
  /** Kinds of events at which instances die. */
  readonly kinds: readonly string[];
  /** Those of them that desired states follow. */
  readonly acting: readonly string[];
};

/** Each story once for each place, as often as `--kills` names. */
export function killedEverywhere(stage: Stage, all: readonly Killed[]): readonly (() => Promise<Findings>)[] {
  const { options, choices } = stage.settings;
  const rounds = Array.from({ length: options.kills ?? 1 }, (_, i) => i + 1);
  const places = PLACES.filter((place) => choices?.places?.includes(place) ?? true);
  return rounds.flatMap((round) =>
    places.flatMap((place) =>
      all.map(({ title, name, story, kinds, acting }) => {
        const deaths = (place === "while-writing-desired" ? acting : kinds).map((kind) => `${place}:${kind}`);
        return () => act(stage, `killed ${place}, ${title}`, `${round}-${place}-${name}`, story, deaths);
      }),
    ),
  );
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
export async function act(
  stage: Stage,
  title: string,
  name: string,
  story: Story,
  deaths: readonly string[],
  disturb?: Disturbance,
): Promise<Findings> {
  const { log } = stage.settings;
  const startedMs = performance.now();
  const world = await open(stage, name, { deaths });
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
        check(`the ${stage.what} ends as expected`, wrong.length === 0, wrong.join("; ") || "yes"),
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

/** Two people do at the same moment, at two instances, what cannot both be. `isControl`: instances act before they have read back, and the
 * check must find it. */
export async function crossed(stage: Stage, isControl: boolean, story: Story): Promise<Findings> {
  const startedMs = performance.now();
  const name = isControl ? "control" : "crossed";
  const world = await open(stage, name, { deaths: [], ...(isControl && { sabotage: "act-before-read-back" }) });
  try {
    const wrong = await story(world).catch((error: unknown) => [reasonOf(error)]);
    const history = await historyOf(world.reader);
    const found = [...wrong, ...history.unlawful];
    stage.settings.log(`${isControl ? "control" : "conflicting commands"}: ${found.length} wrong`);
    const title = isControl ? "Control: acting before reading back" : "Conflicting commands";
    const verdicts = isControl
      ? [check("acting before reading back is detected", found.length > 0, found.slice(0, 2).join("; ") || "nothing")]
      : [
          check(`the ${stage.what} ends as expected`, wrong.length === 0, wrong.join("; ") || "yes"),
          ...lawful(history),
        ];
    return { title, checks: verdicts, figures: figuresOf(world, history, startedMs) };
  } finally {
    await world.close();
  }
}

/** How what is compared starts, with its uid, and how it ends; nothing is decided meanwhile. */
export type Compared = {
  readonly of: "rollouts" | "experiments";
  readonly start: (world: World) => Promise<string>;
  readonly end: (world: World, uid: string) => Promise<readonly string[]>;
};
const RESTARTS = 3;
const COUNTED_MS = 6_000;
/** Time that passes before each restart. */
const PASSING_MS = 3 * 3_600_000;
/** How long a look of both instances may take; after a restart one has hours to fold. */
const [LOOK_MS_MAX, HOURS_FOLDED_MS_MAX] = [60_000, 240_000];
const AHEAD = { ms: 6 * 3_600_000, forMs: 20_000, looks: 3 } as const;

/** Hours pass, retention deletes all that is counted, and one instance is stopped, or killed; what it shows afterwards is compared, byte for
 * byte, with what the other shows of the same look. `isControl`: instances read no checkpoint, and the check must find it. */
export async function restarted(stage: Stage, isControl: boolean, { of, start, end }: Compared): Promise<Findings> {
  const startedMs = performance.now();
  const name = isControl ? "restarted-control" : "restarted";
  const sabotage = isControl ? { sabotage: "no-checkpoints" } : {};
  const world = await open(stage, name, { deaths: [], clocks: "moved", ...sabotage });
  let [deleted, looks] = [0, 0];
  const different: string[] = [];
  try {
    const uid = await start(world);
    for (let turn = 0; turn < RESTARTS; turn++) {
      await world.pass(PASSING_MS);
      deleted += await world.forgetPast();
      await world.restart(0, turn % 2 === 0 ? "SIGTERM" : "SIGKILL");
      const [one, other] = await sameLook(world, of, uid, HOURS_FOLDED_MS_MAX);
      looks += 1;
      if (one.text !== other.text) different.push(`restart ${turn + 1}, ${differenceIn(one.text, other.text)}`);
    }
    const wrong = await end(world, uid);
    const history = await historyOf(world.reader);
    const title = `${isControl ? "Control: " : ""}Restarted every ${PASSING_MS / 3_600_000} hours with the topics' past deleted${isControl ? ", without checkpoints" : ""}`;
    stage.settings.log(`${title}: ${different.length} of ${looks} looks differ; ${deleted} records deleted`);
    const checks = isControl
      ? [check("a restart without checkpoints is detected", different.length > 0, different[0] ?? "nothing differs")]
      : [
          check(
            "it shows what the other shows, byte for byte",
            different.length === 0,
            different[0] ?? `${looks} looks`,
          ),
          check(`the ${stage.what} ends as expected`, wrong.length === 0, wrong.join("; ") || "yes"),
          ...lawful(history),
        ];
    return { title, checks, figures: { ...figuresOf(world, history, startedMs), "records deleted": deleted } };
  } finally {
    await world.close();
  }
}

/** One instance's clock is hours ahead for some seconds; what it shows afterwards is compared, byte for byte, with what the other shows of the
 * same looks. `isControl`: it goes by its own clock alone, and the check must find it. */
export async function ahead(stage: Stage, isControl: boolean, { of, start, end }: Compared): Promise<Findings> {
  const startedMs = performance.now();
  const name = isControl ? "ahead-control" : "ahead";
  const sabotage = isControl ? { sabotage: "unbounded-clock" } : {};
  const world = await open(stage, name, { deaths: [], clocks: "set", ...sabotage });
  const different: string[] = [];
  try {
    const uid = await start(world);
    await sleep(COUNTED_MS);
    const { events } = await historyOf(world.reader);
    world.setClock(0, AHEAD.ms);
    await sleep(AHEAD.forMs);
    world.setClock(0, 0);
    for (let look = 1; look <= AHEAD.looks && different.length === 0; look++) {
      const seen = await sameLook(world, of, uid, LOOK_MS_MAX).catch((error: unknown) => reasonOf(error));
      if (typeof seen === "string") different.push(seen);
      else if (seen[0].text !== seen[1].text) different.push(differenceIn(seen[0].text, seen[1].text));
    }
    const decided = (await historyOf(world.reader)).events.slice(events.length);
    if (decided.length > 0) different.push(`it decided meanwhile: ${decided.map(({ kind }) => kind).join(", ")}`);
    const wrong = isControl ? [] : await end(world, uid);
    const history = await historyOf(world.reader);
    const by = `${AHEAD.ms / 3_600_000} hours ahead for ${AHEAD.forMs / 1_000} s`;
    const title = `${isControl ? "Control: " : ""}A clock ${by}${isControl ? ", and nothing bounds it" : ""}`;
    stage.settings.log(`${title}: ${different[0] ?? `${AHEAD.looks} looks are the same`}`);
    const checks = isControl
      ? [check("a clock that nothing bounds is detected", different.length > 0, different[0] ?? "nothing differs")]
      : [
          check(
            "it shows what the other shows, byte for byte",
            different.length === 0,
            different[0] ?? `${AHEAD.looks} looks`,
          ),
          check(`the ${stage.what} ends as expected`, wrong.length === 0, wrong.join("; ") || "yes"),
          ...lawful(history),
        ];
    return { title, checks, figures: figuresOf(world, history, startedMs) };
  } finally {
    await world.close();
  }
}

/** What both instances show of one look. */
async function sameLook(
  world: World,
  of: Compared["of"],
  uid: string,
  timeoutMs: number,
): Promise<readonly [Shown, Shown]> {
  const seen: [Map<number, Shown>, Map<number, Shown>] = [new Map(), new Map()];
  const both = async () => {
    for (const [instance, looks] of seen.entries()) {
      const shown = await world.evidence(of, uid, instance);
      if (shown !== null) looks.set(shown.look, shown);
    }
    const look = [...seen[0].keys()].find((one) => seen[1].has(one));
    return look !== undefined && ([seen[0].get(look), seen[1].get(look)] as [Shown, Shown]);
  };
  return waitFor(both, { what: "a look of both instances", timeoutMs, everyMs: 100 });
}

function differenceIn(one: string, other: string): string {
  const at = [...one].findIndex((character, i) => character !== other[i]);
  return `...${one.slice(Math.max(0, at - 40), at + 40)}... is ...${other.slice(Math.max(0, at - 40), at + 40)}...`;
}

const open = (
  { brokers, settings, world }: Stage,
  name: string,
  more: Pick<WorldOptions, "deaths" | "sabotage" | "clocks">,
) => World.open({ dir: join(settings.dir, name), brokers, prefix: `${name}.`, ...world, ...more });

/** One instance after the other is paused, as behind a network partition. */
export const pausing =
  (random: Random): Disturbance =>
  async (world, signal) => {
    for (let turn = 0; !signal.aborted; turn++) {
      const pids = world.pids();
      const pid = pids[turn % Math.max(1, pids.length)];
      await sleep(300 + random() * 1_500);
      if (pid === undefined || signal.aborted) continue;
      process.kill(pid, "SIGSTOP");
      await sleep(STOPS_MS);
      process.kill(pid, "SIGCONT");
    }
  };

/** The instances that do not come to know it so. */
export async function disagreeing<T extends { readonly uid: string }>(
  listOf: (instance: number) => Promise<readonly T[]>,
  uid: string,
  wanted: Partial<T>,
): Promise<readonly string[]> {
  const isSo = (view: T) => Object.entries(wanted).every(([key, value]) => view[key as keyof T] === value);
  const wrong: string[] = [];
  for (let instance = 0; instance < INSTANCES; instance++) {
    const known = async () => (await listOf(instance)).some((view) => view.uid === uid && isSo(view));
    await waitFor(known, { what: "it", timeoutMs: 30_000, everyMs: 200 }).catch(() => {
      wrong.push(`instance ${instance} does not know the end`);
    });
  }
  return wrong;
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
