/** Which models may be rolled out, and what a rollback returns to. */
import { describe, expect, test } from "@jest/globals";
import { DeviceDesired, type DeviceReported, type Model } from "@tributary/contracts";
import { ModelTable } from "@tributary/models";
import { someModel, someReported } from "@tributary/testing";
import { FleetTable } from "../fleet/fleet-table.ts";
import { digests, somePassedGate, written } from "../rollout-manager.test-kit.ts";
import { planRollout } from "./plan-rollout.ts";
import { specOf } from "./spec-problems.ts";

/** Versions 1, the champion, to 3; `running`: how many devices run which digest; the empty one: none. */
function rig(running: Readonly<Record<string, number>> = { [digests.old]: 160 }) {
  const models = new ModelTable();
  const push = (version: string, modelDigest: string, change: Partial<Model> = {}) => {
    const gate = somePassedGate({ championDigest: digests.old });
    const model = someModel({ version, modelDigest, hardwareClass: "x64", gate, ...change });
    models.applyModel(model);
    return model;
  };
  const alias = (aliases: Readonly<Record<string, string>>) =>
    models.applyAliases({ name: "edge", aliases, changedBy: "ann", changedAt: 1, validation: null });
  for (const [version, digest] of Object.entries({ "1": digests.old, "2": digests.better, "3": digests.other }))
    push(version, digest);
  alias({ champion: "1" });
  const fleet = new FleetTable();
  const acceptedSchemas = DeviceDesired.versions.map(({ fingerprint }) => fingerprint);
  const ran = Object.entries(running).flatMap(([digest, count]) => Array.from({ length: count }, () => digest));
  const join = (deviceId: string, hardwareClass: string, modelDigest = "") => {
    const perception = { modelDigest, modelName: "edge", modelVersion: "" };
    const slots: DeviceReported["slots"] = modelDigest === "" ? {} : { perception };
    fleet.reported(deviceId, someReported({ deviceId, hardwareClass, acceptedSchemas, slots }), 1);
  };
  for (const [i, modelDigest] of ran.entries()) join(`d${i}`, "x64", modelDigest);
  const world: { promoted?: Model } = {};
  const plan = (model: string, spec: object = {}) =>
    planRollout(specOf(written(model, spec)), {
      fleet,
      models,
      accuracyBefore: () => null,
      latencyMsMax: () => null,
      salt: "s",
      championOf: (name) => world.promoted ?? models.byAlias(name, "champion"),
    });
  return { push, alias, world, join, plan };
}

test("segments are fixed at the creation: the model's labels, and the sites of its devices", () => {
  const { plan, push } = rig();
  push("3", digests.other, { labels: ["ok", "scratch"] });
  expect(plan("edge@3").segments).toEqual({ classes: ["ok", "scratch"], sites: [], siteOf: [] });
});

describe("a model that the gate compared with another champion than the present one", () => {
  test("is refused with what to do, until it was compared with this one", () => {
    const { push, alias, plan } = rig();
    alias({ champion: "2" });
    expect(() => plan("edge@3")).toThrow(
      /edge@3 was compared with another champion than edge@2; make it challenger and the registry judges it again: tributary models alias edge@3 challenger; or force it/,
    );
    alias({ champion: "2", challenger: "3" });
    expect(() => plan("edge@3")).toThrow(/edge@2; the registry judges it again by itself: wait for that; or force it/);
    push("3", digests.other, { gate: somePassedGate({ championDigest: digests.better }) });
    expect(plan("edge@3").modelDigest).toBe(digests.other);
  });

  test("is refused as soon as the other is to become champion", () => {
    const { push, world, plan } = rig();
    world.promoted = push("2", digests.better);
    expect(() => plan("edge@3")).toThrow(/compared with another champion than edge@2/);
  });

  test("proceeds for a forced model, or without a champion", () => {
    const { push, alias, plan } = rig();
    alias({});
    expect(plan("edge@3").stableDigest).toBe(digests.old);
    alias({ champion: "2" });
    push("3", digests.other, { gate: somePassedGate({ championDigest: digests.old, forcedBy: "ann" }) });
    expect(plan("edge@3").modelDigest).toBe(digests.other);
  });
});

