/** Experiments from creation to what becomes of their verdict, on a real Kafka, with simulated fleets: one is of a whole fleet, the others
 * share a second one, each on devices of its own, and run at once. */
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { DeviceDesired, Experiment as ExperimentRecord, RoutingPolicy, topics } from "@tributary/contracts";
import { readTopic } from "@tributary/kafka";
import { isFinished } from "@tributary/rollouts";
import type { Experiment, ExperimentEvidence } from "@tributary/rollouts/experiment";
import { type PolicyBehaviour, waitFor } from "@tributary/testing";
import { adoptionUidOf } from "./creation/plan-experiment.ts";
import { SpecRefused } from "./creation/spec-problems.ts";
import { digests, type Instance, Rig, until, usualSteps, written } from "./rollout-manager.test-kit.ts";

const versions = {
  inForce: "a0".repeat(32),
  control: "b1".repeat(32),
  better: "c2".repeat(32),
  late: "d3".repeat(32),
  same: "e4".repeat(32),
  unlabelled: "f5".repeat(32),
  slow: "16".repeat(32),
  ofOther: "27".repeat(32),
} as const;
type Named = keyof typeof versions;

const usual: PolicyBehaviour = { accuracy: 0.95, escalated: 0.2 };
const behaviours: Readonly<Record<string, PolicyBehaviour>> = {
  [versions.inForce]: usual,
  [versions.control]: { accuracy: 0.7, escalated: 0.2 },
  [versions.better]: { accuracy: 0.97, escalated: 0.5 },
  // Worth more where lateness costs little.
  [versions.late]: { accuracy: 1, escalated: 0.4, late: 0.3 },
  [versions.same]: usual,
  [versions.unlabelled]: { escalated: 0.2 },
};
/** The gain of `late` is then five points, far enough from none for a few labels. */
const lateIsCheap = { correct: 1, escalated: 0, late: 0.01, currency: "EUR" };
/** Ten frames twice a second, four of them labelled. */
const fleetOptions = { policies: behaviours, framesPerWindow: 10, labelledPerWindow: 4, windowMs: 500 };

const experiment = (name: string, arms: readonly Named[], spec: object = {}): object => ({
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name },
  spec: {
    arms: arms.map((arm) => ({ name: arm.toLowerCase(), policy: versions[arm].slice(0, 8) })),
    utility: { correct: 1, escalated: 0.05, late: 0.1, currency: "EUR" },
    rope: 0.15,
    lateMargin: 0.05,
    burnIn: "1s",
    duration: "60s",
    ...spec,
  },
});

async function prepared(devices: number): Promise<Rig> {
  const rig = new Rig();
  await rig.prepare(devices, {}, fleetOptions);
  await rig.policy({ policyVersion: versions.inForce }, "in-force");
  const named = Object.values(versions).filter((version) => version !== versions.inForce);
  for (const policyVersion of named) {
    const deadlineMs = policyVersion === versions.slow ? 77 : 2_000;
    const modelDigest = policyVersion === versions.ofOther ? digests.better : digests.old;
    await rig.policy({ policyVersion, deadlineMs, modelDigest }, "named");
  }
  return rig;
}

