/** A cloud that misbehaves in every way while a fleet runs: each fault is reported and counted, every frame has one answer,
 * and the cloud answers the next valid request. */
import { readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  accountOf,
  cloudPackage,
  edgePackage,
  metricsOf,
  type Stack,
  startStack,
  untilAnswered,
  verify,
} from "@tributary/stack";
import { tempDir, testKafka } from "@tributary/testing";
import { writeVariant } from "@tributary/testing/devices";

const FRAMES = 600;
/** Longer than a call waits behind the hung one: a router that sees late answers asks for less, and some ways would not be met. */
const DEADLINE_MS = 20_000;
const CALL_MS_MAX = 1_000;
const parsed = JSON.parse(readFileSync(join(cloudPackage, "labels.json"), "utf8")) as string[] | { labels: string[] };
const labels = Array.isArray(parsed) ? parsed : parsed.labels;
const good = { probabilities: [labels.map((_, i) => (i === 0 ? 0.91 : 0.09 / (labels.length - 1)))] };

const json = (body: unknown) => (response: ServerResponse) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
};
const status =
  (code: number, name: string, more: object = {}, headers: Record<string, string> = {}) =>
  (response: ServerResponse) => {
    response.writeHead(code, { "content-type": "application/json", "x-amzn-errortype": name, ...headers });
    response.end(JSON.stringify({ Message: name, ...more }));
  };

/** What the classifier calls it, and how it is done. */
const ways: readonly (readonly [code: string, how: (response: ServerResponse) => void])[] = [
  ["server-refused", status(400, "ValidationError")],
  ["server-forbidden", status(403, "AccessDeniedException")],
  ["server-error", status(500, "InternalFailure")],
  ["server-unavailable", status(503, "ServiceUnavailable")],
  ["server-busy", status(429, "TooManyRequestsException", {}, { "retry-after": "1" })],
  ["model-error", status(424, "ModelError", { OriginalStatusCode: 500 })],
  ["model-refused", status(424, "ModelError", { OriginalStatusCode: 415 })],
  ["answer-cut", half],
  ["answer-unreadable", json("<html>")],
  ["answer-shape-wrong", json({ probabilities: [] })],
  ["answer-labels-wrong", json({ probabilities: [[0.5, 0.5]] })],
  ["answer-not-finite", json(`{"probabilities": [[NaN${", 0.1".repeat(labels.length - 1)}]]}`)],
  ["answer-variant-wrong", (response) => json(good)(response.setHeader("x-amzn-invoked-production-variant", "old"))],
  ["backend-timeout", () => {}],
];

function half(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
  response.write('{"probabilities": [[0.1,');
  setTimeout(() => response.socket?.destroy(), 20);
}

describe("given a fleet whose cloud misbehaves in every third call", () => {
  const dir = tempDir("bad-cloud");
  const { brokers, prefix } = testKafka();
  const done: string[] = [];
  let invocations = 0;
  let cloud: Server;
  let stack: Stack;

  beforeAll(async () => {
    cloud = createServer((request, response) => {
      request.resume();
      request.on("end", () => {
        const next = ways[done.length];
        if (next === undefined || ++invocations % 3 !== 0) return json(good)(response);
        done.push(next[0]);
        next[1](response);
      });
    });
    await new Promise<void>((listening) => cloud.listen(0, "127.0.0.1", listening));
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" });
    const policy = JSON.parse(readFileSync(join(edgePackage, "policy.json"), "utf8")) as object;
    const patient = { "policy.json": Buffer.from(JSON.stringify({ ...policy, deadlineMs: DEADLINE_MS })) };
    await writeVariant(edgePackage, join(dir.path, "edge"), { files: patient });
    stack = await startStack({
      dir: dir.path,
      kafka: { brokers, prefix, partitions: 4 },
      packages: { edge: join(dir.path, "edge") },
      agents: { count: 2, fps: 20, frames: FRAMES },
      services: {
        cloud: {
          targets: {
            default: {
              backend: "sagemaker",
              endpoint: "photos",
              region: "eu-central-1",
              endpointUrl: `http://127.0.0.1:${(cloud.address() as AddressInfo).port}`,
              labels: join(cloudPackage, "labels.json"),
              variant: "new",
              retry: { attemptsMax: 1 },
              callMsMax: CALL_MS_MAX,
            },
          },
        },
      },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    cloud?.closeAllConnections();
    cloud?.close();
    dir.remove();
  });

  test("then every frame has one answer, the cloud's where it gave one", async () => {
    expect(await untilAnswered(stack, FRAMES, { silenceMsMax: 30_000 })).toBe(true);
    const { report } = await verify({ ...stack, from: stack.began, ledgers: stack.agents });
    expect(report).toMatchObject({ frames: FRAMES, lost: 0, duplicates: 0, contradictions: 0 });
    expect(done).toEqual(ways.map(([code]) => code));
    const { answered } = await accountOf({ ...stack, from: stack.began, ledgers: stack.agents });
    const settled = new Map<string, number>();
    for (const { answer } of answered.values()) {
      settled.set(answer.settledBy, (settled.get(answer.settledBy) ?? 0) + 1);
      if (answer.source === "CLOUD") expect(answer.label).toBe(labels[0]);
    }
    process.stderr.write(`bad cloud: ${[...settled].map(([by, count]) => `${by} ${count}`).join(", ")}\n`);
    // More than the good calls between the bad ones: it was asked on after the last of them.
    expect(settled.get("CLOUD_ANSWER")).toBeGreaterThan(2 * ways.length);
    expect(settled.get("CLOUD_FAILED")).toBeGreaterThan(0);
  }, 240_000);

  test("and each way was named and counted", async () => {
    const metrics = await metricsOf(stack.classifier);
    for (const code of done) {
      expect(metrics).toMatch(
        new RegExp(`^tributary_classifier_requests_total\\{target="default",.*code="${code}"\\} [1-9]`, "m"),
      );
    }
  });
});
