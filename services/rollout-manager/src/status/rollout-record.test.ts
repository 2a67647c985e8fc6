import { expect, test } from "@jest/globals";
import { type Rollout, type RolloutChange, RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { specOf } from "../creation/spec-problems.ts";
import { digests, written } from "../rollout-manager.test-kit.ts";
import { recordOf } from "./rollout-record.ts";

test("the record of a rollout that ended counts devices as they were seen, also those that a person abandoned", () => {
  const controller = new RolloutController(new FleetMetrics());
  const order = Array.from({ length: 160 }, (_, i) => `d${i}`);
  const spec = specOf(written("edge@2"));
  const changes: RolloutChange[] = [
    { kind: "created", spec, modelDigest: digests.better, stableDigest: digests.old, order },
    { kind: "step-started", step: 0 },
    { kind: "aborted", why: "the analysis failed", evidence: {} },
    { kind: "rolled-back", evidence: { after: "abort by ann, who abandons the devices that refuse the rollback" } },
  ];
  for (const [i, change] of changes.entries())
    controller.applied({ uid: "u", version: i + 1, at: 1, by: "ann", change }, BigInt(i + 1));
  const rollout = controller.rollout("u") as Rollout;
  const left = controller.rollout("u") as Rollout;
  const abandoned = { ...left, aborted: { ...(left.aborted as NonNullable<Rollout["aborted"]>), isBack: false } };
  const record = recordOf(
    { ...abandoned, aborted: { ...abandoned.aborted, abandoned: { devices: 2, some: ["d3", "d9"] } } },
    ...([controller.seen("u", 1), null, undefined] as const),
  );
  expect(record).toMatchObject({ isBack: false, abandoned: ["d3", "d9"], abandonedDevices: 2 });
  expect(record.message).toContain("2 devices still run the model: d3, d9");
  const messageWith = (evidence: object) =>
    recordOf({ ...rollout, evidence } as Rollout, controller.seen("u", 1), null, undefined).message;
  expect(messageWith(rollout.evidence)).toBe(
    "rolled back: the analysis failed; ended: abort by ann, who abandons the devices that refuse the rollback",
  );
  expect(messageWith({ onModel: 0 })).toBe("rolled back: the analysis failed");
});
