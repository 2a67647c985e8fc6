/** Rollouts on the command line, through a real gateway on a real Kafka. rollout-manager is stood in for by a server that
 * speaks its HTTP and by records as it would write them. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Rollout, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { type RolloutChange, recordOfEvent, rolloutSpec, writtenSpec } from "@tributary/rollouts";
import {
  type SpawnedService,
  someReported,
  someRollout,
  spawnProcess,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { parse } from "yaml";
import { runHere } from "./run.test-kit.ts";

const kafka = { ...testKafka(), clientId: "cli-rollouts-test" };
const dir = tempDir("cli-rollouts");
const sink = new KafkajsSink(kafka);
const example = fileURLToPath(new URL("../../examples/rollouts/canary.yaml", import.meta.url));
const text = readFileSync(example, "utf8");
const spec = rolloutSpec.parse(parse(text));
const order = Array.from({ length: 160 }, (_, i) => `cam-${i}`);
const evidence = {
  format: "tributary.analysis/1",
  startedAtMs: 1_767_225_900_000,
  sinceMs: 600_000,
  burnInMs: 180_000,
  why: "worse in accuracy",
  control: { devices: 32, heard: 32, onModel: 32 },
  canary: { devices: 8, heard: 8, onModel: 8 },
  metrics: [],
  looks: [],
};
/** What reaches the stand-in, and what it refuses next. */
const asked: { url: string; body: { by: string; command?: string; spec?: unknown } }[] = [];
let refusal: object | undefined;
let upstream: Server;
let gateway: SpawnedService;
let env: Record<string, string>;

const tributary = (...args: string[]) => runHere(args, env);
const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);
const stands = (uid: string, change: Partial<Rollout>) =>
  put(
    topics.rollouts,
    uid,
    someRollout({ uid, name: "edge-canary", steps: 6, spec: JSON.stringify(writtenSpec(spec)), ...change }),
  );
let versions = 0;
const happens = (uid: string, change: RolloutChange) =>
  put(topics.rolloutEvents, uid, recordOfEvent({ uid, version: ++versions, at: 1_767_225_600_000, by: "ann", change }));

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  upstream = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    asked.push({ url: request.url ?? "", body: JSON.parse(body) });
    const status = refusal !== undefined ? 422 : request.url === "/rollouts" ? 201 : 200;
    response.writeHead(status, { "content-type": `application/${refusal === undefined ? "" : "problem+"}json` });
    response.end(JSON.stringify(refusal ?? { uid: "r-9" }));
    refusal = undefined;
  });
  await new Promise<void>((done) => upstream.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  gateway = await spawnService({
    name: "gateway",
    main: "services/gateway/dist/main.js",
    dir: dir.path,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      rolloutManager: { url },
    },
  });
  env = { TRIBUTARY_GATEWAY: `http://127.0.0.1:${gateway.ports.http}` };
  await stands("r-0", { phase: "DEGRADED", isBack: true, message: "aborted by ann", createdAt: 1e12 });
  const digests = { modelDigest: "cd".repeat(32), stableDigest: "ab".repeat(32) };
  await happens("r-1", { kind: "created", spec, order, ...digests });
  await happens("r-1", { kind: "step-started", step: 0 });
  const perception = { modelDigest: "cd".repeat(32), modelName: "edge", modelVersion: "2" };
  for (const deviceId of order.slice(0, 8)) {
    const update = {
      slot: "perception",
      modelDigest: "cd".repeat(32),
      code: "",
      reason: "",
      bytesDone: 1n,
      bytesAll: 1n,
    };
    const committed = { ...update, generation: 2n, phase: "COMMITTED" as const };
    await put(topics.reported, deviceId, someReported({ deviceId, slots: { perception }, update: committed }));
  }
  await stands("r-1", { version: 2n, weight: 5, reached: 8, updated: 8 });
  await waitFor(async () => (await tributary("rollout", "list", "-o", "name")).text === "r-1\nr-0", { what: "both" });
});

afterAll(async () => {
  upstream.close().closeAllConnections();
  await gateway.stop();
  await sink.close();
  dir.remove();
});

