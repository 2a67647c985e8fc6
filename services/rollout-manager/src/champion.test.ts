/** Which model becomes champion when a rollout ends, and which when it is undone. */
import { expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { type RolloutChange, RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { createTelemetry } from "@tributary/telemetry";
import { someModel, someReported } from "@tributary/testing";
import { Champions } from "./champion.ts";
import { specOf } from "./creation/spec-problems.ts";
import { FleetTable } from "./fleet/fleet-table.ts";
import { digests, usualSteps, written } from "./rollout-manager.test-kit.ts";

const order = Array.from({ length: 160 }, (_, i) => `d${i}`);
const versions = { "1": digests.old, "2": digests.better, "3": digests.other };

/** Version 1 is champion, and every device runs it. */
function rig() {
  const [models, fleet] = [new ModelTable(), new FleetTable()];
  const controller = new RolloutController(new FleetMetrics());
  for (const [version, modelDigest] of Object.entries(versions)) models.applyModel(someModel({ version, modelDigest }));
  let now = 0;
  let position = 0n;
  const alias = (aliases: Readonly<Record<string, string>>) => {
    now += 1;
    models.applyAliases({ name: "edge", aliases, changedBy: "ann", changedAt: now, validation: null });
  };
  const runs = (deviceId: string, version: keyof typeof versions) => {
    const slots = { perception: { modelDigest: versions[version], modelName: "edge", modelVersion: version } };
    fleet.reported(deviceId, someReported({ deviceId, slots }), now);
  };
  const add = (uid: string, ...changes: readonly RolloutChange[]) => {
    for (const change of changes) {
      [now, position] = [now + 1, position + 1n];
      const version = (controller.rollout(uid)?.version ?? 0) + 1;
      expect(controller.applied({ uid, version, at: now, by: "ann", change }, position).kind).toBe("counts");
    }
  };
  const champions = new Champions({
    controller,
    models,
    fleet,
    clock: systemClock,
    access: { url: "http://127.0.0.1:1", timeoutMs: 1 },
    telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
  });
  alias({ champion: "1" });
  for (const deviceId of order) runs(deviceId, "1");
  return {
    alias,
    runs,
    /** A rollout from one version to another is Healthy. */
    rolledOut: (from: keyof typeof versions, to: keyof typeof versions, selector: object = {}) => {
      const spec = specOf(written(`edge@${to}`, { selector }));
      const [modelDigest, stableDigest] = [versions[to], versions[from]];
      add(
        ...([`r${to}`, { kind: "created", spec, modelDigest, stableDigest, order }] as const),
        { kind: "promoted", full: true, evidence: {} },
        { kind: "step-started", step: usualSteps.length - 1 },
        { kind: "step-finished", step: usualSteps.length - 1, evidence: {} },
        { kind: "completed", evidence: {} },
      );
    },
    /** All its devices are rolled back. */
    undone: (version: keyof typeof versions) => {
      add(`r${version}`, controller.command(`r${version}`, "undo", "ann").change);
      add(`r${version}`, { kind: "rolled-back", evidence: {} });
    },
    champion: () => champions.championOf("edge")?.version,
  };
}

test("a model whose rollout reached all its devices becomes champion, unless a person changed aliases since (C1)", () => {
  const { rolledOut, alias, champion } = rig();
  rolledOut("1", "2");
  expect(champion()).toBe("2");
  alias({ champion: "1" });
  expect(champion()).toBe("1");
});

test("an undone rollout reverts the alias, unless a person changed aliases since (C3)", () => {
  const { rolledOut, undone, alias, champion } = rig();
  rolledOut("1", "2");
  alias({ champion: "2" });
  rolledOut("2", "3");
  alias({ champion: "3" });
  undone("3");
  expect(champion()).toBe("2");
  alias({ champion: "2" });
  undone("2");
  expect(champion()).toBe("1");
  alias({ champion: "2" });
  expect(champion()).toBe("2");
});

test("undoing a model that was not champion changes no alias (C3)", () => {
  const { rolledOut, undone, alias, champion } = rig();
  rolledOut("1", "2");
  alias({ champion: "3" });
  undone("2");
  expect(champion()).toBe("3");
});

test("a rollout to a part of the fleet does not change the champion while the others run another version (C4)", () => {
  const { rolledOut, undone, alias, runs, champion } = rig();
  rolledOut("1", "2", { devices: ["d0", "d1"] });
  runs("d0", "2");
  runs("d1", "2");
  expect(champion()).toBe("1");
  for (const deviceId of order) runs(deviceId, "2");
  expect(champion()).toBe("2");
  alias({ champion: "2" });
  undone("2");
  expect(champion()).toBe("2");
});

test("a selector of all that run the model is no part, and devices that run other models do not count (C4)", () => {
  const { rolledOut, runs, champion } = rig();
  for (const deviceId of order) runs(deviceId, "2");
  rolledOut("1", "2", { hardwareClasses: [someReported().hardwareClass] });
  runs("joined", "1");
  expect(champion()).toBe("2");
});
