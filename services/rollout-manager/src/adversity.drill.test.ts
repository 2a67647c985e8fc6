/** Rollouts with silent, misreporting and refusing devices, restarts, several instances and competing commands. */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { DeviceDesired, topics } from "@tributary/contracts";
import { readTopic } from "@tributary/kafka";
import { isFinished } from "@tributary/rollouts";
import { waitFor } from "@tributary/testing";
import { SpecRefused } from "./creation/spec-problems.ts";
import { digests, Rig, somePassedGate, until, usualSteps, written } from "./rollout-manager.test-kit.ts";

const toPause = [{ setWeight: 10 }, { pause: {} }, { analysis: { duration: "20s" } }, { setWeight: 100 }];
/** A deadline that silent devices miss, and that all others meet. */
const soon = { progressDeadline: "8s" };
let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.stop());

test("silent canaries pause a rollout at its deadline, and those that run the model are watched meanwhile", async () => {
  const fleet = await rig.prepare(80);
  const instance = await rig.instance();
  const { uid, cohorts } = await (async () => {
    const made = await instance.manager.create(written("edge@3", soon, toPause), "ann");
    // Two of the eight canaries disconnect before a desired state is sent.
    for (const deviceId of made.cohorts.order.slice(0, 2)) {
      const device = fleet.devices.get(deviceId);
      if (device !== undefined) device.isDisconnected = true;
    }
    return made;
  })();
  const paused = await until(instance, uid, "its pause", ({ phase }) => phase !== "Progressing");
  expect(paused).toMatchObject({ phase: "Paused", pause: { reason: "silent" }, weight: 10 });
  expect(fleet.running(digests.worse)).toHaveLength(6);
  for (const deviceId of cohorts.order.slice(0, 2)) fleet.returns(deviceId);
  // The analysis finds the worse model before a person resumes the rollout.
  const back = await until(instance, uid, "its rollback", isFinished);
  expect(back.aborted?.why).toMatch(/against the control|crashed on/);
  expect(fleet.running(digests.worse)).toEqual([]);
});

test("a canary that takes the model and then sends nothing is no data, and pauses", async () => {
  const fleet = await rig.prepare(80);
  const instance = await rig.instance();
  const made = await instance.manager.create(written("edge@2", soon), "ann");
  for (const deviceId of made.cohorts.order.slice(0, 8)) {
    const device = fleet.devices.get(deviceId);
    if (device !== undefined) device.sendsNoFrames = true;
  }
  const paused = await until(instance, made.uid, "its pause", ({ phase }) => phase === "Paused");
  expect(paused.pause?.reason).toBe("no-data");
  expect(paused.evidence).toMatchObject({ canary: { devices: 8, heard: 0 }, control: { devices: 32 } });
});

test("devices that refuse a model, or report it while their frames are of another, have it rolled back", async () => {
  const fleet = await rig.prepare(80, { [digests.better]: { refusedAs: "package-digest-mismatch" } });
  const instance = await rig.instance();
  const { uid } = await instance.manager.create(written("edge@2"), "ann");
  const back = await until(instance, uid, "its rollback", isFinished);
  expect(back.aborted?.why).toMatch(/of 8 devices refused the model/);
  // Misreports: these devices report the wanted model and continue to run the old one.
  const misreported = await instance.manager.create(written("edge@3", {}, toPause), "ann");
  for (const deviceId of misreported.cohorts.order.slice(0, 2)) {
    const device = fleet.devices.get(deviceId);
    if (device !== undefined) device.claims = digests.worse;
  }
  for (const deviceId of misreported.cohorts.order.slice(0, 2)) {
    const device = fleet.devices.get(deviceId);
    if (device !== undefined) Object.defineProperty(device, "modelDigest", { get: () => digests.old, set: () => {} });
  }
  const gone = await until(instance, misreported.uid, "its rollback", ({ aborted }) => aborted !== null);
  expect(gone.aborted?.why).toMatch(/^2 of 8 devices refused the model or left it/);
  expect(await instance.telemetry.metrics()).toMatch(/tributary_rollout_contradicted_devices [12]/);
});

