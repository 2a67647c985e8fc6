/** `tributary train` against a server that speaks the gateway's HTTP. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { runHere } from "../run.test-kit.ts";
import { someTraining } from "./some-training.test-kit.ts";

const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xd9]);
const asked: { method: string; url: string; body: unknown }[] = [];
/** What the gateway shows, one state after the other; the last one stays. */
let states = [someTraining()];
let server: Server;

function answerOf(url: string, method: string): unknown {
  if (url.endsWith("/image")) return jpeg;
  if (url.endsWith("/report")) return '<img src="/api/v1/frames/a%3A1%3Ab%3A2/image" alt="cat">';
  if (url.includes("/logs")) return { backend: "local", jobId: "job-1", lines: ["step 1", "step 2"] };
  if (method === "POST") return states[0];
  if (/trainings\/[^?/]+$/.test(url)) return states.length > 1 ? states.shift() : states[0];
  return { items: [...states.slice(0, 1), someTraining({ runId: "3faaaaaaaaaa", model: "other" })] };
}

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { method = "", url = "" } = request;
    asked.push({ method, url, body: text === "" ? null : JSON.parse(text) });
    const answer = answerOf(url, method);
    const type = url.endsWith("/image") ? "image/jpeg" : url.endsWith("/report") ? "text/html" : "application/json";
    response.writeHead(method === "POST" && url.endsWith("trainings") ? 201 : 200, { "content-type": type });
    response.end(typeof answer === "string" || answer instanceof Uint8Array ? answer : JSON.stringify(answer));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
});
afterAll(() => server.close().closeAllConnections());
beforeEach(() => {
  asked.length = 0;
  states = [someTraining()];
});

const tributary = (...args: string[]) =>
  runHere(args, { TRIBUTARY_GATEWAY: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });

test("start, cancel and resume carry the reason and the person", async () => {
  const since = "2026-01-01T00:00:00Z";
  const args = ["--reason", "dusk", "--slice", "site=north", "--since", since];
  expect((await tributary("train", "start", "edge", ...args)).text).toContain("tributary train status 3f2a9c0d11e4 -w");
  expect((await tributary("train", "cancel", "3f2a", "--reason", "wrong site")).code).toBe(0);
  expect((await tributary("train", "resume", "3f2a")).code).toBe(0);
  expect(asked.filter(({ method }) => method === "POST")).toEqual([
    {
      method: "POST",
      url: "/api/v1/trainings",
      body: { model: "edge", reason: "dusk", slice: "site=north", since: new Date(since).toISOString(), by: "ada" },
    },
    { method: "POST", url: "/api/v1/trainings/3f2a9c0d11e4/cancel", body: { by: "ada", reason: "wrong site" } },
    { method: "POST", url: "/api/v1/trainings/3f2a9c0d11e4/resume", body: { by: "ada" } },
  ]);
  expect((await tributary("train", "start", "edge", "--reason", "x", "--since", "soon")).code).toBe(2);
});

test("list is a table, and an id may be shortened as long as it is clear", async () => {
  const { text } = await tributary("train", "list");
  expect(text.split("\n")[1]).toMatch(/^3f2a9c0d11e4 +edge +site=north +VERDICT +◌ LABELLING +212\/600 +-/);
  const unclear = await tributary("train", "status", "3f");
  expect([unclear.code, unclear.text]).toEqual([2, expect.stringContaining("2 trainings begin with 3f")]);
});

test("status waits until the training ends, and its exit code says how", async () => {
  const endedAt = "2026-01-02T00:00:00.000Z";
  const watch = async (phase: "SUCCEEDED" | "FAILED") => {
    states = [someTraining(), someTraining({ phase: "TRAINING" }), someTraining({ phase, message: "why", endedAt })];
    return tributary("train", "status", "3f2a", "-w", "--every", "0.2");
  };
  const won = await watch("SUCCEEDED");
  expect([won.code, won.text]).toEqual([0, expect.stringContaining("✔ SUCCEEDED")]);
  const lost = await watch("FAILED");
  expect([lost.code, lost.text]).toEqual([6, expect.stringContaining("Training 3f2a9c0d11e4 is FAILED: why")]);
});

test("logs are lines, and a report has its pictures inside", async () => {
  expect((await tributary("train", "logs", "3f2a", "--lines", "2")).stdout).toBe("step 1\nstep 2\n");
  expect(asked.at(-1)?.url).toBe("/api/v1/trainings/3f2a9c0d11e4/logs?lines=2");
  const { text } = await tributary("train", "report", "3f2a", "-o", "-");
  expect(text).toBe(`<img src="data:image/jpeg;base64,${jpeg.toString("base64")}" alt="cat">`);
});
