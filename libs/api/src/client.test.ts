import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { type ApiFailure, clientOf, itemsOfPages } from "./client.ts";
import { modelRegistryApi } from "./model-registry.ts";
import { gatewayClient } from "./public-api.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  closing.push(() => server.close().closeAllConnections());
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/base`;
}
const answering = (status: number, type: string, body: string) =>
  serving((_request, response) => response.writeHead(status, { "content-type": type }).end(body));

/** What a server sees of a request. */
async function echoing(): Promise<string> {
  return serving(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { authorization, "content-type": type } = request.headers;
    response.end(JSON.stringify([request.method, request.url, authorization ?? null, type ?? null, text]));
  });
}

describe("a client", () => {
  test("puts what it is given into path, query and body", async () => {
    const gateway = gatewayClient({ url: await echoing(), token: "t" });
    expect(await gateway.rollouts.devicesOf({ uid: "a/b c", arm: "canary", limit: 5, from: undefined })).toEqual([
      ...["GET", "/base/api/v1/rollouts/a%2Fb%20c/devices?arm=canary&limit=5", "Bearer t", null, ""],
    ]);
    const body = { version: "2", by: "ann" };
    expect(await gateway.models.alias({ name: "edge", alias: "champion", body })).toEqual([
      ...["PUT", "/base/api/v1/models/edge/aliases/champion", "Bearer t", "application/json", JSON.stringify(body)],
    ]);
  });

  test("sends and takes files, and asks whether they are there", async () => {
    const { blobs } = clientOf(modelRegistryApi, { url: await echoing() });
    async function* pieces() {
      yield Buffer.from("ab");
      yield Buffer.from("c");
    }
    expect(await blobs.put({ digest: "d", body: pieces(), length: 3 })).toEqual([
      ...["PUT", "/base/blobs/sha256/d", null, "application/octet-stream", "abc"],
    ]);
    expect(await blobs.has({ digest: "d" })).toBe(true);
    const chunks: Uint8Array[] = [];
    for await (const chunk of blobs.get({ digest: "d" })) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toContain('"/base/blobs/sha256/d"');
    const without = clientOf(modelRegistryApi, { url: await answering(404, "application/problem+json", "") });
    expect(await without.blobs.has({ digest: "d" })).toBe(false);
  });

  test("names the token that an answer to HEAD wants, though it has no body", async () => {
    const closed = await serving((_, response) => response.writeHead(401, { "www-authenticate": "Bearer" }).end());
    for (const [token, code] of [
      [undefined, "token-missing"],
      ["t", "token-wrong"],
    ] as const) {
      const refusal = { code, status: 401, detail: expect.stringContaining("auth.tokens") };
      await expect(clientOf(modelRegistryApi, { url: closed, token }).blobs.has({ digest: "d" })).rejects.toMatchObject(
        refusal,
      );
    }
  });

  test("reads all pages, each asked for by the one before; a server of an earlier version has one", async () => {
    const pages: Record<string, object> = {
      "/base/api/v1/devices?site=x": { items: [1, 2], next: "b c" },
      "/base/api/v1/devices?site=x&after=b+c": { items: [3], next: null },
      "/base/api/v1/devices?site=old": { items: [4] },
    };
    const url = await serving(({ url = "" }, response) => response.end(JSON.stringify(pages[url])));
    const { devices } = gatewayClient({ url });
    const all = (site: string) => itemsOfPages((after) => devices.list({ site, after }));
    expect(await all("x")).toEqual([1, 2, 3]);
    expect(await all("old")).toEqual([4]);
  });

  test.each([
    [
      "a refusal",
      () => answering(409, "application/problem+json", '{"code":"x-busy","detail":"no","advice":"retry","more":[1]}'),
      { code: "x-busy", advice: "retry", status: 409, detail: "no", problem: { more: [1] } },
    ],
    ["nobody there", async () => "http://127.0.0.1:9", { code: "api-unreachable", advice: "retry", status: null }],
    ["silence", () => serving(() => {}), { code: "api-unreachable", detail: "no answer in time" }],
    ["a web page", () => answering(200, "text/html", "<p>It works"), { code: "api-response-invalid", status: 200 }],
    ["a proxy's failure", () => answering(502, "text/html", "<p>No"), { code: "api-response-invalid", status: 502 }],
  ])("fails at %s with a code, and with what to do", async (of, url, failure) => {
    // Only silence lasts that long; a busy machine may take its time to answer.
    const gateway = gatewayClient({ url: await url(), timeoutMs: of === "silence" ? 200 : 30_000 });
    await expect(gateway.policies.list()).rejects.toMatchObject({ name: "ApiFailure", ...failure });
  });

  test("does not start with an invalid URL", () => {
    expect(() => gatewayClient({ url: "localhost:8080" })).toThrow(/not an http/);
  });
});

describe("a stream of events", () => {
  const answer = 'event: classification\ndata: {"label":"cat"}\n\n';
  const labelsOf = async (text: string, signal?: AbortSignal): Promise<unknown[]> => {
    const gateway = gatewayClient({
      url: await answering(200, "text/event-stream", text),
      errorOf: (failure: ApiFailure) => new Error(failure.code),
    });
    const labels: unknown[] = [];
    try {
      const events = gateway.classifications.events({ source: "EDGE" }, signal === undefined ? {} : { signal });
      for await (const { label } of events) labels.push(label);
    } catch (error) {
      labels.push((error as Error).message);
    }
    return labels;
  };

  test("gives each event of its name, and fails when it ends by itself", async () => {
    expect(await labelsOf(`: connected\n\n${answer}event: other\ndata: {}\n\n${answer}`)).toEqual([
      ...["cat", "cat", "api-stream-ended"],
    ]);
    expect(await labelsOf(`${answer}event: dropped\ndata: {"reason":"closing"}\n\n`)).toEqual(["cat", "api-closing"]);
    expect(await labelsOf("event: classification\ndata: {\n\n")).toEqual(["api-response-invalid"]);
  });

  test("ends quietly when nobody wants more", async () => {
    expect(await labelsOf(answer, AbortSignal.abort())).toEqual([]);
  });
});
