/** What Prometheus, or something between, may answer; over real HTTP. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { askPrometheus, type PrometheusAccess } from "./client.ts";

type Answer = (request: IncomingMessage & { body?: string }, response: ServerResponse) => void;
let answer: Answer = (_, response) => response.end();
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => answer(Object.assign(request, { body: Buffer.concat(chunks).toString() }), response));
});
let url: string;
beforeAll(async () => {
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const signal = new AbortController().signal;
const ask = (access: Partial<PrometheusAccess> = {}, query = "x_total") =>
  askPrometheus(
    { url, headers: {}, timeoutMs: 2_000, answerBytesMax: 10_000, seriesMax: 100, ...access },
    query,
    1_700_000_000_250,
    signal,
  );
const json = (value: unknown, status = 200): Answer => {
  return (_, response) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
};
const vector = {
  status: "success",
  data: { resultType: "vector", result: [{ metric: { device: "a" }, value: [1, "2"] }] },
};

describe("Prometheus", () => {
  test("is asked for one moment, with the credentials and headers of the configuration", async () => {
    const seen: [string | undefined, string | undefined, unknown, string | undefined][] = [];
    answer = (request, response) => {
      seen.push([request.url, request.headers.authorization, request.headers["x-scope-orgid"], request.body]);
      json(vector)(request, response);
    };
    expect(
      await ask({ url: `${url}/prom/`, token: "secret", headers: { "X-Scope-OrgID": "7" } }, 'x{a="b c"}'),
    ).toEqual({
      series: [{ labels: { device: "a" }, value: 2 }],
      malformed: 0,
    });
    await ask({ basic: { user: "me", password: "p:w" } });
    expect(seen).toEqual([
      ["/prom/api/v1/query", "Bearer secret", "7", "query=x%7Ba%3D%22b+c%22%7D&time=1700000000.250&timeout=2000ms"],
      ["/api/v1/query", `Basic ${Buffer.from("me:p:w").toString("base64")}`, undefined, expect.any(String)],
    ]);
  });

  const hanging: Answer = (_, response) => response.writeHead(200).write("{");
  const flood: Answer = (_, response) => response.writeHead(200).end(" ".repeat(20_000));
  const elsewhere: Answer = (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
  test.each<[string, Answer, string, RegExp]>([
    ["hangs", hanging, "prometheus-timeout", /no answer within 300 ms/],
    ["sends too much", flood, "prometheus-answer-too-large", /more than 10000 bytes; narrow the query/],
    ["sends us elsewhere", elsewhere, "prometheus-unreachable", /redirect/],
    ["wants other credentials", json({}, 401), "prometheus-denied", /lets us not in \(401\); check token/],
    [
      "refuses the query",
      json({ status: "error", errorType: "bad_data", error: "1:3: parse error: unexpected }" }, 400),
      "prometheus-query-refused",
      /refuses the query: 1:3: parse error/,
    ],
    ["is overloaded", json({ status: "error", error: "too many" }, 503), "prometheus-failed", /answers 503: too many/],
    ["is behind a page", (_, response) => response.writeHead(502).end("<html>"), "prometheus-failed", /answers 502$/],
    ["answers with something else", json([1]), "prometheus-answer-unusable", /none of \/api\/v1\/query/],
  ])("that %s is a failure with a name, and no credential in it", async (_, given, code, message) => {
    answer = given;
    const error = await ask({ token: "secret", timeoutMs: code === "prometheus-timeout" ? 300 : 20_000 }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(`${error}`).not.toMatch(/secret/);
  });

  test("that is not there is one as well", async () => {
    await expect(ask({ url: "http://127.0.0.1:1" })).rejects.toMatchObject({
      code: "prometheus-unreachable",
      message: expect.stringMatching(/bad port/), // What fetch calls a port that no web server has.
    });
  });
});
