/** The command with a kubectl that answers from a table: which calls it makes, and what becomes of each answer. */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { runHere } from "../../run.test-kit.ts";
import { deploymentJson, jobJson, notReady, podJson } from "./release.test-kit.ts";

const dir = tempDir("kubectl");
const path = process.env.PATH ?? "";
const calls = join(dir.path, "calls");
afterAll(() => dir.remove());
const doctor = (...options: readonly string[]) =>
  runHere(["doctor", "--cluster", ...options], { PATH: `${dir.path}:${path}` });

/** A kubectl: by the words of its call what it prints, or the error on its standard error; of its proxy, the answers. */
const KUBECTL = `#!/usr/bin/env node
const { appendFileSync, readFileSync } = require("node:fs");
const args = process.argv.slice(2);
appendFileSync(${JSON.stringify(calls)}, args.join(" ") + "\\n");
const { prints, proxied } = JSON.parse(readFileSync(${JSON.stringify(join(dir.path, "answers.json"))}, "utf8"));
const socket = args.find((arg) => arg.startsWith("--unix-socket="));
if (socket) {
  require("node:http").createServer((request, response) => {
    const [status, body] = proxied[request.url] ?? [403, { kind: "Status", status: "Failure", message: "pods/proxy is forbidden" }];
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }).listen(socket.slice("--unix-socket=".length), () => console.log("Starting to serve on a socket"));
} else {
  const [, answer] = Object.entries(prints).find(([words]) => args.join(" ").includes(words)) ?? [];
  if (typeof answer === "object") process.stdout.write(JSON.stringify({ kind: "List", items: answer }));
  else if (answer?.startsWith("!")) { console.error(answer.slice(1)); process.exitCode = 1; }
  else process.stdout.write(answer ?? JSON.stringify({ kind: "List", items: [] }));
}
`;

const crashing = podJson(
  "gateway-1",
  "gateway",
  notReady("gateway", { waiting: { reason: "CrashLoopBackOff" } }, { lastState: { terminated: { exitCode: 1 } } }),
);
const prints: Record<string, unknown> = {
  "get pods": [
    podJson("router-1", "router", notReady("router", { running: {} })),
    podJson("router-2", "router"),
    crashing,
  ],
  "get deployments": [
    deploymentJson("router", 2, 1),
    deploymentJson("gateway", 1, 0),
    deploymentJson("drift-monitor", 1, 0),
  ],
  "get jobs": [jobJson({ conditions: [{ type: "Complete", status: "True" }] })],
  "get nodes": '!Error from server (Forbidden): nodes is forbidden: User "dev" cannot list resource "nodes"',
  "logs gateway-1": '{"level":"fatal","msg":"kafka:9092 cannot be reached"}\n',
};
const at = (pod: string) => `/api/v1/namespaces/tributary/pods/${pod}:8080/proxy/health/ready`;
const proxied: Record<string, unknown> = {
  [at("router-1")]: [503, { status: "starting", problems: { partitions: "none is held" } }],
  [at("router-2")]: [200, { status: "ready" }],
};

function kubectlAnswers(answers: { readonly prints: Record<string, unknown>; readonly proxied?: object }): void {
  writeFileSync(join(dir.path, "answers.json"), JSON.stringify({ proxied: {}, ...answers }));
}

beforeEach(() => {
  writeFileSync(join(dir.path, "kubectl"), KUBECTL);
  chmodSync(join(dir.path, "kubectl"), 0o755);
  writeFileSync(calls, "");
  kubectlAnswers({ prints, proxied });
});

test("faults are listed with their cause and repair, and what may not be read is skipped", async () => {
  const { code, stdout } = await doctor("--context", "site-a", "-o", "json");
  expect(code).toBe(1);
  const findings = JSON.parse(stdout) as { check: string; state: string; detail: string; advice: string }[];
  const found = new Map(findings.map(({ check, state, detail }) => [check, `${state}: ${detail}`]));
  expect(found.get("pod router-1")).toBe("failed: runs, but is not ready: partitions: none is held");
  expect(found.get("pod gateway-1")).toContain("exit code 1: kafka:9092 cannot be reached");
  expect(found.get("deployment drift-monitor")).toBe("failed: 0 of 1 replicas are ready");
  expect(found.get("nodes")).toContain(
    'skipped: kubectl: Error from server (Forbidden): nodes is forbidden: User "dev"',
  );
  expect(found.get("jobs")).toBe("ok: 1, none failed");
  expect(found.get("health")).toBe("ok: 1 services answer that they are ready");
  expect(found.get("volume space")).toContain("pods/proxy is forbidden");

  const advice = findings.find(({ check }) => check === "pod gateway-1")?.advice;
  expect(advice).toContain("kubectl -n tributary logs gateway-1 -c gateway --previous");

  const made = readFileSync(calls, "utf8").trim().split("\n");
  for (const call of made) {
    expect(call).toMatch(/^--namespace=tributary --context=site-a (--request-timeout=15s (get|logs)|proxy) /);
    expect(call).not.toMatch(/secrets/);
  }
});

test("pods that may not be asked are judged by the kubelet alone", async () => {
  kubectlAnswers({ prints });
  const { stdout } = await doctor("-o", "json");
  const findings = JSON.parse(stdout) as { check: string; detail: string }[];
  expect(findings.find(({ check }) => check === "pod router-1")?.detail).toContain("its readiness probe");
  expect(findings.find(({ check }) => check.startsWith("health"))).toMatchObject({
    check: "health",
    state: "skipped",
    detail: "no service could be asked: pods/proxy is forbidden",
  });
});

test("a cluster that refuses, is away or prints nonsense is an error in kubectl's words", async () => {
  kubectlAnswers({ prints: { "get pods": "!Error from server (Forbidden): pods is forbidden" } });
  expect(await doctor()).toMatchObject({
    code: 1,
    text: expect.stringContaining("pods is forbidden"),
  });
  kubectlAnswers({ prints: { "get pods": '!error: context "site-a" does not exist' } });
  expect(await doctor()).toMatchObject({ code: 4, text: expect.stringContaining("site-a") });
  kubectlAnswers({ prints: { "get pods": "<html>" } });
  expect(await doctor()).toMatchObject({ code: 1, text: expect.not.stringContaining("bug") });
});

test("without kubectl the error names what to install", async () => {
  const { code, text } = await runHere(["doctor", "--cluster"], { PATH: "/nowhere" });
  expect([code, text]).toEqual([4, expect.stringContaining("kubectl was not found: install it")]);
});

test("options of the other checks do not go with it", async () => {
  expect(await doctor("--bundle", "x.tar.gz")).toMatchObject({ code: 2 });
});