describe("the model that a rollback returns to", () => {
  test("is the package that most devices run, whatever the champion: some were offline when a model was undone", () => {
    const { alias, push, plan } = rig({ [digests.better]: 3, [digests.old]: 157 });
    alias({ champion: "2" });
    push("3", digests.other, { gate: somePassedGate({ championDigest: digests.better }) });
    expect(plan("edge@3").stableDigest).toBe(digests.old);
  });

  test("is never the model itself, nor one that the registry does not list", () => {
    const { plan, push } = rig({ [digests.other]: 80, [digests.better]: 50, [digests.old]: 30 });
    expect(plan("edge@3").stableDigest).toBe(digests.better);
    push("2", digests.better, { state: "REVOKED" });
    expect(plan("edge@3").stableDigest).toBe(digests.old);
    push("1", digests.old, { state: "REVOKED" });
    push("2", digests.better);
    expect(plan("edge@3").stableDigest).toBe(digests.better);
  });

  test("is the champion where as many run one as the other, and where no device reports one", () => {
    expect(rig({ [digests.better]: 80, [digests.old]: 80 }).plan("edge@3").stableDigest).toBe(digests.old);
    expect(rig({ ["5e".repeat(32)]: 160 }).plan("edge@3").stableDigest).toBe(digests.old);
  });

  test("does not exist for a champion that most devices run already; for one that few run it is that of the others", () => {
    expect(() => rig({ [digests.old]: 148, [digests.better]: 12 }).plan("edge@1")).toThrow(
      /edge@1 is the champion already/,
    );
    expect(rig({ [digests.old]: 12, [digests.better]: 148 }).plan("edge@1").stableDigest).toBe(digests.better);
  });

  test("is required: without a champion the rollout is refused with advice", () => {
    const { alias, plan } = rig({ ["5e".repeat(32)]: 160 });
    alias({});
    expect(() => plan("edge@3")).toThrow(
      /nothing to roll back to: .* nothing else that the registry lists, and edge has no champion/,
    );
  });
});

describe("hardware", () => {
  const rigOf = (hardwareClass: string) => {
    const { push, plan, join } = rig();
    push("3", digests.other, { hardwareClass });
    return { plan, join };
  };

  test.each(["generic", "any"])("%s fits all devices", (hardwareClass) => {
    const { plan, join } = rigOf(hardwareClass);
    join("pi0", "rpi5");
    expect(plan("edge@3").order).toHaveLength(161);
  });

  test("of only some devices is advised as a selector; without any device of the class there is no such advice", () => {
    const { plan, join } = rigOf("rpi5");
    expect(() => plan("edge@3")).toThrow(
      /^spec\.selector: edge@3 is made for rpi5, and all of the devices are x64; pack it for these, or as generic, which fits all hardware$/,
    );
    for (let i = 0; i < 160; i++) join(`pi${i}`, "rpi5");
    expect(() => plan("edge@3")).toThrow(/and 160 of the devices are x64; write hardwareClasses: \[rpi5\]$/);
    expect(plan("edge@3", { selector: { hardwareClasses: ["rpi5"] } }).order).toHaveLength(160);
  });

  test("generic in a selector is refused: it is a class of models", () => {
    expect(() => rigOf("generic").plan("edge@3", { selector: { hardwareClasses: ["generic"] } })).toThrow(
      /no device has hardware class generic; there are x64\. A model of it fits all: leave it out$/,
    );
  });
});

test("a slot that no device has is refused with the existing ones, and any slot is accepted if no device reports one yet", () => {
  const refused = (slot: string) => () => rig().plan("edge@3", { slot });
  expect(refused("preception")).toThrow(/^spec\.slot: no device has slot "preception"; write perception$/);
  expect(refused("world")).toThrow(/no device has slot "world"; there are perception$/);
  expect(rig({ "": 160 }).plan("edge@3").stableDigest).toBe(digests.old);
});