/** Of the example. */
const lineOf = (words: string) => 1 + text.split("\n").findIndex((line) => line.includes(words));

describe("rollout lint", () => {
  test("accepts the example, and reports errors as compilers do, without a gateway", async () => {
    const alone = { TRIBUTARY_GATEWAY: "http://127.0.0.1:9" };
    expect(await runHere(["rollout", "lint", example], alone)).toMatchObject({
      code: 0,
      stdout: `${example} is fine: edge-canary, 6 steps.\n`,
    });
    const file = join(dir.path, "wrong.yaml");
    writeFileSync(file, text.replace("setWeight: 25", "setWieght: 25").replace("when: idle", "when: never"));
    const [step, when] = [lineOf("setWeight: 25"), lineOf("when: idle")];
    const wrong = await runHere(["rollout", "lint", file], alone);
    expect(wrong.code).toBe(1);
    expect(wrong.stdout.split("\n")).toEqual([
      `${file}:${step}:11: spec.strategy.canary.steps[3].setWieght: unknown field; did you mean setWeight?`,
      `${file}:${when}:9: spec.when: "never" is not known; write any, idle or parked`,
      "",
    ]);
    const json = JSON.parse((await runHere(["rollout", "lint", file, "-o", "json"], alone)).stdout);
    expect(json.problems).toMatchObject([
      { line: step, column: 11 },
      { line: when, field: "spec.when" },
    ]);
    expect(await runHere(["rollout", "lint", join(dir.path, "none.yaml")], alone)).toMatchObject({ code: 2 });
  });
});

describe("rollout create", () => {
  test("hands the specification on, as it was written, with a name", async () => {
    asked.length = 0;
    const made = await tributary("rollout", "create", "-f", example);
    expect(made).toMatchObject({ code: 0, stdout: expect.stringContaining("edge-canary starts: r-9") });
    expect(asked).toEqual([{ url: "/rollouts", body: { spec: parse(text), by: "ada" } }]);
    expect((await tributary("rollout", "create", "-f", example, "-o", "name")).stdout).toBe("r-9\n");
    const piped = spawnProcess({ name: "cli", main: "cli/dist/main.js", args: ["rollout", "create", "-f", "-"], env });
    expect((await piped.exited).code).toBe(1); // nothing on stdin
    expect(piped.lines().join("\n")).toContain("-:1:1: is empty");
  });

  test("starts nothing when the file is wrong, and finds the line that the server refuses", async () => {
    asked.length = 0;
    const file = join(dir.path, "narrow.yaml");
    writeFileSync(file, text.replace("setWeight: 100", "setWeight: 20"));
    const narrow = await tributary("rollout", "create", "-f", file);
    const widens = new RegExp(`narrow\\.yaml:${lineOf("setWeight: 100")}:11: .*does not widen 25`);
    expect(narrow).toMatchObject({ code: 1, text: expect.stringMatching(widens) });
    expect(asked).toEqual([]);
    refusal = {
      ...{
        code: "arms-too-small",
        detail: "the canary has 2 devices: 8 would do",
        advice: "ask-a-person",
        status: 422,
      },
      problems: [{ path: ["spec", "strategy", "canary", "steps", 0, "setWeight"], message: "2 devices; 8 would do" }],
    };
    const refused = await tributary("rollout", "create", "-f", example);
    expect(refused.code).toBe(1);
    const weight = lineOf("setWeight: 5 ");
    expect(refused.text).toContain(
      `${example}:${weight}:22: spec.strategy.canary.steps[0].setWeight: 2 devices; 8 would do`,
    );
    refusal = { code: "rollout-conflict", detail: "rollout other is still active on cam-1", advice: "ask-a-person" };
    expect(await tributary("rollout", "create", "-f", example)).toMatchObject({
      code: 1,
      text: expect.stringContaining("still active on cam-1 (rollout-conflict)"),
    });
  });
});

