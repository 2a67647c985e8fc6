/** The service as a process: its options, its API, its end. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { exitFlags } from "@tributary/kernel";
import { repositoryRoot, type SpawnedService, spawnService, tempDir, waitFor } from "@tributary/testing";
import { digests, quickly, Rig, written } from "./rollout-manager.test-kit.ts";

const main = "services/rollout-manager/dist/main.js";

test("--help describes the service, and a missing configuration ends it with 2", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [...exitFlags, join(repositoryRoot, main), ...args], { encoding: "utf8" });
  expect(run("--help")).toMatchObject({ status: 0, stdout: expect.stringMatching(/canaries that are judged/) });
  expect(run().status).toBe(2);
});

describe("the running service", () => {
  const dir = tempDir("rollout-manager");
  const rig = new Rig();
  let service: SpawnedService;
  const call = async (method: string, path: string, body?: object) => {
    const response = await fetch(`http://127.0.0.1:${service.ports.http}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };
  beforeAll(async () => {
    await rig.prepare(80);
    const config = { kafka: rig.kafka, ...quickly, limits: { ...quickly.limits, foldBehindMsMax: 10_000 } };
    service = await spawnService({ name: "rollout-manager", main, dir: dir.path, config });
  });
  afterAll(async () => {
    await service?.stop();
    await rig.stop();
    dir.remove();
  });

  test("rejects invalid requests with problem details and paths", async () => {
    const refused = await call("POST", "/rollouts", { spec: written("edge@2", { modle: 1 }), by: "ann" });
    expect(refused).toMatchObject({
      status: 422,
      json: { code: "rollout-spec-invalid", problems: [{ path: ["spec", "modle"] }] },
    });
    expect(await call("POST", "/rollouts", { spec: {}, who: "ann" })).toMatchObject({ status: 400 });
    expect(await call("GET", "/rollouts/none")).toMatchObject({ status: 404, json: { code: "rollout-unknown" } });
    expect(await call("POST", "/rollouts/none/commands", { command: "abort", by: "ann" })).toMatchObject({
      status: 404,
    });
    const foreign = await fetch(`http://127.0.0.1:${service.ports.http}/rollouts`, { method: "PUT" });
    expect(foreign.status).toBe(404);
  });

  test("creates, shows and stops experiments, and refuses a second one on the same devices with 409", async () => {
    const [control, arm] = ["a0".repeat(32), "b1".repeat(32)];
    await rig.policy({ policyVersion: control }, "in-force");
    await rig.policy({ policyVersion: arm }, "named");
    const spec = (name: string) => ({
      apiVersion: "tributary.dev/v1",
      kind: "Experiment",
      metadata: { name },
      spec: {
        arms: [control, arm].map((policy, i) => ({ name: `arm-${i}`, policy })),
        utility: { correct: 1, escalated: 0, late: 1, currency: "EUR" },
        rope: 0.01,
      },
    });
    const create = (name: string) => call("POST", "/experiments", { spec: spec(name), by: "ann" });
    expect(await call("POST", "/experiments", { spec: {}, by: "ann" })).toMatchObject({
      status: 422,
      json: { code: "experiment-spec-invalid" },
    });
    // The policies may not be read yet.
    const made = await waitFor(
      async () => {
        const answer = await create("worth");
        return answer.status === 201 && answer;
      },
      { what: "the experiment" },
    );
    const { uid } = made.json as { uid: string };
    expect(await create("worth")).toMatchObject({ status: 409, json: { code: "experiment-conflict" } });
    expect(await create("another")).toMatchObject({ status: 409, json: { code: "rollout-conflict" } });
    expect(await call("POST", "/experiments/none/stop", { by: "ann" })).toMatchObject({ status: 404 });
    const stopped = await call("POST", `/experiments/${uid}/stop`, { by: "ann", why: "enough" });
    expect(stopped).toMatchObject({ status: 200, json: { uid, phase: "Stopped" } });
    expect((await call("GET", `/experiments/${uid}`)).json).toMatchObject({
      phase: "STOPPED",
      message: "stopped by ann: enough",
      devices: 80,
    });
    expect(await call("POST", `/experiments/${uid}/stop`, { by: "ann" })).toMatchObject({
      status: 422,
      json: { code: "experiment-command-refused" },
    });
    expect((await call("GET", "/experiments")).json.items).toHaveLength(1);
  });

  test("creates, shows and commands rollouts, and stops in order", async () => {
    const steps = [{ setWeight: 10 }, { pause: {} }, { analysis: { duration: "20s" } }, { setWeight: 100 }];
    const made = await call("POST", "/rollouts", { spec: written("edge@2", {}, steps), by: "ann" });
    expect(made.status).toBe(201);
    const { uid } = made.json as { uid: string };
    const paused = await waitFor(
      async () => {
        const { json } = await call("GET", `/rollouts/${uid}`);
        return json.phase === "PAUSED" && json;
      },
      { what: "its pause" },
    );
    expect(paused).toMatchObject({ updated: 8, modelDigest: digests.better, spec: { kind: "ModelRollout" } });
    expect(await call("POST", `/rollouts/${uid}/commands`, { command: "retry", by: "ann" })).toMatchObject({
      status: 422,
      json: { code: "rollout-command-refused" },
    });
    // A command of a caller that saw another step, or a repeated one, is rejected.
    expect(await call("POST", `/rollouts/${uid}/commands`, { command: "promote", by: "ann", step: 0 })).toMatchObject({
      status: 409,
      json: { code: "rollout-changed", detail: expect.stringContaining("step 2 is active, no longer step 1") },
    });
    expect((await call("POST", `/rollouts/${uid}/commands`, { command: "abort", by: "ann" })).status).toBe(200);
    await waitFor(async () => (await call("GET", `/rollouts/${uid}`)).json.isBack, { what: "its rollback" });
    expect((await call("GET", "/rollouts")).json.items).toHaveLength(1);
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
    expect(metrics).toMatch(/tributary_rollout_changes_total\{kind="aborted"\} 1/);
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });
});
