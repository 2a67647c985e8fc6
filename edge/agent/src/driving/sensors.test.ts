import { execFileSync } from "node:child_process";
import { closeSync, linkSync, mkdtempSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import type { Reading } from "@tributary/driving";
import { systemClock } from "@tributary/kernel";
import { waitFor } from "@tributary/testing";
import { Sensors, sensorValue } from "./sensors.ts";

const celsius = (scale = 1) => ({ kind: "celsius", scale }) as const;
const throttled = { kind: "throttled", scale: 1 } as const;

describe("what a sensor says", () => {
  test.each([
    [celsius(0.001), "42000\n", 42],
    [celsius(), "temp=47.2'C\n", 47.2],
    [celsius(), "-3", -3],
    [throttled, "throttled=0x50005\n", 0x50005],
    [throttled, "50005\n", 0x50005],
  ])("%j of %j is %d", (sensor, text, value) => {
    expect(sensorValue(sensor, text)).toBe(value);
  });

  test.each([
    [celsius(0.001), ""],
    [celsius(0.001), "garbage"],
    [celsius(0.001), "42000000"],
    [celsius(), "NaN"],
    [celsius(), "1e9"],
    [celsius(), "42; rm -rf /"],
    [throttled, "0x"],
    [throttled, "yes"],
    [throttled, "123456789"],
  ])("%j of %j is refused", (sensor, text) => {
    expect(() => sensorValue(sensor, text)).toThrow(/^no (temperature|bits)/);
  });
});

test("the hottest counts; what was once throttled is not now; a broken one is named once, and is no reading", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tributary-sensors-"));
  // At once, as the kernel changes a sensor's file: one that is truncated first is read empty now and then, and refused.
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, "next"), text);
    renameSync(join(folder, "next"), join(folder, name));
  };
  const refused: string[] = [];
  let last: Reading | undefined;
  const sensors = new Sensors(
    [
      { kind: "celsius", file: join(folder, "a"), scale: 0.001 },
      { kind: "celsius", file: join(folder, "b"), scale: 0.001 },
      { kind: "throttled", command: ["cat", join(folder, "bits")], scale: 1 },
      { kind: "celsius", file: "/dev/zero", scale: 1 }, // It never ends.
    ],
    systemClock,
    ({ sensor }) => refused.push(sensor),
  );
  try {
    write("a", "41000\n");
    write("b", "55000\n");
    write("bits", "throttled=0x50000\n");
    sensors.start(20, (reading) => {
      last = reading;
    });
    const until = (what: Reading) =>
      waitFor(() => last?.celsius === what.celsius && last.isThrottled === what.isThrottled, {
        what: JSON.stringify(what),
      });
    await until({ celsius: 55, isThrottled: false });
    write("bits", "throttled=0x50004\n");
    await until({ celsius: 55, isThrottled: true });
    write("b", "garbage");
    await until({ celsius: 41, isThrottled: true });
    rmSync(join(folder, "a"));
    await until({ celsius: null, isThrottled: true });
    expect(refused).toEqual(["/dev/zero", join(folder, "b"), join(folder, "a")]);
  } finally {
    sensors.stop();
    rmSync(folder, { recursive: true });
  }
});

test("a sensor that hangs has no reading once its last one is ten seconds old, is named once, and may recover", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tributary-sensors-"));
  const [file, fifo, next] = ["a", "fifo", "next"].map((name) => join(folder, name)) as [string, string, string];
  const refused: object[] = [];
  let now = 0;
  let last: Reading | undefined;
  const sensors = new Sensors([{ kind: "celsius", file, scale: 0.001 }], { monotonicMs: () => now }, (one) =>
    refused.push(one),
  );
  const reads = (celsius: number | null) => waitFor(() => last?.celsius === celsius, { what: `${celsius} C` });
  try {
    writeFileSync(file, "41000");
    sensors.start(20, (reading) => {
      last = reading;
    });
    await reads(41);
    execFileSync("mkfifo", [fifo]); // It is not opened before somebody writes to it: a read hangs.
    linkSync(fifo, next);
    renameSync(next, file);
    await waitFor(
      () => {
        now += 1_000;
        return last?.celsius === null;
      },
      { what: "no reading" },
    );
    now += 3_600_000;
    writeFileSync(next, "42000");
    renameSync(next, file);
    closeSync(openSync(fifo, "r+")); // The read that hung ends without a value.
    await reads(42);
    expect(refused).toEqual([{ sensor: file, reason: "no answer for 10 s" }]);
  } finally {
    sensors.stop();
    closeSync(openSync(fifo, "r+"));
    rmSync(folder, { recursive: true });
  }
});
