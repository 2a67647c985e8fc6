/** The modules of lab/sabotage fit the programs that they break (ADR 43): a rename must not make a control harmless. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "@jest/globals";
import { exitFlags } from "@tributary/kernel";
import { mains } from "@tributary/stack";
import { repositoryRoot, sabotaged } from "@tributary/testing";

const folder = join(repositoryRoot, "lab/sabotage");
const { agent, bridge, driftMonitor, gateway, lightDevices, rolloutManager, router, trainer } = mains;
const sabotages: Readonly<Record<string, readonly [program: string, ...replaced: string[]]>> = {
  "early-puback": [bridge, "Ingest of edge/bridge/dist/ingest.js"],
  "unverified-slots": [agent, "openSlot of edge/agent/dist/updates/boot.js"],
  "torn-slots": [agent, "PackageStore of edge/agent/dist/updates/package-store.js"],
  "act-before-read-back": [rolloutManager, "EventLog of services/rollout-manager/dist/log/event-log.js"],
  "die-at": [
    rolloutManager,
    "DesiredWriter of services/rollout-manager/dist/desired/desired-writer.js",
    "EventLog of services/rollout-manager/dist/log/event-log.js",
  ],
  "commit-before-stored": [driftMonitor, "PartitionWorker of services/drift-monitor/dist/partition-worker.js"],
  "die-while-opening": [driftMonitor, "decideVerdicts of libs/core/drift/dist/decide-verdicts.js"],
  "die-in-training": [
    trainer,
    "RunsSink of services/trainer/dist/sinks.js",
    "TrainerEffects of services/trainer/dist/runs/effects.js",
  ],
  "forget-started-jobs": [
    trainer,
    "LocalBackend of services/trainer/dist/backends/local.js",
    "RunsSink of services/trainer/dist/sinks.js",
    "TrainerEffects of services/trainer/dist/runs/effects.js",
  ],
  "no-checkpoints": [rolloutManager, "Checkpoints of services/rollout-manager/dist/checkpoints/checkpoints.js"],
  "wrong-clock": [agent],
  "unbounded-clock": [rolloutManager, "ClockWatch of libs/service-kit/dist/clock-watch.js"],
  "moving-name": [router],
  "trusting-driver": [
    agent,
    "Heartbeat of edge/agent/dist/driving/heartbeat.js",
    "Driver of edge/agent/dist/driving/driver.js",
  ],
  "apply-while-driving": [lightDevices, "Updater of edge/agent/dist/updates/updater.js"],
  "fallback-first-come": [router, "FallbackBudget of libs/core/routing/dist/settlement/fallback-budget.js"],
  "no-device-shares": [router, "DeviceShares of libs/core/routing/dist/settlement/shares.js"],
  "fallback-from-fleet-budget": [router, "Admission of libs/core/routing/dist/settlement/admission.js"],
  "no-answer-from-fleet-budget": [
    router,
    "ArmAdmission of libs/core/routing/dist/settlement/arm-admission.js",
    "Admission of libs/core/routing/dist/settlement/admission.js",
  ],
  "poll-in-arrival-order": [router, "interleave of services/router/dist/interleave.js"],
  "batches-as-one-record": [
    bridge,
    "costOf of edge/bridge/dist/cost.js",
    "DeviceWindows of edge/bridge/dist/device-windows.js",
  ],
  "acknowledge-beyond-retention": [bridge, "RetentionGuard of edge/bridge/dist/retention/retention-guard.js"],
  "cameras-without-shares": [gateway, "Holdings of libs/kernel/dist/owner-shares.js"],
  "candidates-without-shares": [gateway, "fairPlaces of services/gateway/dist/labels/fair-places.js"],
};

const run = (...args: string[]) => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  return promisify(execFile)(process.execPath, [...exitFlags, ...args], {
    env: { ...env, TRIBUTARY_CLOCK_OFFSET_MS: "1", TRIBUTARY_MOVING_NAME: "/dev/null" },
  });
};

test.each(Object.entries(sabotages))("%s takes effect in its program", async (name, [program, ...replaced]) => {
  const { stdout, stderr } = await run(...sabotaged(name), program, "--help");
  expect(stdout).toContain("--config");
  expect(stderr.split("\n").filter((line) => line.startsWith("sabotage: "))).toEqual(
    replaced.map((what) => `sabotage: ${what} is replaced`),
  );
});

test("each of them is tried here", () => {
  const modules = readdirSync(folder).filter((file) => file !== "replace-export.mjs");
  expect(modules.toSorted()).toEqual(
    Object.keys(sabotages)
      .map((name) => `${name}.mjs`)
      .toSorted(),
  );
});

test("a module, export or method that is not there is refused before the program starts", async () => {
  const script = `
    import { replaceExport } from ${JSON.stringify(pathToFileURL(join(folder, "replace-export.mjs")).href)};
    const file = "edge/agent/dist/updates/package-store.js";
    const outcome = (promise) => promise.then(() => console.log("accepted"), (error) => console.log(error.message));
    await outcome(replaceExport("edge/agent/dist/updates/nowhere.js", "PackageStore", (whole) => whole));
    await outcome(replaceExport(file, "Nothing", (whole) => whole));
    await outcome(replaceExport(file, "PackageStore", (PackageStore) => class extends PackageStore { scribble() {} }));`;
  const { stdout } = await run("--input-type=module", "--eval", script);
  expect(stdout.split("\n")).toEqual([
    expect.stringMatching(/^Cannot find module .*nowhere\.js/),
    "sabotage: edge/agent/dist/updates/package-store.js exports no Nothing",
    "sabotage: PackageStore of edge/agent/dist/updates/package-store.js has no scribble",
    "",
  ]);
});
