/** A process that hangs is distinguished from one that gets no processor, on this machine's own /proc. */
import { spawn } from "node:child_process";
import { expect, test } from "@jest/globals";
import { waitFor } from "@tributary/testing";
import { type Progress, progressOf, waitsForItsTurn } from "./progress.ts";

const progress = (atMs: number, computedMs: number, isRunnable = true): Progress => ({ atMs, computedMs, isRunnable });

test.each([
  ["is runnable, at the first look", null, progress(0, 0), true],
  ["is runnable, and computed little since", progress(0, 0), progress(250, 30), true],
  ["computed all the time since: it spins", progress(0, 0), progress(250, 240), false],
  ["sleeps, with a request to answer", progress(0, 0), progress(250, 0, false), false],
  ["ended", null, null, false],
])("a process that %s", (_, before, now, waits) => {
  expect(waitsForItsTurn(before, now)).toBe(waits);
});

test("one that spins is runnable and computes; a stopped one is not", async () => {
  const child = spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" });
  const pid = child.pid as number;
  try {
    await waitFor(() => (progressOf(pid, 0)?.computedMs ?? 0) >= 20, { what: "processor time" });
    expect(progressOf(pid, 0)).toMatchObject({ isRunnable: true });
    process.kill(pid, "SIGSTOP");
    await waitFor(() => progressOf(pid, 0)?.isRunnable === false, { what: "a stopped process" });
  } finally {
    child.kill("SIGKILL");
  }
  expect(progressOf(-1, 0)).toBeNull();
});
