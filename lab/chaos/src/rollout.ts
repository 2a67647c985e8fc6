/**
 * Two rollout-managers are killed with -9 at every transition of rollouts, at four places of each: before the event is
 * appended, after it, after it was read back, and while desired states are written (V1, G5, G6).
 *
 * In every case a good model ends on every device and is rolled back when a person undoes it; a bad one ends on none, and
 * never was on more than the canary. The check only reads Kafka: there is one history, and a valid event for every
 * desired state. A control acts before reading back (lab/sabotage), and must be detected.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { seededRandom } from "@tributary/kernel";
import { waitFor } from "@tributary/testing";
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
import { digests, type RolloutView, type World } from "./rollout/world.ts";
import type { Drill } from "./scenario.ts";

const DEVICES = 80;
const CANARY = DEVICES / 10;
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
const CROSSED_ROUNDS = 3;
const BAD = ["analysed", "aborted", "rolled-back", "retried", "promoted"];

export const rollout: Drill = {
  name: "rollout",
  summary: "two rollout-managers killed with -9 at every transition, or paused; rollouts must end as without faults",
  details: `Each rollout is completed by the instances that run. With a control that must fail: instances that act on their own
proposals before they have read them back. Hours pass in seconds, with everything deleted that was counted, and one is restarted: it shows what the other
shows, to the byte; as a control without checkpoints. The clock of one is hours ahead for some seconds: the same; as a control, where nothing bounds it.`,
  options: [
    { name: "kills", about: "kills per transition and place", value: 1 },
    { name: "seed", about: "seed of the moments of pauses", value: 1 },
  ],
  choices: [{ name: "places", about: "where in a transition instances are killed", among: PLACES }],
  run: (settings) => {
    const random = seededRandom(settings.options.seed ?? 1);
    return runStories({ settings, what: "rollout", world: { devices: DEVICES } }, (stage) => [
      // The longest first: none is left to end alone.
      () => act(stage, "paused, a good model", "stopped", goodStory, [], pausing(random)),
      ...killedEverywhere(stage, [
        { title: "a good model", name: "good", story: goodStory, kinds: GOOD, acting: ["step-started", "aborted"] },
        { title: "a bad model", name: "bad", story: badStory, kinds: BAD, acting: ["aborted"] },
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

const specOf = (version: string, steps: readonly object[], spec: object = {}): object => ({
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
    ...spec,
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
  return [...wrong, ...(await everyDevice(world, digests.old)), ...(await agreed(world, uid))];
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
    ...(await agreed(world, uid)),
  ];
};

/** A canary that cannot be decided for as long as it is compared, and then undone. */
const undecided: Compared = {
  of: "rollouts",
  start: async (world) => {
    const steps = [{ setWeight: 10 }, { analysis: { duration: "24h" } }, { setWeight: 100 }];
    const metrics = [{ name: "deadline-met", alpha: 0.0001, tolerated: 0, margin: 0.0001 }];
    const { uid } = await create(world, specOf("2", steps, { metrics }));
    await world.until(uid, "its analysis", ({ analysis }) => analysis === "RUNNING", 60_000);
    return uid;
  },
  end: async (world, uid) => {
    await command(world, uid, "abort", ({ phase }) => phase === "DEGRADED");
    await world.until(uid, "its rollback", ({ isBack }) => isBack, 60_000);
    return agreed(world, uid);
  },
};

/** Two people send opposite commands to two instances, at the same moment. */
const crossedStory: Story = async (world) => {
  const steps = [{ setWeight: 10 }, { pause: {} }, { analysis: { duration: "90s" } }, { setWeight: 100 }];
  for (let round = 0; round < CROSSED_ROUNDS; round++) {
    const { uid } = await create(world, specOf("2", steps));
    await world.until(uid, "its pause", ({ phase }) => phase === "PAUSED", 60_000);
    const path = `/rollouts/${uid}/commands`;
    await Promise.all([
      world.askOnce(0, "POST", path, { command: "abort", by: "ann" }),
      world.askOnce(1, "POST", path, { command: "promote-full", by: "bob" }),
    ]);
    await sleep(1_500);
    // The second command may be repeated.
    await world.ask("POST", path, { command: "abort", by: "ann" });
    await world.ask("POST", path, { command: "undo", by: "ann" });
    await world.until(uid, "its rollback", ({ isBack }) => isBack, 60_000);
    const wrong = await agreed(world, uid);
    if (wrong.length > 0) return wrong;
  }
  return [];
};

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

/** Both instances and the log agree that it was rolled back. */
async function agreed(world: World, uid: string): Promise<readonly string[]> {
  const wanted: Partial<RolloutView> = { phase: "DEGRADED", isBack: true };
  const wrong = await disagreeing((instance) => world.rollouts(instance), uid, wanted);
  const rollout = (await historyOf(world.reader)).rollouts.get(uid);
  return rollout?.aborted?.isBack === true ? wrong : [...wrong, `the log ends ${rollout?.phase}`];
}
