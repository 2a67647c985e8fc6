/** The HTTP fetcher against misbehaving servers. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { httpFetcher, readBody } from "./fetcher.ts";

let server: Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((closed) => server?.close(closed));
});

async function serve(answer: RequestListener): Promise<string> {
  server = createServer(answer);
  await new Promise<void>((listening) => server?.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/timestamp.json`;
}

async function read(url: string, signal = new AbortController().signal, bytesMax = 100): Promise<string | undefined> {
  const body = await httpFetcher({ authorization: "Bearer t" }).fetch(url, signal);
  return body && (await readBody(body, "timestamp.json", bytesMax, signal)).toString();
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    (value) => `got ${value}`,
    (error: unknown) => (error instanceof Failure ? error.code : String(error)),
  );

test("reads a file, with the request's headers; undefined for a missing one", async () => {
  const url = await serve((request, response) => response.end(request.headers.authorization));
  expect(await read(url)).toBe("Bearer t");
  for (const status of [403, 404]) {
    const none = await serve((_request, response) => response.writeHead(status).end("no"));
    expect(await read(none)).toBeUndefined();
  }
});

test("a redirect is not followed (fetcher.ts F1)", async () => {
  let asked = 0;
  for (const status of [301, 302, 303, 307, 308]) {
    const url = await serve((request, response) => {
      asked++;
      response.writeHead(status, { location: request.url ?? "/" }).end();
    });
    expect(await codeOf(read(url))).toBe("tuf-unavailable");
  }
  expect(asked).toBe(5);
});

test("errors of the server, of the network and of the address are one failure", async () => {
  expect(await codeOf(read(await serve((_request, response) => response.writeHead(500).end())))).toBe(
    "tuf-unavailable",
  );
  expect(await codeOf(read(await serve((request) => request.socket.destroy())))).toBe("tuf-unavailable");
  const cut = await serve((_request, response) => {
    response.writeHead(200, { "content-length": 50 });
    response.write("x");
    setTimeout(() => response.destroy(), 20);
  });
  expect(await codeOf(read(cut))).toBe("tuf-unavailable");
  expect(await codeOf(read("http://127.0.0.1:1/timestamp.json"))).toBe("tuf-unavailable");
});

test("endless bytes end at the bound, and the connection with them (fetcher.ts F2)", async () => {
  let closed: (value: unknown) => void = () => {};
  const isClosed = new Promise((resolve) => {
    closed = resolve;
  });
  const url = await serve((_request, response) => {
    const timer = setInterval(() => response.write("x".repeat(40)), 1);
    response.on("close", () => {
      clearInterval(timer);
      closed(undefined);
    });
  });
  expect(await codeOf(read(url))).toBe("tuf-too-large");
  await isClosed;
});

test("a signal ends a wait for headers and a wait for bytes", async () => {
  for (const answer of [
    () => {},
    (_request: unknown, response: { write(text: string): void }) => response.write("x"),
  ]) {
    const url = await serve(answer as RequestListener);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("enough")), 50);
    expect(await codeOf(read(url, stop.signal))).toBe("Error: enough");
  }
});