describe("a rollout", () => {
  test("is listed and shown as a tree; of a shared name the newest is meant, and a note names the others", async () => {
    const listed = (await tributary("rollout", "list", "--no-color")).stdout.split("\n");
    expect(listed[0]).toMatch(/^NAME +PHASE +MODEL +STEP +WEIGHT +ANALYSIS +UPDATED +AGE$/);
    expect(listed[1]).toMatch(/^edge-canary +◌ Progressing +edge 2 +0\/6 +5 +Pending +8\/8 /);
    expect(listed[2]).toMatch(/^edge-canary +✖ Degraded, rolled back /);
    const { code, text, stdout } = await tributary("rollout", "status", "edge-canary");
    expect(code).toBe(0);
    expect(text).toMatch(
      /2 rollouts are named edge-canary; this is the newest, r-1\. Others, by uid:\n {2}r-0 of 2001/,
    );
    expect(stdout).not.toContain("r-0");
    expect(stdout).toMatch(/└──6 set weight 100 %/);
    expect(stdout).toMatch(/Σ canary edge 2 +Arm +✔ 8 of 8 run it +8 devices, 8 COMMITTED/);
    expect(stdout).toMatch(/□ cam-7 +Device +✔ COMMITTED +\d+s +runs the model/);
    const json = JSON.parse((await tributary("rollouts", "status", "r-1", "-o", "json")).stdout);
    expect(json).toMatchObject({ uid: "r-1", phase: "Progressing", spec: { metadata: { name: "edge-canary" } } });
    expect(await tributary("rollout", "status", "none")).toMatchObject({ code: 3 });
  });

  test("reports by its exit code that it is degraded, with --exit-code", async () => {
    expect((await tributary("rollout", "status", "r-0")).code).toBe(0);
    const result = await tributary("rollout", "status", "r-0", "--exit-code");
    expect(result).toMatchObject({ code: 6, text: expect.stringContaining("Degraded, rolled back: aborted by ann") });
    expect((await tributary("rollout", "status", "r-1", "--exit-code")).code).toBe(0);
  });

  test.each([
    [["pause"], "pause"],
    [["resume"], "resume"],
    [["promote"], "promote"],
    [["promote", "--full"], "promote-full"],
    [["abort"], "abort"],
    [["retry"], "retry"],
    [["undo"], "undo"],
  ])("takes %j", async (words, command) => {
    asked.length = 0;
    const [word = "", ...rest] = words;
    expect(await tributary("rollout", word, "r-1", ...rest)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`edge-canary: ${command} was accepted`),
    });
    // These two mean the step that was seen.
    const step = ["promote", "resume"].includes(command) ? { step: 0 } : {};
    expect(asked).toEqual([{ url: "/rollouts/r-1/commands", body: { command, by: "ada", ...step } }]);
  });

  test("reports why a command is refused", async () => {
    refusal = {
      code: "rollout-command-refused",
      detail: "retry: rollout edge-canary is Progressing",
      advice: "give-up",
    };
    expect(await tributary("rollout", "retry", "r-1")).toMatchObject({
      code: 1,
      text: expect.stringContaining("edge-canary is Progressing (rollout-command-refused)"),
    });
  });

  test("is watched until it ends; its history and its report have the reason", async () => {
    const args = ["rollout", "status", "edge-canary", "-w", "--every", "0.2", "--exit-code"];
    const watch = spawnProcess({ name: "cli", main: "cli/dist/main.js", args, env });
    await waitFor(() => watch.lines().some((line) => line.includes("◌ Progressing")), { what: "the first look" });
    await happens("r-1", { kind: "step-finished", step: 0, evidence: { reached: 8, updated: 8 } });
    await happens("r-1", { kind: "step-started", step: 2 });
    await happens("r-1", { kind: "analysed", step: 2, verdict: "Failed", evidence });
    await happens("r-1", { kind: "aborted", why: "the analysis failed", evidence });
    const bad = {
      version: 6n,
      step: 2,
      phase: "DEGRADED" as const,
      analysis: "FAILED" as const,
      weight: 5,
      reached: 0,
    };
    await stands("r-1", { ...bad, message: "the analysis failed" });
    await waitFor(() => watch.lines().some((line) => line.includes("Degraded, rolling back")), {
      what: "the rollback",
    });
    expect(watch.alive()).toBe(true);
    await happens("r-1", { kind: "rolled-back", evidence: { onModel: 0 } });
    await stands("r-1", { ...bad, version: 7n, isBack: true, message: "the analysis failed" });
    expect((await watch.exited).code).toBe(6);
    const shown = watch.lines().join("\n");
    expect(shown).toMatch(/3 analysis, at most 6h +Analysis +✖ Failed .*worse in accuracy/);
    expect(shown.match(/^Name:/gm)?.length).toBeLessThanOrEqual(6); // what did not change is not written again

    const history = await tributary("rollout", "history", "r-1", "-o", "wide");
    expect(history.stdout).toMatch(/^2 +2026-01-01T00:00:00.000Z +ann +step 1\/6 starts: set weight 5 %/m);
    expect(history.stdout).toMatch(/the analysis of step 3\/6 ends Failed +worse in accuracy/);
    expect(JSON.parse((await tributary("rollout", "history", "r-1", "-o", "json")).stdout)).toHaveLength(7);

    const file = join(dir.path, "report.html");
    expect(await tributary("rollout", "report", "r-1", "-o", file)).toMatchObject({ code: 0 });
    expect(readFileSync(file, "utf8")).toContain("Rolled back: the analysis failed: worse in accuracy.");
    const { TRIBUTARY_GATEWAY: url = "" } = env;
    for (const words of [
      ["rollout", "--gateway", url, "report"],
      ["--no-color", "rollouts", `--gateway=${url}`, "report"],
    ]) {
      rmSync(file);
      expect(await tributary(...words, "r-1", "-o", file)).toMatchObject({ code: 0 });
      expect(readFileSync(file, "utf8")).toMatch(/^<!doctype html>/);
    }
    expect((await tributary("rollout", "report", "r-1")).stdout).toMatch(/^<!doctype html>/);
    const nowhere = await tributary("rollout", "report", "r-1", "-o", join(dir.path, "no", "where.html"));
    expect(nowhere).toMatchObject({ code: 1, text: expect.stringContaining("Cannot write ") });
  });
});

