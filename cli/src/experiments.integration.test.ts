/** Experiments and their policies on the command line, through a real gateway on a real Kafka. rollout-manager is stood in for by a server that
 * speaks its HTTP and by records as it would write them. */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Experiment, type Topic, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { recordOfEvent } from "@tributary/rollouts";
import { type ExperimentChange, type ExperimentEvidence, readExperiment } from "@tributary/rollouts/experiment";
import {
  type SpawnedService,
  someExperiment,
  someExperimentEvidence,
  someModel,
  somePolicy,
  spawnProcess,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { parse } from "yaml";
import { runHere } from "./run.test-kit.ts";

const kafka = { ...testKafka(), clientId: "cli-experiments-test" };
const dir = tempDir("cli-experiments");
const sink = new KafkajsSink(kafka);
const inForce = somePolicy({ modelDigest: "cd".repeat(32) });
const text = `apiVersion: tributary.dev/v1
kind: Experiment
metadata: { name: cloud-or-not }
spec:
  arms:
    - { name: hybrid, policy: abababababab }
    - name: cloud-heavy
      policy: efefefefefef
  utility: { correct: 0.01, escalated: 0.002, late: 0.05, currency: EUR }
  rope: 0.0005
`;
const file = (name: string, content: string) => {
  writeFileSync(join(dir.path, name), content);
  return join(dir.path, name);
};
const spec = file("experiment.yaml", text);
const read = readExperiment(parse(text)).spec;
if (read === null) throw new Error("the specification of this test is wrong");
const evidence = someExperimentEvidence();
const [control, arm] = evidence.arms as [ExperimentEvidence["arms"][0], ExperimentEvidence["arms"][0]];
const comparison = arm.comparison as NonNullable<typeof arm.comparison>;
/** What reaches the stand-in, and what it refuses next. */
const asked: { url: string; body: object }[] = [];
let refusal: object | undefined;
let upstream: Server;
let gateway: SpawnedService;
let env: Record<string, string>;

const tributary = (...args: string[]) => runHere(args, env);
const put = <T>(topic: Topic<T>, key: string, value: T) =>
  sink.send([{ topic: topic.name, key, value: topic.codec.encodeConfluent(value) }]);
const stands = (change: Partial<Experiment>, seen: object = evidence) => {
  const own = { name: "cloud-or-not", modelDigest: inForce.modelDigest, spec: text };
  const record = someExperiment({ ...own, evidence: JSON.stringify(seen), ...change });
  return put(topics.experiments, record.uid, record);
};
const happens = (version: number, change: ExperimentChange) =>
  put(topics.rolloutEvents, "e-1", recordOfEvent({ uid: "e-1", version, at: 1_767_225_600_000, by: "ann", change }));
const status = async (...more: string[]) => (await tributary("experiment", "status", "e-1", ...more)).stdout;
/** Of the only row that starts with the word. */
const rowOf = (output: string, word: string, which = 0) =>
  output.split("\n").filter((line) => line.startsWith(`${word} `))[which]?.split(/ {2,}/); // biome-ignore format: one line

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  upstream = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    asked.push({ url: request.url ?? "", body: JSON.parse(body) });
    const code = refusal !== undefined ? 422 : request.url === "/experiments" ? 201 : 200;
    response.writeHead(code, { "content-type": `application/${refusal === undefined ? "" : "problem+"}json` });
    response.end(JSON.stringify(refusal ?? { uid: "e-9" }));
    refusal = undefined;
  });
  await new Promise<void>((done) => upstream.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  gateway = await spawnService({
    ...{ name: "gateway", main: "services/gateway/dist/main.js", dir: dir.path },
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      rolloutManager: { url },
    },
  });
  env = { TRIBUTARY_GATEWAY: `http://127.0.0.1:${gateway.ports.http}` };
  await put(topics.models, "edge/2", someModel());
  await put(topics.policies, `${inForce.modelDigest}|default`, inForce);
  const stopped = { phase: "STOPPED", message: "stopped by ann: wrong fleet", createdAt: 1e12 } as const;
  await stands({ ...stopped, uid: "e-0" }, {});
  await happens(1, {
    ...{ kind: "experiment-created", spec: read, order: ["d0", "d1"], modelDigest: inForce.modelDigest },
    arms: [control, arm].map(({ policyVersion }) => ({ policyVersion, devices: 1 })),
    ...{ cloudTarget: "default", deadlineMs: 500 },
  });
  await stands({ message: evidence.why });
  await waitFor(async () => (await tributary("experiment", "list", "-o", "name")).text === "e-1\ne-0", {
    what: "both",
  });
  await waitFor(async () => (await tributary("get", "policies", "-o", "name")).text !== "", { what: "the policy" });
});

