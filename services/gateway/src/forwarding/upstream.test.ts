import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, describe, expect, test } from "@jest/globals";
import { frameArchiveApi, modelRegistryApi, rolloutManagerApi, trainerApi } from "@tributary/api";
import { Problem } from "@tributary/service-kit";
import { Upstream, upstreamBlock } from "./upstream.ts";

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections();
});

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`;
}
const upstreamAt = (url: string, more: object = {}) =>
  new Upstream("rollout-manager", "rolloutManager", upstreamBlock.parse({ url, ...more }));
const post = (upstream: Upstream): Promise<unknown> =>
  upstream.call(rolloutManagerApi.rollouts.create, { body: { spec: { a: 1 }, by: "ann" } });
const answering = (status: number, type: string, body: string): Promise<string> =>
  serving((_request, response) => response.writeHead(status, { "content-type": type }).end(body));

describe("a request that is forwarded", () => {
  test("reaches the service with its body and token, and brings its answer back", async () => {
    const url = await serving(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      response.end(JSON.stringify([request.method, request.url, request.headers.authorization, JSON.parse(body)]));
    });
    const upstream = upstreamAt(url, { token: "a-token-of-the-gateway" });
    const body = { command: "abort", by: "ann" } as const;
    expect(await upstream.call(rolloutManagerApi.rollouts.command, { uid: "a/b c", body })).toEqual([
      "POST",
      "/base/rollouts/a%2Fb%20c/commands",
      "Bearer a-token-of-the-gateway",
      body,
    ]);
    expect(await post(upstreamAt(await answering(204, "text/plain", "")))).toEqual({});
  });

  test("has its query beside its path, and bytes come back whole or are refused", async () => {
    const url = await serving((request, response) => response.end(JSON.stringify(request.url)));
    const query = { runId: "r 1", lines: 7 };
    expect(await upstreamAt(url).call(trainerApi.runs.logs, query)).toBe("/base/runs/r%201/logs?lines=7");
    const picture = { frameId: "cam-1:5:front:7" };
    const bytes = await upstreamAt(url).bytes(frameArchiveApi.frames.picture, picture, 100);
    expect(bytes.toString()).toBe('"/base/frames/cam-1%3A5%3Afront%3A7"');
    await expect(upstreamAt(url).bytes(frameArchiveApi.frames.picture, picture, 5)).rejects.toMatchObject({
      details: { status: 502 },
    });
    const gone = { code: "picture-expired", detail: "gone" };
    const refused = upstreamAt(await answering(410, "application/problem+json", JSON.stringify(gone)));
    await expect(refused.bytes(frameArchiveApi.frames.picture, picture, 100)).rejects.toMatchObject({
      details: { status: 410, ...gone },
    });
  });

  test("is refused with the service's own problem response", async () => {
    const problem = { code: "rollout-spec", detail: "no", problems: [{ path: ["spec"], message: "x" }] };
    const refused = post(upstreamAt(await answering(400, "application/problem+json", JSON.stringify(problem))));
    await expect(refused).rejects.toBeInstanceOf(Problem);
    await expect(refused).rejects.toMatchObject({ details: { status: 400, ...problem } });
  });

  test.each([
    ["without a service", undefined, 501, "rollout-manager-not-configured", /rolloutManager\.url/],
    [
      "to nobody",
      async (): Promise<string> => "http://127.0.0.1:9",
      503,
      "rollout-manager-unreachable",
      /not known; look/,
    ],
    ["to one that is silent", () => serving(() => {}), 503, "rollout-manager-unreachable", /no answer in 200 ms/],
    [
      "to a web page",
      () => answering(200, "text/html", "<p>It works"),
      502,
      "rollout-manager-bad-response",
      /rolloutManager\.url/,
    ],
    ["to a proxy that fails", () => answering(500, "text/html", "<p>No"), 502, "rollout-manager-bad-response", /500/],
    [
      "with a wrong token",
      () => answering(401, "application/problem+json", JSON.stringify({ code: "token-missing", detail: "no" })),
      502,
      "rollout-manager-refuses",
      /rolloutManager\.token/,
    ],
  ] as const)("%s is answered with what to do", async (_, url, status, code, detail) => {
    const upstream =
      url === undefined
        ? new Upstream("rollout-manager", "rolloutManager", undefined)
        : upstreamAt(await url(), { timeoutMs: 200 });
    await expect(post(upstream)).rejects.toMatchObject({
      details: { status, code, detail: expect.stringMatching(detail) },
    });
  });

  test("leads nowhere else", async () => {
    const away = upstreamAt("http://127.0.0.1:9").call(modelRegistryApi.models.one, { name: "edge", version: ".." });
    await expect(away).rejects.toMatchObject({
      details: { status: 400, code: "request-invalid" },
    });
  });
});