test("a truncated list is marked as such; all devices of a canary are examined", async () => {
  for (let i = 0; i < 101; i++) await stands(`m-${i}`, { name: "many", createdAt: 1e12 + i });
  const many = (...more: string[]) => tributary("rollout", "list", "--name", "many", ...more);
  const older = /Only the newest 100 are shown: filter with --name/;
  await waitFor(async () => older.test((await many()).stdout), { what: "the 101st" });
  const names = await many("-o", "name");
  expect(names.stdout.split("\n").filter(Boolean)).toHaveLength(100);
  expect(names.stdout).toMatch(/^m-100\n/);
  expect(names.text).toMatch(older);
  expect((await tributary("rollout", "list", "--name", "edge-canary")).text).not.toMatch(/older/);

  // The last to be reached is the one in trouble.
  const fleet = Array.from({ length: 1_200 }, (_, i) => `wide-${i}`);
  const digests = { modelDigest: "cd".repeat(32), stableDigest: "ab".repeat(32) };
  const canary = { ...spec.spec.strategy.canary, steps: [{ setWeight: 90 }, { setWeight: 100 }] };
  const wide = { ...spec, spec: { ...spec.spec, strategy: { canary } } };
  versions = 0;
  await happens("w-1", { kind: "created", spec: wide, order: fleet, ...digests });
  await happens("w-1", { kind: "step-started", step: 0 });
  const update = { slot: "perception", modelDigest: "cd".repeat(32), code: "too-slow", reason: "60 ms" };
  const refused = { ...update, generation: 2n, phase: "REFUSED" as const, bytesDone: 0n, bytesAll: 1n };
  await put(topics.reported, "wide-1079", someReported({ deviceId: "wide-1079", update: refused }));
  await stands("w-1", {
    name: "wide",
    version: 2n,
    weight: 90,
    reached: 1_080,
    spec: JSON.stringify(writtenSpec(wide)),
  });
  const status = async () => (await tributary("rollout", "status", "w-1")).stdout;
  await waitFor(async () => (await status()).includes("wide-1079"), { what: "the last device" });
});
