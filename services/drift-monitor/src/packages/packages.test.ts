/** Which packages are known, and when the others are fetched: packages.ts. */
import { describe, expect, test } from "@jest/globals";
import type { Model } from "@tributary/contracts";
import type { DriftReference } from "@tributary/drift";
import { type Clock, Failure, systemClock } from "@tributary/kernel";
import { silentTelemetry } from "@tributary/testing";
import { Packages } from "./packages.ts";

const digest = (n: number): string => n.toString(16).padStart(64, "0");
const referenceOf = (modelDigest: string) => ({ modelDigest, modelName: "m", modelVersion: "1" }) as DriftReference;

function rig(fetch: (digest: string) => Promise<DriftReference>, packagesMax = 10) {
  const listed = new Set<string>();
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const fetches: string[] = [];
  const packages = new Packages({
    models: { byDigest: (modelDigest) => (listed.has(modelDigest) ? ({ modelDigest } as Model) : undefined) },
    fetch: (of) => {
      fetches.push(of);
      return fetch(of);
    },
    packagesMax,
    retryMsMax: 60_000,
    clock,
    random: () => 1,
    telemetry: silentTelemetry(),
  });
  const later = (ms: number) => {
    nowMs += ms;
    packages.retry();
  };
  return { packages, listed, fetches, later };
}

describe("packages", () => {
  test("one that models.v1 lists is fetched once, and a batch waits for it (P2)", async () => {
    const { packages, listed, fetches } = rig(async (of) => referenceOf(of));
    listed.add(digest(1));
    await Promise.all([packages.fetched([digest(1), digest(1)]), packages.fetched([digest(1)])]);
    expect(packages.get(digest(1))).toEqual(referenceOf(digest(1)));
    expect(fetches).toEqual([digest(1)]);
  });

  test("digests that a device invents displace no package (P3)", async () => {
    const { packages, listed, fetches } = rig(async (of) => referenceOf(of), 3);
    listed.add(digest(1)).add(digest(2));
    await packages.fetched([digest(1), digest(2)]);
    for (let n = 100; n < 200; n++) await packages.fetched([digest(n)]);
    expect([packages.get(digest(1)), packages.get(digest(2))]).toEqual([
      referenceOf(digest(1)),
      referenceOf(digest(2)),
    ]);
    expect([fetches.length, packages.missing]).toEqual([2, 1]);
  });

  test("one that nothing lists is set aside, and fetched when it is listed (P1)", async () => {
    const { packages, listed, fetches, later } = rig(async (of) => referenceOf(of));
    await packages.fetched([digest(1), "no digest"]);
    expect([packages.get(digest(1)), packages.missing, fetches]).toEqual([undefined, 1, []]);
    listed.add(digest(1));
    later(1);
    await packages.fetched([digest(1)]);
    expect([packages.loaded, packages.missing]).toEqual([1, 0]);
  });

  test("a model registry that is away is asked again with backoff, and nobody waits for that (P2)", async () => {
    let isAway = true;
    const { packages, listed, fetches, later } = rig(async (of) => {
      if (isAway) throw new Failure("api-unreachable", "retry", "nobody answers");
      return referenceOf(of);
    });
    listed.add(digest(1));
    await packages.fetched([digest(1)]);
    later(999);
    expect(fetches).toHaveLength(1);
    later(1);
    await packages.fetched([digest(1)]);
    await new Promise(setImmediate);
    later(1_000); // the second wait is twice as long
    expect(fetches).toHaveLength(2);
    isAway = false;
    later(1_000);
    await new Promise(setImmediate);
    expect([fetches.length, packages.get(digest(1))?.modelDigest]).toEqual([3, digest(1)]);
  });

  test("the number in memory is bounded; pinned ones and those in use stay (P3)", async () => {
    const { packages, listed } = rig(async (of) => referenceOf(of), 3);
    packages.pin(referenceOf(digest(0)));
    for (const n of [1, 2, 3]) listed.add(digest(n));
    await packages.fetched([digest(1)]);
    await packages.fetched([digest(2)]);
    packages.get(digest(1));
    await packages.fetched([digest(3)]);
    expect(packages.loaded).toBe(3);
    expect([0, 1].map((n) => packages.get(digest(n))?.modelDigest)).toEqual([digest(0), digest(1)]);
  });

  test("what a configured alias names is fetched before it is asked for, and stays until the alias moves (P3)", async () => {
    const { packages, listed, later } = rig(async (of) => referenceOf(of), 2);
    for (const n of [1, 2, 3, 4]) listed.add(digest(n));
    packages.hold([digest(1)]);
    await packages.fetched([digest(2)]);
    await packages.fetched([digest(3)]);
    later(0);
    await new Promise(setImmediate);
    expect([packages.loaded, packages.get(digest(1))?.modelDigest]).toEqual([2, digest(1)]);
    packages.hold([digest(4)]);
    await packages.fetched([digest(4)]);
    await packages.fetched([digest(2)]);
    packages.get(digest(3));
    await new Promise(setImmediate);
    expect(packages.get(digest(4))?.modelDigest).toBe(digest(4));
  });
});
