/** Downloads from a real server, which answers as each test needs. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { type Clock, systemClock } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { download, Pace } from "./download.ts";

const bytes = Buffer.from(Array.from({ length: 5_000 }, (_, i) => (i * 7) % 251));
const blob = { sha256: createHash("sha256").update(bytes).digest("hex"), bytes: bytes.length };

let dir: ReturnType<typeof tempDir>;
let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let asked: (string | undefined)[];

beforeEach(async () => {
  dir = tempDir("download");
  asked = [];
  answer = whole(bytes);
  server = createServer((request, response) => {
    asked.push(request.headers.range);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  dir.remove();
});

const whole = (sent: Buffer) => (request: IncomingMessage, response: ServerResponse) => {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const range = { "content-range": `bytes ${from}-${sent.length - 1}/${sent.length}` };
  response.writeHead(from > 0 ? 206 : 200, from > 0 ? range : {}).end(sent.subarray(from));
};

let counted: number;
const get = async (signal = new AbortController().signal) => {
  counted = 0;
  const modelRegistry = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const onBytes = (n: number) => {
    counted += n;
  };
  const path = join(dir.path, "a/file");
  await download({ modelRegistry, clock: systemClock, pace: new Pace(1e9), onBytes }, blob, path, signal);
  return readFileSync(path);
};
const leave = (had: Buffer) => {
  const path = join(dir.path, "a/file");
  return import("node:fs/promises").then(({ mkdir }) =>
    mkdir(join(dir.path, "a"), { recursive: true }).then(() => writeFileSync(path, had)),
  );
};

describe("one file from the registry", () => {
  test("from its beginning, and not again when it is there", async () => {
    expect([(await get()).equals(bytes), counted]).toEqual([true, bytes.length]);
    await get();
    expect([asked, counted]).toEqual([[undefined], 0]);
  });

  test("taken up where it was left; a server that knows no ranges sends all of it", async () => {
    await leave(bytes.subarray(0, 1_234));
    expect((await get()).equals(bytes)).toBe(true);
    expect([asked, counted]).toEqual([["bytes=1234-"], bytes.length - 1_234]);
    await leave(bytes.subarray(0, 100));
    answer = (_, response) => void response.end(bytes);
    expect((await get()).equals(bytes)).toBe(true);
  });

  test("download.ts W2: a corrupted partial file is fetched from its beginning, once", async () => {
    await leave(Buffer.alloc(2_000, 9));
    expect((await get()).equals(bytes)).toBe(true);
    expect(asked).toEqual(["bytes=2000-", undefined]);
    await leave(Buffer.alloc(bytes.length, 9));
    expect((await get()).equals(bytes)).toBe(true);
  });

  test("download.ts W2: other bytes than listed do not stay, and are not final: the line may have bent them", async () => {
    answer = whole(Buffer.from(bytes).fill(1, 40, 41));
    await expect(get()).rejects.toMatchObject({ code: "package-digest-mismatch", advice: "ask-a-person" });
    expect(existsSync(join(dir.path, "a/file"))).toBe(false);
  });

  test("download.ts W1: an endless body is read up to the listed size", async () => {
    answer = (_, response) => {
      response.write(bytes);
      const timer = setInterval(() => response.write(bytes), 1);
      response.on("close", () => clearInterval(timer));
    };
    expect((await get()).equals(bytes)).toBe(true);
  });

  test.each([
    [
      "cut short",
      (_: IncomingMessage, response: ServerResponse) => void response.end(bytes.subarray(0, 700)),
      "registry-unreachable",
      "retry",
    ],
    [
      "an error",
      (_: IncomingMessage, response: ServerResponse) => void response.writeHead(503).end(),
      "registry-unreachable",
      "retry",
    ],
    [
      "not there",
      (_: IncomingMessage, response: ServerResponse) => void response.writeHead(404).end(),
      "blob-missing",
      "ask-a-person",
    ],
    [
      "download.ts W1: sent elsewhere",
      (_: IncomingMessage, response: ServerResponse) =>
        void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
      "registry-refused",
      "ask-a-person",
    ],
    ["torn off", (request: IncomingMessage) => void request.socket.destroy(), "registry-unreachable", "retry"],
  ])("%s", async (_, how, code, advice) => {
    answer = how;
    await expect(get()).rejects.toMatchObject({ code, advice });
  });

  test("a disk that takes only a part is full: it is not the registry that sent other bytes", async () => {
    const { port } = server.address() as AddressInfo;
    const script = `
      import { systemClock } from "@tributary/kernel";
      import { download, Pace } from "./download.ts";
      const modelRegistry = "http://127.0.0.1:${port}";
      const ports = { modelRegistry, clock: systemClock, pace: new Pace(1e9), onBytes: () => {} };
      const path = ${JSON.stringify(join(dir.path, "a/file"))};
      await download(ports, ${JSON.stringify(blob)}, path, new AbortController().signal).catch(({ code, advice }) =>
        process.stdout.write(code + " " + advice),
      );`;
    // No file may grow beyond a part of it.
    const run = 'ulimit -f 4; exec "$0" --no-warnings --conditions=@tributary/source --input-type=module -e "$1"';
    const child = await promisify(execFile)("sh", ["-c", run, process.execPath, script], { cwd: import.meta.dirname });
    expect([child.stdout, asked]).toEqual(["disk-full retry", [undefined]]);
  });

  test("download.ts W3: a pause that the pace asks for is no silence of the registry, however long", async () => {
    jest.useFakeTimers({ doNotFake: ["Date", "nextTick", "performance", "queueMicrotask", "setImmediate"] });
    let nowMs = 0;
    const clock: Clock = {
      now: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: async (ms, signal) => {
        nowMs += ms;
        jest.advanceTimersByTime(ms);
        signal?.throwIfAborted();
      },
    };
    const bytesPerSecond = 1_024;
    const slow = Buffer.alloc(300_000, 7);
    answer = whole(slow);
    const listed = { sha256: createHash("sha256").update(slow).digest("hex"), bytes: slow.length };
    const modelRegistry = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const ports = { modelRegistry, clock, pace: new Pace(bytesPerSecond), onBytes: () => undefined };
    try {
      await download(ports, listed, join(dir.path, "a/file"), new AbortController().signal);
    } finally {
      jest.useRealTimers();
    }
    expect(readFileSync(join(dir.path, "a/file")).equals(slow)).toBe(true);
    expect(nowMs).toBeGreaterThan(((slow.length - (64 << 10)) / bytesPerSecond) * 1_000 - 1);
  });

  test("called off, it ends at once with the reason", async () => {
    const stop = new AbortController();
    answer = (_, response) => {
      response.write(bytes.subarray(0, 10));
      setTimeout(() => stop.abort(new Error("newer")), 20);
    };
    await expect(get(stop.signal)).rejects.toThrow("newer");
  });
});

test("download.ts W3: a pace keeps to its rate on average, and lets no burst be saved up", () => {
  const pace = new Pace(1_000);
  let nowMs = 0;
  for (let i = 0; i < 100; i++) nowMs += pace.took(50, nowMs);
  expect(nowMs).toBeCloseTo(5_000);
  nowMs += 60_000;
  expect(pace.took(1_000, nowMs)).toBeCloseTo(1_000);
});