async function untilExperiment(
  { manager }: Instance,
  uid: string,
  what: string,
  is: (experiment: Experiment) => boolean,
): Promise<Experiment> {
  const { experiments } = manager.controller;
  const probe = () => {
    const one = experiments.get(uid);
    return one !== null && is(one) && one;
  };
  return waitFor(probe, { what, everyMs: 50 }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(experiments.evidence(uid)).slice(0, 4_000)}`);
  });
}
const hasEnded = ({ phase }: Experiment) => phase !== "Running";

/** Of each device the newest. */
async function desiredIn(rig: Rig): Promise<ReadonlyMap<string, DeviceDesired>> {
  const desired = new Map<string, DeviceDesired>();
  for await (const { key, value } of readTopic(rig.reader, topics.desired.name))
    desired.set(key ?? "", DeviceDesired.decodeConfluent(value as Buffer));
  return desired;
}

async function published(rig: Rig, uid: string): Promise<Buffer | undefined> {
  let last: Buffer | undefined;
  for await (const { key, value } of readTopic(rig.reader, topics.experiments.name))
    if (key === uid && value !== null) last = value;
  return last;
}

const fleetOf = (rig: Rig) => rig.fleet as NonNullable<Rig["fleet"]>;
const areOn = (rig: Rig, devices: readonly string[], version: Named, timeoutMs = 20_000) => {
  const those = () => new Set(fleetOf(rig).decidingBy(versions[version]));
  return waitFor(() => devices.every((id) => those().has(id)), { what: `devices on ${version}`, timeoutMs });
};

/** Its devices were let go: they decide by the policy in force, in no arm. */
async function areLetGo(rig: Rig, { order }: Experiment): Promise<void> {
  await areOn(rig, order, "inForce");
  const pinned = async () => {
    const desired = await desiredIn(rig);
    return order.filter((deviceId) => {
      const { policyVersion = "", arm = "" } = desired.get(deviceId) ?? {};
      return policyVersion !== null || arm !== "default" || fleetOf(rig).devices.get(deviceId)?.arm !== "default";
    });
  };
  await waitFor(async () => (await pinned()).length === 0, { what: "devices in no arm", timeoutMs: 20_000 });
}

describe("an arm of a whole fleet that is worth more", () => {
  let rig: Rig;
  let instance: Instance;
  let uid: string;
  beforeAll(async () => {
    rig = await prepared(24);
    instance = await rig.instance();
    ({ uid } = await instance.manager.createExperiment(experiment("worth", ["control", "better"]), "ann"));
  });
  afterAll(() => rig.stop());

  const inForce = () =>
    instance.manager.policies.inForce(digests.old, "default") ?? ({ policyVersion: "none" } as RoutingPolicy);

  test("is adopted; its policy is rolled out, comes in force, and no device is pinned to it", async () => {
    const fleet = fleetOf(rig);
    const done = await untilExperiment(instance, uid, "its decision", hasEnded);
    expect(done).toMatchObject({ phase: "Decided", verdict: "adopt", winner: "better" });
    const [control, better] = done.evidence?.arms ?? [];
    expect(better).toMatchObject({ devices: 12, onPolicy: 12, reporting: 12, elsewhere: [] });
    expect(better?.rates.escalated).toBeGreaterThan(control?.rates.escalated as number);
    expect(better?.rates.correct).toBeGreaterThan(control?.rates.correct as number);
    // A call costs 100 millionths, and half of the frames are escalated.
    expect(better?.callCostPer1000).toBeCloseTo(0.1 * (better?.rates.escalated as number), 2);
    const adoption = adoptionUidOf({ uid });
    const rollout = await until(instance, adoption, "the end of its rollout", isFinished);
    expect(rollout).toMatchObject({ phase: "Healthy", weight: 100, spec: { spec: { slot: "policy" } } });
    expect(rollout).toMatchObject({ modelDigest: versions.better, stableDigest: versions.inForce });
    expect(inForce().policyVersion).toBe(versions.better);
    const unpinned = async () =>
      [...(await desiredIn(rig)).values()].every(({ policyVersion }) => policyVersion === null);
    await waitFor(unpinned, { what: "devices that are not pinned" });
    expect(fleet.decidingBy(versions.better)).toHaveLength(24);
    // The policy was in force before devices were let go: none of the control decided by another one in between.
    const controls = done.arms[0]?.devices ?? [];
    for (const deviceId of controls)
      expect(fleet.devices.get(deviceId)?.decidedBy.filter((version) => version === versions.better)).toHaveLength(1);
    const record = instance.manager.experimentStatus.record(uid);
    expect(record).toMatchObject({ phase: "DECIDED", verdict: "ADOPT", rollout: adoption, devices: 24 });
  });

  test("is undone like any rollout: the policy that was in force before is again, though it was no arm's", async () => {
    const adoption = adoptionUidOf({ uid });
    await instance.manager.command(adoption, "undo", "ann");
    await until(instance, adoption, "its rollback", isFinished);
    expect(inForce().policyVersion).toBe(versions.inForce);
    await areLetGo(rig, instance.manager.controller.experiments.get(uid) as Experiment);
  });
});

describe("experiments that run at once on parts of a fleet", () => {
  const groups = ["rejected", "equal", "stopped", "unlabelled"] as const;
  const devicesOf = (group: number) => Array.from({ length: 18 }, (_, i) => `d${18 * group + i + 1}`);
  const uids: string[] = [];
  const selecting = (group: number) => ({ selector: { devices: devicesOf(group) } });
  let rig: Rig;
  let one: Instance;
  let two: Instance;
  beforeAll(async () => {
    rig = await prepared(18 * groups.length + 7);
    [one, two] = [await rig.instance(), await rig.instance()];
    const specs = [
      experiment("rejected", ["inForce", "late"], { ...selecting(0), rope: 0.001, utility: lateIsCheap }),
      experiment("equal", ["inForce", "same"], { ...selecting(1), alpha: 0.01 }),
      experiment("stopped", ["inForce", "same"], { ...selecting(2), rope: 0.0001, alpha: 0.001, duration: "10m" }),
      experiment("unlabelled", ["inForce", "unlabelled"], { ...selecting(3), duration: "8s" }),
    ];
    for (const spec of specs) uids.push((await one.manager.createExperiment(spec, "ann")).uid);
  });
  afterAll(() => rig.stop());

  const uidOf = (group: (typeof groups)[number]) => uids[groups.indexOf(group)] as string;
  const refused = async (spec: object): Promise<string> => {
    try {
      await two.manager.createExperiment(spec, "bob");
      return "it was created";
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return error instanceof SpecRefused || code !== undefined ? `${code} ${message}` : `${error}`;
    }
  };

  test("refuse what cannot be compared, or is on devices of another, and name it", async () => {
    await untilExperiment(two, uidOf("unlabelled"), "the second instance", () => true);
    const free = { selector: { devices: Array.from({ length: 7 }, (_, i) => `d${18 * groups.length + i + 1}`) } };
    const fixed = selecting(2);
    const cases: readonly [object, RegExp][] = [
      [
        { ...experiment("x", ["inForce", "same"]), spec: { arms: [], utility: {}, rope: 1 } },
        /experiment-spec-invalid .*spec\.arms/,
      ],
      [
        experiment("x", ["inForce", "better"], {
          arms: [
            { name: "a", policy: versions.inForce },
            { name: "b", policy: "99999999" },
          ],
        }),
        /spec\.arms\[1\]\.policy: there is no policy 99999999; there are .*tributary policy push/,
      ],
      [experiment("x", ["inForce", "slow"]), /arms\[1\]\.policy: has a deadline of 77 ms, and that of inforce 2000 ms/],
      [experiment("x", ["inForce", "ofOther"]), /arms\[1\]\.policy: is for model 1b1b1b1b1b1b, .* by a rollout/],
      [experiment("x", ["inForce", "same"], free), /arms-too-small .* arm inforce has 4 of 7 devices, .* needs 8/],
      [
        experiment("x", ["inForce", "same"], fixed),
        /rollout-conflict experiment stopped \(.*\) is still active on d\d+, .* stop it, or narrow the selector/,
      ],
      [
        experiment("stopped", ["inForce", "same"], {
          ...fixed,
          utility: { correct: 9, escalated: 0, late: 0, currency: "EUR" },
        }),
        /experiment-conflict experiment stopped \(.*\) is running, with the policies, weights and margins .* stop it/,
      ],
    ];
    for (const [spec, message] of cases) expect(await refused(spec)).toMatch(message);
    const rollout = two.manager.create(written("edge@2", fixed, [{ setWeight: 50 }, ...usualSteps.slice(1)]), "bob");
    await expect(rollout).rejects.toThrow(/experiment stopped \(.*\) is still active on d\d+/);
    expect(one.manager.controller.experiments.all).toHaveLength(groups.length);
    expect(one.manager.controller.rollouts).toEqual([]);
  });

  test("reject an arm that is late, though it is worth more; two instances publish the same bytes", async () => {
    const uid = uidOf("rejected");
    const done = await untilExperiment(one, uid, "its decision", hasEnded);
    expect(done).toMatchObject({ phase: "Decided", verdict: "reject", winner: null });
    expect(done.why).toMatch(/^late is late more often than the margin allows: inforce stays/);
    const comparison = done.evidence?.arms[1]?.comparison;
    expect(comparison).toMatchObject({ verdict: "reject", because: "late" });
    expect(await untilExperiment(two, uid, "its decision", hasEnded)).toEqual(done);
    await areLetGo(rig, done);
    const [first, second] = [one, two].map(({ manager }) =>
      ExperimentRecord.encodeConfluent(manager.experimentStatus.record(uid) as ExperimentRecord),
    );
    expect(second).toEqual(first);
    await waitFor(async () => (await published(rig, uid))?.equals(first as Buffer), { what: "experiments.v1" });
  });

  test("are equivalent where two policies decide alike", async () => {
    const done = await untilExperiment(one, uidOf("equal"), "its decision", hasEnded);
    expect(done).toMatchObject({ phase: "Decided", verdict: "equivalent", winner: null });
    expect(done.why).toBe("same is worth the same as inforce, but for the rope");
    await areLetGo(rig, done);
    expect(one.manager.controller.rollouts).toEqual([]);
  });

  test("have no verdict with labels of one arm alone: the arm is named, and it is held at its end", async () => {
    const uid = uidOf("unlabelled");
    const lacking =
      /0 devices of arm unlabelled have labelled frames of the random sample by its policy, and 8 are needed/;
    const done = await untilExperiment(one, uid, "its end", hasEnded);
    expect(done).toMatchObject({ phase: "Decided", verdict: "hold", winner: null });
    expect(done.why).toMatch(new RegExp(`^undecided at its end: ${lacking.source}`));
    expect(done.changedAt - done.createdAt).toBeGreaterThanOrEqual(8_000);
    expect(done.evidence?.arms.map(({ reporting }) => reporting)).toEqual([9, 9]);
    await areLetGo(rig, done);
  });

  test("are seen alike by an instance that starts in the middle of one", async () => {
    const uid = uidOf("stopped");
    const three = await rig.instance();
    const looks = () =>
      [one, two, three].map(({ manager }) => manager.controller.experiments.evidence(uid)) as ExperimentEvidence[];
    const same = await waitFor(
      () => {
        const [first, ...others] = looks();
        return others.every((other) => isDeepStrictEqual(other, first)) && first?.arms[1]?.comparison != null && first;
      },
      { what: "the same evidence", everyMs: 20, timeoutMs: 20_000 },
    ).catch((error: Error) => {
      expect(looks()[2]).toEqual(looks()[0]);
      throw error;
    });
    expect(same.arms.map(({ devices, reporting }) => [devices, reporting])).toEqual([
      [9, 9],
      [9, 9],
    ]);
    expect(same.arms[1]?.frames.correct).toBeGreaterThan(100);
    await three.close();
  });

  test("end when a person stops one: its name is in the history, and the devices are free for a rollout", async () => {
    const uid = uidOf("stopped");
    const stopped = await two.manager.stopExperiment(uid, "carol", "enough seen");
    expect(stopped).toMatchObject({ phase: "Stopped", verdict: null, why: "stopped by carol: enough seen" });
    await areLetGo(rig, stopped);
    await expect(one.manager.stopExperiment(uid, "dave", "")).rejects.toThrow(
      /experiment stopped has ended already: stopped by carol: enough seen/,
    );
    const events: string[] = [];
    for await (const { key, value } of readTopic(rig.reader, topics.rolloutEvents.name)) {
      if (key !== uid) continue;
      const { kind, by } = topics.rolloutEvents.codec.decodeConfluent(value as Buffer);
      events.push(`${kind} ${by}`);
    }
    expect(events).toEqual(["EXPERIMENT_CREATED ann", "EXPERIMENT_STOPPED carol"]);
    const steps = [{ setWeight: 50 }, { pause: {} }, ...usualSteps.slice(1)];
    await two.manager.create(written("edge@2", selecting(2), steps), "bob");
    expect(await refused(experiment("again", ["inForce", "same"], selecting(2)))).toMatch(
      /rollout-conflict rollout edge \(.*\) is still active on d\d+, .* abort it, or narrow the selector/,
    );
  });
});
