/** What a full or broken disk does: disk-watch.ts. */
import { describe, expect, test } from "@jest/globals";
import { SimulatedClock } from "@tributary/calls";
import { Failure, seededRandom } from "@tributary/kernel";
import { silentTelemetry } from "@tributary/testing";
import { DiskWatch } from "./disk-watch.ts";

const failing = (code: string) =>
  new Failure("blob-store-unavailable", "retry", code, { cause: Object.assign(new Error(code), { code }) });

/** A disk that fails by `code` while it has one. */
function rig(waitMsMax = 60_000) {
  const clock = new SimulatedClock();
  const telemetry = silentTelemetry();
  const disk: { code: string | undefined; probed: number[] } = { code: undefined, probed: [] };
  const put = async () => {
    if (disk.code !== undefined) throw failing(disk.code);
    return "stored";
  };
  const probe = (bytes: number) => {
    disk.probed.push(bytes);
    return put();
  };
  const random = seededRandom(1);
  const watch = new DiskWatch({ dir: "/data/blobs", waitMsMax, probe, clock, random, telemetry });
  const stop = new AbortController();
  return { clock, telemetry, disk, watch, stop, write: () => watch.write(1_000, put, stop.signal) };
}

describe("a disk", () => {
  test.each([
    ["ENOSPC", /^cannot write to \/data\/blobs: no space left \(ENOSPC\): add space/],
    ["EDQUOT", /quota is used up \(EDQUOT\)/],
    ["EROFS", /mounted read-only \(EROFS\)/],
    ["EIO", /the disk fails \(EIO\)/],
  ])("that fails by %s is named, a write waits for it, and it recovers by itself", async (code, named) => {
    const { clock, telemetry, disk, watch, write } = rig();
    expect(await write()).toBe("stored");
    disk.code = code;
    let written: unknown;
    void write().then((result) => {
      written = result;
    });
    await clock.runUntil(30_000);
    expect([written, watch.problem]).toEqual([undefined, expect.stringMatching(named)]);
    expect(await telemetry.metrics()).toMatch(/^tributary_archive_disk_failing 1$/m);
    disk.code = undefined;
    await clock.runUntil(40_000);
    expect([written, watch.problem]).toEqual(["stored", undefined]);
    expect(await telemetry.metrics()).toMatch(new RegExp(`disk_writes_failed_total\\{code="${code}"\\} \\d+`));
  });

  test("that stays full gives writes up after a time, tries each once, and waits again after it worked (D1, G9)", async () => {
    const { clock, disk, write } = rig();
    disk.code = "ENOSPC";
    const results: unknown[] = [];
    const until = async (atMs: number) => {
      void write().then((result) => results.push(result));
      await clock.runUntil(atMs);
    };
    await until(59_000);
    expect(results).toEqual([]);
    await until(70_000);
    expect(results).toEqual(["disk-full", "disk-full"]);
    await until(70_001);
    expect(results).toHaveLength(3);
    disk.code = undefined;
    await until(70_002);
    disk.code = "ENOSPC";
    await until(120_000);
    expect(results).toEqual(["disk-full", "disk-full", "disk-full", "stored"]);
  });

  test("that has space again is found out where nothing is to be written (D2)", async () => {
    const { clock, disk, watch, stop, write } = rig();
    await watch.probe();
    expect(disk.probed).toEqual([]);
    disk.code = "ENOSPC";
    const revoked = write().catch((error: Error) => error.message);
    await clock.runUntil(1);
    stop.abort(new Error("the partition is revoked"));
    expect(await revoked).toBe("the partition is revoked");
    await watch.probe();
    expect(watch.problem).toMatch(/ENOSPC/);
    disk.code = undefined;
    await watch.probe();
    expect([watch.problem, disk.probed]).toEqual([undefined, [1_000, 1_000]]);
  });

  test("is not blamed for a single write that fails (D3)", async () => {
    const { watch, stop } = rig();
    const tooLarge = async () => Promise.reject(new Failure("blob-too-large", "give-up", "too large"));
    await expect(watch.write(1_000, tooLarge, stop.signal)).rejects.toThrow("too large");
    expect(watch.problem).toBeUndefined();
  });
});
