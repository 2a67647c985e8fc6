/**
 * Two rollout-managers are killed with -9 at every transition of experiments, and of the rollout that applies an adopted policy, at four
 * places of each: before the event is appended, after it, after it was read back, and while desired states are written (V1, G6).
 *
 * In every case each experiment has the verdict that it has without faults, once in the log, and each device decides by the policy that it
 * should: after `adopt` by the adopted one, which is in force by then, otherwise by the one that was in force before; no device is
 * pinned. The check only reads Kafka: there is one history, and a valid event for every desired policy and arm. A control acts before
 * reading back (lab/sabotage), and must be detected.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { seededRandom } from "@tributary/kernel";
import { type PolicyBehaviour, waitFor } from "@tributary/testing";
import { historyOf } from "./rollout/history.ts";
import {
  act,
  ahead,
  type Compared,
  crossed,
  disagreeing,
  killedEverywhere,
  PLACES,
  pausing,
  restarted,
  runStories,
  type Story,
} from "./rollout/stories.ts";
import type { ExperimentView, World } from "./rollout/world.ts";
import type { Drill } from "./scenario.ts";

const DEVICES = 32;
const versions = { standing: "a0".repeat(32), better: "b1".repeat(32), late: "c2".repeat(32), same: "d3".repeat(32) };
type Named = keyof typeof versions;
const usual: PolicyBehaviour = { accuracy: 0.75, escalated: 0.2 };
const policies: Readonly<Record<string, PolicyBehaviour>> = {
  [versions.standing]: usual,
  [versions.better]: { accuracy: 0.98, escalated: 0.4 },
  [versions.late]: { accuracy: 0.8, escalated: 0.4, late: 0.3 },
  [versions.same]: usual,
};

const CREATED = "experiment-created";
const JUDGED = "experiment-arm-judged";
const DECIDED = "experiment-decided";
const STOPPED = "experiment-stopped";
const CROSSED_ROUNDS = 3;
/** Instances that were killed start again meanwhile. */
const DEVICES_MS_MAX = 60_000;

export const experiment: Drill = {
  name: "experiment",
  summary:
    "two rollout-managers killed with -9 at every transition of experiments, or paused; verdicts as without faults",
  details: `Of each experiment one verdict counts, and every device ends on the policy that it should, unpinned. With a control that must
fail: instances that act on their own proposals before they have read them back. Hours pass in seconds, with everything deleted that was counted, and
one is restarted: it shows what the other shows, to the byte; as a control without checkpoints. The clock of one is hours ahead for some seconds: the
same; as a control, where nothing bounds it.`,
  options: [
    { name: "kills", about: "kills per transition and place", value: 1 },
    { name: "seed", about: "seed of the moments of pauses", value: 1 },
  ],
  choices: [{ name: "places", about: "where in a transition instances are killed", among: PLACES }],
  run: (settings) => {
    const random = seededRandom(settings.options.seed ?? 1);
    const adoption = [CREATED, JUDGED, DECIDED, "created", "step-started", "completed"];
    return runStories({ settings, what: "experiment", world: { devices: DEVICES, policies } }, (stage) => [
      () => act(stage, "paused, a better policy", "stopped", adoptStory, [], pausing(random)),
      ...killedEverywhere(stage, [
        {
          title: "a better policy",
          name: "adopt",
          story: adoptStory,
          kinds: adoption,
          acting: adoption.filter((kind) => kind !== "created" && kind !== JUDGED), // These reach nobody.
        },
        { title: "a late policy", name: "reject", story: rejectStory, kinds: [JUDGED, DECIDED], acting: [DECIDED] },
        { title: "stopped by a person", name: "stop", story: stopStory, kinds: [STOPPED], acting: [STOPPED] },
      ]),
      () => restarted(stage, false, undecided),
      () => restarted(stage, true, undecided),
      () => ahead(stage, false, undecided),
      () => ahead(stage, true, undecided),
      () => crossed(stage, false, crossedStory),
      () => crossed(stage, true, crossedStory),
    ]);
  },
};

const specOf = (name: string, arm: Named, spec: object = {}): object => ({
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name },
  spec: {
    arms: [["control", "standing"] as const, ["arm", arm] as const].map(([name, policy]) => ({
      name,
      policy: versions[policy].slice(0, 8),
    })),
    utility: { correct: 1, escalated: 0.05, late: 0.1, currency: "EUR" },
    rope: 0.001,
    lateMargin: 0.05,
    alpha: 0.01,
    burnIn: "1s",
    duration: "4m",
    ...spec,
  },
});

/** An arm that is worth more is adopted, rolled out, and in force in the end. */
const adoptStory: Story = async (world) => {
  const { uid } = await create(world, specOf("adopt", "better"));
  await world.untilExperiment(uid, "its verdict", ({ phase }) => phase === "DECIDED");
  await world.until(`adopt-${uid}`, "the rollout of its policy", ({ phase }) => phase === "HEALTHY", 150_000);
  const inForce = await world.policyInForce();
  return [
    ...(await ended(world, uid, { phase: "DECIDED", verdict: "ADOPT", winner: "arm" }, "better")),
    ...(inForce === versions.better ? [] : [`the policy in force is ${inForce?.slice(0, 4)}`]),
    ...(await leftAgain(world, uid)),
  ];
};

