/**
 * Two trainers are killed with -9 at every transition of a training: before it is written, after it, and while the effects
 * run that lead to it; and stopped for longer than Kafka waits for them, right before they write (runs-worker.ts W1, W2; G12).
 *
 * One verdict, written ten times, opens a training in the first world. The others get its request, and are killed elsewhere,
 * or not at all: so all have to make the same training, from the same dataset to the same package. The checks read Kafka,
 * the trainers' folder and the list of processes. A control forgets which jobs it started (lab/sabotage), and must be detected.
 */
import { join } from "node:path";
import type { OutRecord } from "@tributary/kafka";
import { reasonOf } from "@tributary/kernel";
import { startKafka } from "../../../tools/kafka.mjs";
import { type Facts, factsOf } from "./retrain/facts.ts";
import { makeOrigin, type Origin } from "./retrain/origin.ts";
import { RetrainWorld } from "./retrain/world.ts";
import { type Check, check, type Drill, type Findings } from "./scenario.ts";

const TRANSITIONS = [
  "REQUESTED",
  "RELEASED",
  "LABELS_COUNTED",
  "LABELS_COMPLETE",
  "FROZEN",
  "JOB_STARTED",
  "JOB_PROGRESSED",
  "JOB_SUCCEEDED",
  "PACKED",
  "PUSHED",
  "HELD",
  "RESUMED",
  "GATE_PASSED",
  "SUCCEEDED",
] as const;
const EFFECTS = ["count-labels", "freeze", "start-job", "poll-job", "pack", "push", "extend-validation"];
const STOPS = ["FROZEN", "JOB_STARTED", "PACKED", "PUSHED"];
/** In the order of a training without faults; each once. */
const ONCE = TRANSITIONS.filter((kind) => kind !== "JOB_PROGRESSED" && kind !== "LABELS_COUNTED");

const at = (place: string, kinds: readonly string[]): readonly string[] => kinds.map((kind) => `${place}:${kind}`);

const namesOf = (stories: readonly Story[]): readonly string[] => stories.map(({ name }) => name);

type Ended = {
  readonly story: Story;
  readonly facts: Facts;
  readonly died: readonly string[];
  readonly stops: number;
  readonly seconds: number;
};
type Story = {
  readonly name: string;
  readonly title: string;
  readonly deaths: readonly string[];
  readonly isArchiveKilled?: boolean;
  readonly sabotage?: string;
};

const CALM = "calm";
const CONTROL = "control";
/** The first of those that run gets the verdict. */
const STORIES: readonly Story[] = [
  {
    name: "before",
    title: "Trainers killed before a transition is written",
    deaths: [...at("before-write", TRANSITIONS), "after-write:REQUESTED"],
  },
  {
    name: "after",
    title: "Trainers killed after a transition is written",
    deaths: at("after-write", TRANSITIONS.slice(1)),
  },
  {
    name: "within",
    title: "Trainers killed within effects, and stopped before they write; the frame-archive killed",
    deaths: [...at("within", EFFECTS), ...at("stop-before-write", STOPS)],
    isArchiveKilled: true,
  },
  { name: CALM, title: "Undisturbed", deaths: [] },
  {
    name: CONTROL,
    title: "Control: a backend that forgets which jobs it started",
    deaths: ["before-write:JOB_STARTED"],
    sabotage: "forget-started-jobs",
  },
];

export const retrain: Drill = {
  name: "retrain",
  summary: "two trainers killed with -9 at every transition of a training, or stopped; it must end as without faults",
  details: `One verdict, written ten times, is one training, with one dataset, one job and one candidate, and nothing is left running.
With a control that must fail: a backend that starts another job whenever it is asked to start one.`,
  options: [],
  choices: [{ name: "stories", about: "what happens to trainers, beside nothing", among: namesOf(STORIES) }],
  run: async ({ dir, log, choices }) => {
    const kafka = await startKafka({ dataDir: join(dir, "kafka"), logFile: join(dir, "kafka.log"), heapMb: 256 });
    try {
      const brokers = [kafka.brokers];
      log("a champion, an archive of labelled frames, a base set");
      const origin = await makeOrigin({ dir: join(dir, "origin"), brokers });
      log(`${origin.archived.frames} frames are archived; the frame-archive was killed ${origin.archiveKills} times`);
      const chosen = choices?.stories ?? namesOf(STORIES);
      const stories = STORIES.filter(({ name }) => name === CALM || chosen.includes(name));
      return [archiveFindings(origin), ...(await played({ dir, brokers, origin, log }, stories))];
    } finally {
      await kafka.stop();
    }
  },
};

type Stage = {
  readonly dir: string;
  readonly brokers: readonly string[];
  readonly origin: Origin;
  readonly log: (line: string) => void;
};