afterAll(async () => {
  upstream.close().closeAllConnections();
  await gateway.stop();
  await sink.close();
  dir.remove();
});

describe("experiment create", () => {
  test("hands the specification on, as it was written, with a name", async () => {
    asked.length = 0;
    const made = await tributary("experiment", "create", "-f", spec);
    expect(made.stdout).toBe("Experiment cloud-or-not starts: e-9\nWatch it: tributary experiment status e-9 -w\n");
    expect(asked).toEqual([{ url: "/experiments", body: { spec: parse(text), by: "ada" } }]);
    expect((await tributary("experiment", "create", "-f", spec, "-o", "name")).stdout).toBe("e-9\n");
  });

  test("starts nothing when the file is wrong, and finds the line that the server refuses", async () => {
    asked.length = 0;
    const wrong = file("wrong.yaml", text.replace("rope: 0.0005", "rope: 5"));
    const refusedHere = await tributary("experiment", "create", "-f", wrong);
    expect(refusedHere).toMatchObject({
      code: 1,
      text: expect.stringMatching(/no experiment was started.\n.*:10:9: spec\.rope: /),
    });
    expect(asked).toEqual([]);
    refusal = {
      ...{ code: "experiment-spec-invalid", detail: "1 problem", advice: "ask-a-person" },
      problems: [{ path: ["spec", "arms", 1, "policy"], message: "no policy has this version" }],
    };
    const refused = await tributary("experiment", "create", "-f", spec);
    expect(refused.code).toBe(1);
    expect(refused.text).toContain(`${spec}:8:15: spec.arms[1].policy: no policy has this version`);
    refusal = { code: "experiment-conflict", detail: "rollout other is still active on d1", advice: "ask-a-person" };
    expect(await tributary("experiment", "create", "-f", spec)).toMatchObject({
      code: 1,
      text: expect.stringContaining("still active on d1 (experiment-conflict)"),
    });
  });
});