/** One that is late is rejected, and its devices are let go. */
const rejectStory: Story = async (world) => {
  const { uid } = await create(world, specOf("reject", "late"));
  await world.untilExperiment(uid, "its verdict", ({ phase }) => phase === "DECIDED");
  return ended(world, uid, { phase: "DECIDED", verdict: "REJECT", winner: null }, "standing");
};

/** A person stops one that has nothing to show. */
const stopStory: Story = async (world) => {
  const { uid } = await create(world, specOf("stop", "same", { rope: 0.0001, alpha: 0.0001 }));
  await waitFor(() => world.fleet.decidingBy(versions.same).length === DEVICES / 2, { what: "devices in its arm" });
  await stop(world, uid);
  return ended(world, uid, { phase: "STOPPED", verdict: null, winner: null }, "standing");
};

/** One that has nothing to show, until a person stops it. */
const undecided: Compared = {
  of: "experiments",
  start: async (world) => {
    const { uid } = await create(world, specOf("undecided", "same", { rope: 0.0001, alpha: 0.0001, duration: "24h" }));
    return uid;
  },
  end: async (world, uid) => {
    await stop(world, uid);
    return ended(world, uid, { phase: "STOPPED", verdict: null, winner: null }, "standing");
  },
};

/** Two people create different experiments on the same devices at two instances, at the same moment. */
const crossedStory: Story = async (world) => {
  for (let round = 0; round < CROSSED_ROUNDS; round++) {
    const isLong = { burnIn: "5m", duration: "1h" }; // Nothing is decided meanwhile.
    await Promise.all([
      world.askOnce(0, "POST", "/experiments", { spec: specOf("of-ann", "better", isLong), by: "ann" }),
      world.askOnce(1, "POST", "/experiments", { spec: specOf("of-bob", "late", isLong), by: "bob" }),
    ]);
    await sleep(1_500);
    const running = (await world.experiments()).filter(({ phase }) => phase === "RUNNING");
    const [one] = running;
    if (one === undefined || running.length > 1) return [`${running.length} experiments run on the same devices`];
    await stop(world, one.uid);
    const wrong = await ended(world, one.uid, { phase: "STOPPED", verdict: null, winner: null }, "standing");
    if (wrong.length > 0) return wrong;
  }
  return [];
};

/** Creates it, also when the instance that was asked died over it. */
async function create(world: World, spec: object): Promise<Pick<ExperimentView, "uid">> {
  for (let attempt = 0; ; attempt++) {
    const [known] = await world.experiments();
    if (known !== undefined) return known;
    const answer = await world.ask("POST", "/experiments", { spec, by: "ann" });
    if (answer.status === 201) return answer.json as { uid: string };
    const { code, detail } = answer.json as { code?: string; detail?: string };
    if (answer.status !== 409 || attempt > 5) throw new Error(`not created: ${code}: ${detail}`);
    await sleep(200);
  }
}

/** Repeated until it took effect: the instance that was asked may have died over it. */
async function stop(world: World, uid: string): Promise<void> {
  const isStopped = async () => {
    if ((await world.experiments()).some((one) => one.uid === uid && one.phase === "STOPPED")) return true;
    await world.ask("POST", `/experiments/${uid}/stop`, { by: "ann", why: "enough" });
    return false;
  };
  await waitFor(isStopped, { what: `the end of ${uid}`, timeoutMs: 60_000, everyMs: 300 });
}

/** Both instances and the log agree on it; every device decides by `policy`, and none is pinned. */
async function ended(
  world: World,
  uid: string,
  wanted: Partial<ExperimentView>,
  policy: Named,
): Promise<readonly string[]> {
  const wrong = [...(await disagreeing((instance) => world.experiments(instance), uid, wanted))];
  const isEverywhere = () => world.fleet.decidingBy(versions[policy]).length === DEVICES;
  await waitFor(isEverywhere, { what: "every device", timeoutMs: DEVICES_MS_MAX }).catch(() => {
    wrong.push(`${DEVICES - world.fleet.decidingBy(versions[policy]).length} devices do not decide by ${policy}`);
  });
  const isPinned = () => world.fleet.all.filter(({ retained }) => retained?.policyVersion != null);
  await waitFor(() => isPinned().length === 0, { what: "no pinned device", timeoutMs: DEVICES_MS_MAX }).catch(() => {
    wrong.push(`${isPinned().length} devices are pinned to a policy`);
  });
  const { events, experiments } = await historyOf(world.reader);
  const ends = events.filter((event) => event.uid === uid && [DECIDED, STOPPED].includes(event.kind));
  if (ends.length !== 1) wrong.push(`${ends.length} decisions count`);
  const { verdict, winner } = experiments.get(uid) ?? {};
  if (verdict?.toUpperCase() !== (wanted.verdict ?? undefined) || winner !== wanted.winner)
    wrong.push(`the log ends ${verdict}, ${winner}`);
  return wrong;
}

/** Devices of the control that had the adopted policy, and then another. (policies.ts Q2 of the rollout-manager) */
async function leftAgain(world: World, uid: string): Promise<readonly string[]> {
  const [control] = (await historyOf(world.reader)).experiments.get(uid)?.arms ?? [];
  const left = (control?.devices ?? []).filter((deviceId) => {
    const decidedBy = world.fleet.devices.get(deviceId)?.decidedBy ?? [];
    return decidedBy.filter((version) => version === versions.better).length > 1;
  });
  return left.length === 0 ? [] : [`${left.length} devices left the adopted policy for a moment`];
}