/** All at once, as most of a story is waiting. */
async function played(stage: Stage, [first, ...others]: readonly Story[]): Promise<readonly Findings[]> {
  if (first === undefined) return [];
  const requested = Promise.withResolvers<readonly OutRecord[]>();
  const one = play(stage, first, undefined, requested.resolve);
  one.catch(requested.reject);
  const request = await requested.promise;
  stage.log("the verdict opened a training; the other worlds make it, too");
  const ended = await Promise.all([one, ...others.map((story) => play(stage, story, request))]);
  const calm = ended.find(({ story }) => story.name === CALM);
  if (calm === undefined) throw new Error("there is no undisturbed world");
  return ended.map((each) => (each.story.name === CONTROL ? controlFindings(each) : findingsOf(each, calm)));
}

async function play(
  { dir, brokers, origin, log }: Stage,
  story: Story,
  request?: readonly OutRecord[],
  onRequested?: (request: readonly OutRecord[]) => void,
): Promise<Ended> {
  const { name, title, deaths, isArchiveKilled = false, sabotage } = story;
  const startedMs = performance.now();
  const place = { dir: join(dir, name), brokers, name, origin, deaths };
  const world = await RetrainWorld.open({ ...place, ...(request && { request }), ...(sabotage && { sabotage }) });
  try {
    if (onRequested !== undefined) onRequested(await world.request());
    const end = await world.untilEnded(isArchiveKilled).catch((error: unknown) => {
      log(`${title}: ${reasonOf(error)}`);
    });
    const facts = await factsOf(world);
    const { died } = world.trainers;
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    log(`${title}: ${end?.phase ?? "not ended"} after ${seconds} s, ${died.length} died, ${world.stops} stopped`);
    return { story, facts, died: [...died], stops: world.stops, seconds };
  } finally {
    await world.close();
  }
}

function archiveFindings({ archived, frames, archiveKills }: Origin): Findings {
  const isOnce = archived.frames === frames && archived.records === frames;
  return {
    title: "The frame-archive killed",
    checks: [check("every frame is archived, and once", isOnce, `${archived.records} records of ${archived.frames}`)],
    figures: { frames, "kills with -9": archiveKills },
  };
}

function findingsOf({ story, facts, died, stops, seconds }: Ended, calm: Ended): Findings {
  const { title, deaths } = story;
  const missed = deaths.filter((place) => !place.startsWith("stop") && !died.includes(place));
  const stopsWanted = deaths.filter((place) => place.startsWith("stop")).length;
  return {
    title,
    checks: [
      ...checksOf(facts),
      ...(story === calm.story ? [] : sameAs(calm.facts, facts)),
      check("every planned kill happened", missed.length === 0, missed.join(", ") || `${died.length} kills`),
      check("every planned stop happened", stops >= stopsWanted, `${stops} stops`),
    ],
    figures: { "kills with -9": died.length, stops, transitions: facts.kinds.length, seconds },
  };
}

function checksOf(facts: Facts): readonly Check[] {
  const { kinds, versionsWrong, end, runs, datasets, jobs, results, candidates, challengers } = facts;
  const counts = ONCE.map((kind) => [kind, kinds.filter((one) => one === kind).length] as const);
  const wrong = counts.filter(([, count]) => count !== 1).map(([kind, count]) => `${kind} ${count} times`);
  const again = kinds.filter((kind) => ["RETRIED", "JOB_RETRIED", "RESTARTED"].includes(kind));
  const one = (name: string, found: readonly string[]) => check(name, found.length === 1, found.join(", ") || "none");
  return [
    check("the training succeeds", end.phase === "SUCCEEDED", `${end.phase}: ${end.message}`),
    one("one training, of a verdict that was written ten times", runs),
    check(
      "each transition once, none left out",
      wrong.length === 0 && versionsWrong.length === 0,
      listed(wrong, versionsWrong),
    ),
    check("no attempt fails", again.length === 0, again.join(", ") || "none does"),
    one("one dataset", datasets),
    one("one job", jobs),
    one("one result", results),
    one("one candidate", candidates),
    one("one challenger", challengers),
    check("no process of a training is left", facts.processes === 0, facts.processes),
    check("no work in progress is left", facts.leftovers.length === 0, facts.leftovers.join(", ") || "none"),
  ];
}

/** Compared with the undisturbed world. */
function sameAs(calm: Facts, { datasets, networks, candidates, validation }: Facts): readonly Check[] {
  const same = (name: string, found: string | undefined, expected: string | undefined) =>
    check(name, found !== undefined && found === expected, `${short(found)}, undisturbed ${short(expected)}`);
  return [
    same("the same dataset, by its MD5", datasets[0], calm.datasets[0]),
    same("the same network, by its SHA-256", networks[0], calm.networks[0]),
    same("the same package, by its digest", candidates[0], calm.candidates[0]),
    same("the same frames to judge the next candidate on", validation, calm.validation),
  ];
}

function controlFindings({ story: { title }, facts, died, seconds }: Ended): Findings {
  const { jobs } = facts;
  return {
    title,
    checks: [check("a second training is detected", jobs.length > 1, `${jobs.length} jobs: ${jobs.join(", ")}`)],
    figures: { "kills with -9": died.length, seconds },
  };
}

const listed = (...lists: readonly (readonly string[])[]): string => lists.flat().slice(0, 4).join("; ") || "yes";
const short = (digest: string | undefined): string => digest?.slice(0, 12) || "none";
