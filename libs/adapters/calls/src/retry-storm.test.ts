import { describe, expect, test } from "@jest/globals";
import { callDefaults, type Outage, retryStorm, unguarded } from "./index.ts";

const outages: readonly Outage[] = ["errors", "hangs", "slow", "flapping", "throttled"];

describe.each(outages)("an outage of kind %s", (outage) => {
  test.each([1, 2, 3])("seed %i: retries stay within 10 %% of calls, and nothing is overdue", async (seed) => {
    const storm = await retryStorm({ outage, seed });
    expect(storm.retryShare).toBeLessThanOrEqual(0.1);
    expect(storm.overdueMsMax).toBeLessThan(0.001);
    expect(storm.answeredBefore).toBeGreaterThan(0.99);
    expect(storm.recoveredAfterMs).toBeLessThan(callDefaults.breaker.openMsMax + 1_000);
    // The circuit stops the storm: all but a few of what is wanted never reaches a server that is down.
    if (outage !== "flapping") expect(storm.outage.callsPerWanted).toBeLessThan(0.1);
    expect(storm.outage.callsPerWanted).toBeLessThanOrEqual(1.1);
  });
});

test("the same seed gives the same storm, and without the policy there is one", async () => {
  const storm = await retryStorm({ outage: "errors", seed: 7 });
  expect(await retryStorm({ outage: "errors", seed: 7 })).toEqual(storm);
  const wild = await retryStorm({ outage: "errors", seed: 7, settings: unguarded(callDefaults) });
  expect(wild.outage.callsPerWanted).toBeGreaterThan(2.5);
});