test("a restart in the middle and a second instance change nothing: one history, the same verdict", async () => {
  const fleet = await rig.prepare(80);
  const [first, second] = [await rig.instance(), await rig.instance()];
  const { uid } = await first.manager.create(written("edge@2"), "ann");
  await until(second, uid, "its analysis", ({ analysis }) => analysis === "Running");
  await first.close();
  const third = await rig.instance();
  const done = await until(third, uid, "its end", isFinished);
  expect(done.phase).toBe("Healthy");
  const other = await until(second, uid, "its end", isFinished);
  expect(other).toEqual(done);
  expect(fleet.running(digests.better)).toHaveLength(80);
  expect(fleet.all.every(({ ignored }) => ignored.length === 0)).toBe(true);
});

test("commands, conflicts and concurrent proposals of instances", async () => {
  await rig.prepare(80);
  const [one, two] = [await rig.instance(), await rig.instance()];
  const { uid } = await one.manager.create(written("edge@2", {}, toPause), "ann");
  await until(one, uid, "its pause", ({ phase }) => phase === "Paused");
  await until(two, uid, "its pause", ({ phase }) => phase === "Paused");
  await expect(two.manager.create(written("edge@3"), "bob")).rejects.toMatchObject({
    code: "rollout-conflict",
    message: expect.stringMatching(/rollout edge \(.*\) is still active on d\d+/),
  });
  await expect(two.manager.command(uid, "retry", "bob")).rejects.toThrow(/only one that was rolled back whole/);
  // Two commands arrive at once: one counts, the other is rejected with the advice to retry.
  const commands = await Promise.allSettled([
    one.manager.command(uid, "abort", "ann"),
    two.manager.command(uid, "promote", "bob"),
  ]);
  const refused = commands.filter((command) => command.status === "rejected");
  expect(refused.length).toBeLessThanOrEqual(1);
  for (const { reason } of refused) expect(reason).toMatchObject({ code: "rollout-changed", advice: "retry" });
  await waitFor(() => one.manager.controller.rollout(uid)?.version === two.manager.controller.rollout(uid)?.version, {
    what: "one history",
  });
  // If the promotion won, its next step may have started in between: then the abort is retried.
  await waitFor(
    async () => one.manager.controller.rollout(uid)?.aborted !== null || one.manager.command(uid, "abort", "ann"),
    { what: "the abort" },
  );
  await until(one, uid, "its rollback", isFinished);
  // Both instances create a rollout at once: by the log's order only one counts.
  const created = await Promise.allSettled([
    one.manager.create(written("edge@2", {}, toPause), "ann"),
    two.manager.create(written("edge@3", {}, toPause), "bob"),
  ]);
  expect(created.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  const [loser] = created.filter((each) => each.status === "rejected");
  expect(loser?.reason).toMatchObject({ code: "rollout-conflict" });
});

test("a challenger starts its rollout once, when the gate lets it through; its success makes it champion", async () => {
  await rig.prepare(80);
  await rig.model({
    version: "4",
    modelDigest: digests.other,
    gate: somePassedGate({ passed: false, failed: ["slow"] }),
  });
  const put: string[] = [];
  const { createServer } = await import("node:http");
  const registry = createServer((request, response) => {
    request
      .on("data", (chunk) => put.push(`${request.method} ${request.url} ${chunk}`))
      .on("end", () => response.end("{}"));
  });
  const port = await new Promise<number>((resolve) => {
    registry.listen(0, "127.0.0.1", () => resolve((registry.address() as { port: number }).port));
  });
  try {
    const settings = { defaults: { edge: written("edge") }, modelRegistry: { url: `http://127.0.0.1:${port}` } };
    const [one, two] = [await rig.instance(settings), await rig.instance(settings)];
    await rig.aliases({ champion: "1", challenger: "4" });
    await waitFor(() => one.manager.models.byAlias("edge", "challenger")?.version === "4", { what: "the alias" });
    await rig.aliases({ champion: "1", challenger: "2" });
    const uid = `edge-${digests.better.slice(0, 12)}`;
    await until(two, uid, "its beginning", () => true);
    await until(one, uid, "its end", isFinished);
    // The earlier challenger failed its gate, so it has no rollout.
    expect([...one.manager.controller.rollouts].map((each) => each.uid)).toEqual([uid]);
    await waitFor(() => put.length > 0, { what: "the champion" });
    expect(put[0]).toBe('PUT /models/edge/aliases/champion {"version":"2","by":"rollout-manager"}');
  } finally {
    registry.close();
  }
});

test("after Kafka was restored, a raised epoch sends every device its desired state again, and devices follow it", async () => {
  const fleet = await rig.prepare(80);
  const first = await rig.instance();
  const { uid } = await first.manager.create(written("edge@2", {}, toPause), "ann");
  await until(first, uid, "its pause", ({ phase }) => phase === "Paused");
  await first.close();
  // Devices have seen generations that the restored log does not have.
  for (const device of fleet.all.filter(({ generation }) => generation > 0n)) {
    device.generation = 1_000_000n;
    device.modelDigest = digests.worse;
  }
  const second = await rig.instance({ epoch: 1 });
  await waitFor(() => fleet.running(digests.better).length === 8, { what: "devices that follow" });
  expect(fleet.all.filter(({ generation }) => generation > 1n << 40n)).toHaveLength(8);
  expect(second.manager.controller.rollout(uid)?.generation).toBeGreaterThan(1n << 40n);
});

test("a rollout is paced, and its rollback is not", async () => {
  const fleet = await rig.prepare(80);
  const instance = await rig.instance();
  const spec = { pacing: { devicesPerMinute: 60 }, progressDeadline: "60s" };
  const { uid } = await instance.manager.create(
    written("edge@2", spec, [{ setWeight: 50 }, ...usualSteps.slice(1)]),
    "ann",
  );
  await waitFor(() => fleet.running(digests.better).length >= 5, { what: "five devices" });
  expect(fleet.running(digests.better).length).toBeLessThan(20);
  await instance.manager.command(uid, "abort", "ann");
  const back = await until(instance, uid, "its rollback", isFinished);
  expect(fleet.running(digests.better)).toEqual([]);
  const sentAt = await rig.desiredAt(back.generation);
  expect(sentAt.length).toBeGreaterThanOrEqual(5);
  expect(Math.max(...sentAt) - Math.min(...sentAt)).toBeLessThan(2_000); // Paced, these five and more take over four seconds.
});

describe("what cannot be rolled out is refused with advice", () => {
  test("maintenance windows, where agents are too old to know of them", async () => {
    const [first] = DeviceDesired.versions;
    await rig.prepare(80, {}, { acceptedSchemas: [first?.fingerprint ?? ""] });
    const { manager } = await rig.instance();
    const maintenanceWindows = [{ from: "01:00", to: "05:00" }];
    await expect(
      manager.create(written("edge@2", { maintenanceWindows, progressDeadline: "1d" }), "ann"),
    ).rejects.toThrow(/spec\.maintenanceWindows: the agents of 80 devices .* would switch at once; update them first/);
    expect((await manager.create(written("edge@2"), "ann")).phase).toBe("Progressing");
  });

  test("and nothing that runs is disturbed", async () => {
    await rig.prepare(80);
    await rig.model({ version: "5", modelDigest: "5e".repeat(32), hardwareClass: "rpi5" });
    await rig.model({ version: "6", modelDigest: "6f".repeat(32), state: "REVOKED" });
    await rig.model({ version: "7", modelDigest: "7a".repeat(32), gate: null });
    await rig.model({ version: "10", modelDigest: "1a".repeat(32), gate: null });
    await rig.aliases({ champion: "1", challenger: "10" });
    await rig.model({
      version: "8",
      modelDigest: "8b".repeat(32),
      gate: somePassedGate({ passed: false, failed: ["class cat"] }),
    });
    const instance = await rig.instance();
    const only = { selector: { devices: Array.from({ length: 30 }, (_, i) => `d${i + 1}`) } };
    const running = await instance.manager.create(
      written("edge@2", only, [{ setWeight: 40 }, ...toPause.slice(1)]),
      "ann",
    );
    await until(instance, running.uid, "its pause", ({ phase }) => phase === "Paused");
    const before = instance.manager.controller.rollout(running.uid);
    const refused = async (spec: object): Promise<string> => {
      try {
        await instance.manager.create(spec, "bob");
        return "it was created";
      } catch (error) {
        return error instanceof SpecRefused ? `${error.code} ${error.message}` : `${error}`;
      }
    };
    const cases: readonly [object, RegExp][] = [
      [written("edge@2", { modle: "x" }), /spec\.modle: unknown field/],
      [written("edge@2", { metrics: [{ name: "f1" }] }), /spec\.metrics\[0\]\.name/],
      [written("edge@2", { metrics: [{ name: "accuracy", margin: null }] }), /give accuracy one/],
      [written("egde@2"), /spec\.model: no model egde .* there are edge/],
      [written("edge@9"), /spec\.model: edge has no version or alias 9; write one of .*2, 1/],
      [
        written("edge@5"),
        /spec\.selector: edge@5 is made for rpi5, and all of the devices are x64; pack it for these, or as generic/,
      ],
      [written("edge@6"), /edge@6 is revoked/],
      [written("edge@10"), /not judged by the gate yet; .* tributary models describe edge@10/],
      [written("edge@7"), /not judged by the gate yet; .* tributary models alias edge@7 challenger/],
      [written("edge@8"), /the gate of edge@8 failed: class cat/],
      [written("edge@1"), /all 80 devices run edge@1 already|edge@1 is the champion already/],
      [
        written("edge@2", {}, [{ setWeight: 2 }, ...usualSteps.slice(1)]),
        /arms-too-small .*steps\[0\]\.setWeight: 2 % of 80 devices is a canary of 2 .* a fleet of 3\d\d devices would do, or setWeight: 10/,
      ],
      [
        written("edge@2", { selector: { hardwareClasses: ["rpi4"] } }),
        /hardwareClasses\[0\]: no device has hardware class rpi4; there are x64/,
      ],
      [written("edge@2", { selector: { devices: ["nobody"] } }), /spec\.selector\.devices\[0\]: nobody never reported/],
    ];
    for (const [spec, message] of cases) expect(await refused(spec)).toMatch(message);
    expect(instance.manager.controller.rollout(running.uid)).toBe(before);
    expect(instance.manager.controller.rollouts).toHaveLength(1);
  });
});

test("a stale desired state that an instance wrote too late is written over", async () => {
  await rig.prepare(80);
  const instance = await rig.instance();
  const { uid } = await instance.manager.create(written("edge@2", {}, toPause), "ann");
  const rollout = await until(instance, uid, "its pause", ({ phase }) => phase === "Paused");
  const [deviceId = ""] = rollout.cohorts.order;
  const last = async (): Promise<DeviceDesired | undefined> => {
    let found: DeviceDesired | undefined;
    for await (const { key, value } of readTopic(rig.reader, topics.desired.name)) {
      if (key === deviceId && value !== null) found = DeviceDesired.decodeConfluent(value);
    }
    return found;
  };
  const right = (await last()) as DeviceDesired;
  for (const slots of [right.slots, {}]) {
    const value = DeviceDesired.encodeConfluent({ ...right, generation: 0n, slots });
    await rig.sink.send([{ topic: topics.desired.name, key: deviceId, value }]);
    await waitFor(async () => (await last())?.generation === right.generation, { what: "the right one again" });
    expect(await last()).toEqual(right);
  }
});