describe("an experiment", () => {
  test("is listed; of a shared name the newest is meant, and a note names the others", async () => {
    const listed = (await tributary("experiment", "list", "--no-color")).stdout.split("\n");
    expect(listed[0]).toMatch(/^NAME +PHASE +MODEL +TARGET +DEVICES +REVIEW +AGE$/);
    expect(listed[1]).toMatch(/^cloud-or-not +◌ Running +edge 2 +default +300 +- /);
    expect((await tributary("experiments", "list", "--phase", "Stopped", "-o", "name")).stdout).toBe("e-0\n");
    const { text: both, stdout } = await tributary("experiment", "status", "cloud-or-not");
    expect(both).toMatch(
      /2 experiments are named cloud-or-not; this is the newest, e-1\. Others, by uid:\n {2}e-0 of 2001/,
    );
    expect(stdout).not.toContain("e-0");
    const json = JSON.parse(await status("-o", "json"));
    expect(json).toMatchObject({ uid: "e-1", evidence: { why: evidence.why }, model: { name: "edge" } });
    expect(await tributary("experiment", "status", "none")).toMatchObject({ code: 3 });
    expect((await tributary("experiment", "status", "e-0")).stdout).toContain("Nothing was measured yet.");
  });

  test("is shown with what each arm is worth, how far the evidence is, and what is missing", async () => {
    const shown = await status();
    expect(shown).toMatch(/^Why +cloud-heavy is worth more so far, but not surely$/m);
    expect(shown).toContain("a right answer 0.01 EUR, a call -0.002, a late answer -0.05; the same within 0.0005");
    expect(rowOf(shown, "ARM")).toEqual([
      ...["ARM", "POLICY", "DEVICES", "ON POLICY", "REPORTING", "FRAMES", "LABELLED", "ACCURACY", "ESCALATED"],
      ...["LATE", "P99", "WORTH OF 1000 (EUR)", "MORE THAN THE CONTROL"],
    ]);
    expect(rowOf(shown, "hybrid")).toEqual([
      ...["hybrid", "abababababab", "150", "149", "148", "90000", "900", "88.0 %", "10.0 %"],
      ...["0.3 %", "310 ms", "8.50", "-"],
    ]);
    expect(rowOf(shown, "cloud-heavy")?.slice(-2)).toEqual(["8.90", "0.40 (-0.20 to 1.00)"]);
    const progress = ["2.1 of 3.7", "1.4 of 3.7", "0.0 of 3.7", "0.0 of 3.7", "0.0 of 3.7"];
    expect(rowOf(shown, "cloud-heavy", 1)).toEqual(["cloud-heavy", "undecided", ...progress]);
    expect(shown).toMatch(/^Verdict +no verdict yet$/m);
    expect(shown).toMatch(
      /^cloud-heavy: worth 0\.4 EUR more .* not yet shown: about 4 h more, or 1\.5 times the devices\.$/m,
    );
    expect(shown).not.toContain("Warning");
  });

  test("warns of silent devices, and of frames that another policy decided; no bound is no band", async () => {
    const sampleRatio = { log: 6.2, logNeeded: 4.6, isMismatch: true };
    const early = { ...comparison, gain: { estimate: 0.0004, band: null } };
    const unlabelled = { ...control, rates: { ...control.rates, correct: null }, utility: null };
    const arms = [unlabelled, { ...arm, comparison: early, elsewhere: ["d7", "d8"] }];
    await stands({ version: 1n, message: "look" }, { ...evidence, sampleRatio, arms });
    await waitFor(async () => (await status()).includes("look"), { what: "the next look" });
    const shown = await status();
    expect(shown).toMatch(/Warning: Sample-ratio mismatch \(ln e 6\.2, alarm at 4\.6\): .* so no verdict is taken/);
    expect(shown).toContain("Warning: Frames of cloud-heavy name another arm or another policy: d7, d8.");
    expect(rowOf(shown, "cloud-heavy")?.at(-1)).toBe("0.40 (no bound yet)");
    expect(rowOf(shown, "hybrid")?.slice(7)).toEqual(["-", "10.0 %", "0.3 %", "310 ms", "-", "-"]);
  });

  test("is stopped with a reason; a refusal is reported", async () => {
    asked.length = 0;
    const stopped = await tributary("experiment", "stop", "e-1", "--why", "another target");
    expect(stopped).toMatchObject({ code: 0, stdout: expect.stringContaining("cloud-or-not is stopped") });
    expect((await tributary("experiment", "stop", "e-1")).code).toBe(0);
    expect(asked).toEqual([
      { url: "/experiments/e-1/stop", body: { by: "ada", why: "another target" } },
      { url: "/experiments/e-1/stop", body: { by: "ada" } },
    ]);
    refusal = { code: "experiment-command-refused", detail: "it is Decided", advice: "give-up" };
    expect(await tributary("experiment", "stop", "e-1")).toMatchObject({
      code: 1,
      text: expect.stringContaining("it is Decided (experiment-command-refused)"),
    });
  });

  test("is watched until it ends; then it shows what would flip it, and has a history and a report", async () => {
    const args = ["experiment", "status", "cloud-or-not", "-w", "--every", "0.2", "--exit-code"];
    const watch = spawnProcess({ name: "cli", main: "cli/dist/main.js", args, env });
    await waitFor(() => watch.lines().some((line) => line.includes("◌ Running")), { what: "the first look" });
    const why = "cloud-heavy is worth .4 EUR more";
    const flipsAt = { correct: 0.00714, escalated: null, late: 0.4 };
    const decided = { ...comparison, verdict: "adopt" as const, missing: null, flipsAt };
    const arms = [control, { ...arm, comparison: decided }];
    const seen = { ...evidence, arms, why };
    await happens(2, { kind: "experiment-decided", verdict: "adopt", winner: "cloud-heavy", why, evidence: seen });
    const adopted = { phase: "DECIDED", verdict: "ADOPT", winner: "cloud-heavy" } as const;
    const reviewAt = Date.now() + 90 * 86_400_000;
    await stands({ ...adopted, version: 2n, message: why, rollout: "r-7", reviewAt, changedAt: Date.now() }, seen);
    expect((await watch.exited).code).toBe(0);
    const shown = await status();
    expect(shown).toMatch(/^Status +✔ Decided: adopt cloud-heavy$/m);
    expect(shown).toMatch(/^Rollout +tributary rollout status r-7$/m);
    expect(shown).toMatch(/^Review +due 20.* new version of edge$/m);
    expect(shown).toMatch(/^Verdict +adopt cloud-heavy: worth 0\.4 EUR more per 1,000 frames/m);
    expect(shown).toMatch(
      /^What would flip it: cloud-heavy is worth as much as hybrid if .* 0\.00714 EUR .*, or if .* 0\.4 EUR/m,
    );

    const history = await tributary("experiment", "history", "e-1");
    expect(history.stdout).toMatch(
      /^1 +2026-01-01T00:00:00.000Z +ann +created with 2 devices: 1 in hybrid, 1 in cloud-heavy$/m,
    );
    expect(history.stdout).toMatch(/^2 .* decided: adopt cloud-heavy: cloud-heavy is worth \.4 EUR more$/m);
    expect(JSON.parse((await tributary("experiment", "history", "e-1", "-o", "json")).stdout)).toHaveLength(2);
    const page = join(dir.path, "report.html");
    expect(await tributary("experiment", "report", "e-1", "-o", page)).toMatchObject({ code: 0 });
    expect(readFileSync(page, "utf8")).toMatch(/^<!doctype html>[\s\S]*cloud-or-not/);
    expect((await tributary("experiments", "report", "e-1")).stdout).toMatch(/^<!doctype html>/);
  });

  test("that ended without a verdict is reported by the exit code, with --exit-code", async () => {
    const held = {
      uid: "e-2",
      name: "held",
      phase: "DECIDED",
      verdict: "HOLD",
      message: "undecided after 6d",
    } as const;
    await stands({ ...held, reviewAt: 1e12 });
    await waitFor(async () => (await tributary("experiment", "list", "--name", "held", "-o", "name")).text === "e-2", {
      what: "the held one",
    });
    expect((await tributary("experiment", "list", "--name", "held")).stdout).toMatch(/॥ Decided: hold .* due /);
    expect((await tributary("experiment", "status", "held")).code).toBe(0);
    const result = await tributary("experiment", "status", "held", "--exit-code");
    expect(result).toMatchObject({ code: 6, text: expect.stringContaining("is Decided: hold: undecided after 6d") });
    expect((await tributary("experiment", "status", "e-0", "--exit-code")).code).toBe(6);
  });
});

