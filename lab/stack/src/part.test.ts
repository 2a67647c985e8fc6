import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type TempDir, tempDir, waitFor } from "@tributary/testing";
import { type Journal, openJournal } from "./journal.ts";
import { Part } from "./part.ts";

const READY = `
import { createServer } from "node:http";
const server = createServer((_, response) => response.end()).listen(0, "127.0.0.1", () =>
  console.log(JSON.stringify({ event: "ready", service: "x", ports: { http: server.address().port } })));
process.on("SIGUSR2", () => { for (;;); });`;

describe("a part of the stack", () => {
  let dir: TempDir;
  let journal: Journal;
  const parts: Part[] = [];
  beforeEach(async () => {
    dir = tempDir("part");
    ({ journal } = await openJournal(dir.path));
  });
  afterEach(async () => {
    await Promise.all(parts.splice(0).map((part) => part.stop()));
    dir.remove();
  });
  const probe = { everyMs: 50, timeoutMs: 500, failuresMax: 3 };
  const part = (program: string, supervised: boolean, onEvent = (_line: string) => {}) => {
    const main = join(dir.path, "main.mjs");
    writeFileSync(main, program);
    const made = new Part({ name: "x", main, config: () => ({}), dir: dir.path, journal, supervised, probe, onEvent });
    parts.push(made);
    return made;
  };

  test("keeps its configuration, which holds a password, to its owner", async () => {
    const file = join(dir.path, "x.yaml");
    writeFileSync(file, "{}", { mode: 0o644 }); // of an earlier run
    await part(READY, false).start();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("that is killed is started again when supervised, and counted", async () => {
    const lines: string[] = [];
    const x = part(READY, true, (line) => lines.push(line));
    await x.start();
    const before = x.pid;
    await x.kill();
    await waitFor(() => x.state === "running", { what: "the restart" });
    expect(x.restarts).toBe(1);
    expect(x.pid).not.toBe(before);
    expect(lines.join("\n")).toContain("x ended (SIGKILL); again in");
  });

  test("that hangs is killed and started again", async () => {
    const lines: string[] = [];
    const x = part(READY, true, (line) => lines.push(line));
    await x.start();
    const before = x.pid;
    process.kill(before as number, "SIGUSR2");
    await waitFor(() => x.state === "running" && x.pid !== before, { what: "the restart" });
    expect(lines[0]).toMatch(/x does not answer http/);
  });

  test("that is killed stays down when not supervised, until it is started", async () => {
    const lines: string[] = [];
    const x = part(READY, false, (line) => lines.push(line));
    await x.start();
    await x.kill();
    expect([x.pid, lines]).toEqual([undefined, []]); // A supervisor would have logged the restart.
    await x.start();
    expect(x.ports).toEqual({ http: expect.any(Number) });
  });

  test("that is stopped stays down although supervised", async () => {
    const lines: string[] = [];
    const x = part(READY, true, (line) => lines.push(line));
    await x.start();
    await x.stop();
    expect([x.state, x.pid, x.restarts, lines]).toEqual(["stopped", undefined, 0, []]);
  });

  test("with a wrong configuration (exit 2) is not retried, and its message is reported", async () => {
    const x = part(`console.error("mqtt.port: expected a number"); process.exitCode = 2;`, true);
    await expect(x.start()).rejects.toThrow(/x ended before it was ready:\nmqtt.port: expected a number/);
    expect(x.restarts).toBe(0);
  });
});
