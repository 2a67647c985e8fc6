import { expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { waitFor } from "@tributary/testing";
import { Refresher } from "./refresher.ts";

const DAY_MS = 24 * 3_600_000;
const ROOT_ENDS_AT = 400 * DAY_MS;

/** A refresher of a repository whose metadata is always valid for a day, and that has just been signed again, or not. */
function newRefresher(startAt: number) {
  let nowMs = startAt;
  let wake: (() => void) | undefined;
  const clock: Clock = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (_ms, signal) =>
      new Promise((resolve, reject) => {
        wake = resolve;
        signal?.addEventListener("abort", () => reject(signal.reason));
      }),
  };
  let isDue = false;
  const repository = {
    refresh: async () => isDue,
    expiresAt: () => Math.min(nowMs + DAY_MS, ROOT_ENDS_AT),
    rootExpiresAt: () => ROOT_ENDS_AT,
    rootVersion: () => 3,
  };
  const lines: { event: string; msg: string }[] = [];
  const telemetry = createTelemetry({
    service: "test",
    defaultMetrics: false,
    write: (line) => void lines.push(JSON.parse(line)),
  });
  const registry = { finishRevocations: async () => {} };
  const refresher = new Refresher({ tuf: { refreshMs: 600_000 } }, repository, registry, clock, telemetry);
  const pass = async (ms: number, due = false) => {
    await waitFor(() => wake !== undefined, { what: "the refresher to sleep" });
    [isDue, nowMs] = [due, nowMs + ms];
    const woken = wake;
    wake = undefined;
    woken?.();
    await waitFor(() => wake !== undefined, { what: "the refresher to sleep again" });
  };
  const logged = () => lines.splice(0).map(({ event, msg }) => `${event}: ${msg}`);
  return { refresher, telemetry, pass, logged };
}

test("the root's expiry is logged from 60 days before, at the start and once a day, with what to do", async () => {
  const { refresher, telemetry, pass, logged } = newRefresher(ROOT_ENDS_AT - 60.5 * DAY_MS);
  refresher.start();
  await pass(0.4 * DAY_MS);
  expect(logged()).toEqual([]);
  await pass(0.2 * DAY_MS);
  expect(logged()).toEqual([
    "root_expiring: root 3 of the signed metadata ends at 1971-02-05T00:00:00.000Z, in 59 days; devices then refuse all of it. " +
      "Renew it: tributary models keys rotate DATADIR --renew, and restart the registry",
  ]);
  for (let hour = 0; hour < 48; hour++) await pass(3_600_000);
  expect(logged()).toHaveLength(2);
  const metrics = await telemetry.metrics();
  expect(metrics).toContain(`tributary_registry_root_expires_in_seconds ${(60.5 - 0.6 - 2) * 86_400}`);
  expect(metrics).toContain("tributary_registry_metadata_expires_in_seconds 86400");
  await pass(60 * DAY_MS);
  expect(logged()).toEqual([expect.stringContaining("ended at 1971-02-05T00:00:00.000Z; devices refuse all of it")]);
  expect(await telemetry.metrics()).toMatch(/tributary_registry_metadata_expires_in_seconds -\d+/);
  await refresher.stop();

  const again = newRefresher(ROOT_ENDS_AT - DAY_MS);
  again.refresher.start();
  expect(again.logged()).toEqual([expect.stringMatching(/^root_expiring: .* in 1 days/)]);
  await again.refresher.stop();
});

test("a refresh is logged when something was signed again, also while the root is what ends first", async () => {
  const { refresher, pass, logged } = newRefresher(ROOT_ENDS_AT - 0.4 * DAY_MS);
  refresher.start();
  logged();
  await pass(1_000);
  expect(logged()).toEqual([]);
  await pass(1_000, true);
  expect(logged()).toEqual(["metadata_refreshed: metadata is signed again, valid until 1971-02-05T00:00:00.000Z"]);
  await refresher.stop();
});