describe("policy push", () => {
  test("stores a policy for a version of a model, which is listed and described by its version", async () => {
    const policy = file("stricter.json", JSON.stringify({ ...inForce, scoreMin: 0.4 }));
    const pushed = await tributary("policy", "push", "-f", policy, "--model", "edge@2");
    const [, version = ""] = /^Policy ([0-9a-f]{64}) for edge@2 is stored/.exec(pushed.stdout) ?? [];
    expect(pushed).toMatchObject({ code: 0, stdout: expect.stringContaining(`policy: ${version.slice(0, 12)} }`) });
    const digest = await tributary("policy", "push", "-f", policy, "--model", inForce.modelDigest, "-o", "name");
    expect(digest.stdout).toBe(`${version}\n`);
    const listed = (await tributary("get", "policies", "--versions")).stdout;
    expect(listed.split("\n")[0]).toMatch(/^MODEL .* IN FORCE$/);
    expect(listed).toMatch(new RegExp(`^cdcdcdcdcdcd +default +${version.slice(0, 12)} +0.4 .* no$`, "m"));
    expect(listed).toMatch(/^cdcdcdcdcdcd +default +abababababab +0.2 .* yes$/m);
    expect((await tributary("get", "policies", "-o", "name")).stdout).toBe(`${inForce.modelDigest}|default\n`);
    const described = await tributary("describe", "policy", version.slice(0, 8), "-o", "json");
    expect(JSON.parse(described.stdout)).toMatchObject({ policyVersion: version, inForce: false });
    expect(await tributary("describe", "policy", "77")).toMatchObject({ code: 3 });
  });

  test("is refused with the reason: no JSON, no such model, or what the gateway finds", async () => {
    const push = (name: string, content: string, model = "edge@2") =>
      tributary("policy", "push", "-f", file(name, content), "--model", model);
    expect(await push("text.json", "scoreMin: 1")).toMatchObject({
      code: 1,
      text: expect.stringContaining("no JSON object"),
    });
    expect(await push("fine.json", "{}", "edge@9")).toMatchObject({
      code: 3,
      text: expect.stringContaining("edge has 2"),
    });
    expect(await push("empty.json", "{}")).toMatchObject({
      code: 1,
      text: expect.stringContaining("(policy-invalid)"),
    });
    expect(await tributary("policy", "push", "-f", join(dir.path, "none"), "--model", "edge@2")).toMatchObject({
      code: 2,
    });
  });
});
