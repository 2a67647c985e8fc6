/**
 * From a specification to the event that creates its rollout: which package, which devices, in which order. Pure.
 *
 * A specification that cannot work is refused before anything runs, with the path and what to write instead. A package is
 * rolled out only if it is listed and its gate passed against the current champion, or it was forced. A rollback returns to
 * the listed package that most of the devices run, so that it changes the fewest; to the champion where as many run that, or
 * where they run none. Devices that take no desired state (agents without support for updates, revoked ones) are not part of
 * the fleet.
 */
import type { Model } from "@tributary/contracts";
import { anyHardware, fitsHardware } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import {
  assignCohorts,
  type Cohorts,
  comparisonsOf,
  controlOf,
  nearest,
  type RolloutChange,
  type RolloutSpec,
  reachedBy,
  type SpecPath,
  type SpecProblem,
  STRATA_DEVICES_MAX,
  segmentsOf,
} from "@tributary/rollouts";
import { smallestArms } from "@tributary/rollouts/judge";
import type { FleetMember, FleetTable } from "../fleet/fleet-table.ts";
import { hasPassed, isJudgedAgainst } from "../models/gate-verdict.ts";
import { SpecRefused } from "./spec-problems.ts";

export type PlanParts = {
  readonly fleet: FleetTable;
  readonly models: ModelTable;
  /** The champion of a model's name, or the model that is about to become it. */
  readonly championOf: (name: string) => Model | undefined;
  /** Accuracy in the past, 0 to 1; null: unknown. */
  readonly accuracyBefore: (deviceId: string) => number | null;
  /** Latency of a frame on these devices with that model, with headroom, in ms; null: unknown. */
  readonly latencyMsMax: (deviceIds: readonly string[], modelDigest: string) => number | null;
  /** Draws the cohorts: the rollout's uid. */
  readonly salt: string;
};

export type Created = Extract<RolloutChange, { kind: "created" }>;

export function planRollout(spec: RolloutSpec, parts: PlanParts): Created {
  const model = modelOf(spec.spec.model, parts);
  const devices = devicesOf(spec.spec.selector, parts.fleet);
  refuseOtherHardware(spec, devices, model);
  refuseOtherSlots(spec, devices);
  refuseWithoutWindows(spec, devices);
  const stable = stableOf(spec, devices, model, parts);
  const cohorts = cohortsOf(devices, parts);
  refuseSmallArms(spec, cohorts);
  const segments = segmentsOf(model.labels, cohorts.order, (id) => parts.fleet.siteOf(id), STRATA_DEVICES_MAX);
  const latencyMsMax = parts.latencyMsMax(cohorts.order, stable.modelDigest);
  return {
    kind: "created",
    spec,
    ...(latencyMsMax !== null && { latencyMsMax }),
    ...(segments !== null && { segments }),
    modelDigest: model.modelDigest,
    stableDigest: stable.modelDigest,
    ...cohorts,
  };
}

const MODEL: SpecPath = ["spec", "model"];
const SELECTOR: SpecPath = ["spec", "selector"];

const refuse = (path: SpecPath, message: string): never => {
  throw new SpecRefused([{ path, message }]);
};
export const some = (items: readonly string[], max = 5): string =>
  items.slice(0, max).join(", ") + (items.length > max ? ` and ${items.length - max} more` : "");

/** NAME (its challenger), NAME@VERSION or NAME@ALIAS. */
function modelOf(written: string, { models, championOf }: PlanParts): Model {
  const path = MODEL;
  const [name = "", wanted = "challenger"] = written.split("@");
  const versions = models.versions(name).map(({ version }) => version);
  if (versions.length === 0) {
    const names = models.names();
    return refuse(path, `no model ${name} is in the registry${names.length > 0 ? `; there are ${some(names)}` : ""}`);
  }
  const model = models.named(name, wanted);
  if (model === undefined) {
    const aliases = Object.entries(models.aliases(name)).map(([alias, version]) => `${alias} (${version})`);
    const known = [...versions, ...aliases];
    return refuse(path, `${name} has no version or alias ${wanted}; write one of ${some(known, 10)}`);
  }
  const called = `${model.name}@${model.version}`;
  if (model.state !== "LISTED") {
    return refuse(path, `${called} is ${model.state.toLowerCase()}: no device may load it; push a new version`);
  }
  if (model.gate === null) {
    const isChallenger = models.aliases(name).challenger === model.version;
    const next = isChallenger
      ? `the registry judges it, and shows how far it is: tributary models describe ${called} --registry URL`
      : `the registry judges challengers: tributary models alias ${called} challenger`;
    return refuse(path, `${called} was not judged by the gate yet; ${next}`);
  }
  if (!hasPassed(model)) {
    const failed = model.gate.failed.length > 0 ? `: ${some(model.gate.failed, 3)}` : "";
    return refuse(path, `the gate of ${called} failed${failed}; push a better version, or force this one by name`);
  }
  const champion = championOf(name);
  if (champion !== undefined && !isJudgedAgainst(model, champion)) {
    const isNext = models.byAlias(name, "challenger")?.modelDigest === model.modelDigest;
    const again = isNext
      ? "the registry judges it again by itself: wait for that"
      : `make it challenger and the registry judges it again: tributary models alias ${called} challenger`;
    const stale = `${called} was compared with another champion than ${champion.name}@${champion.version}`;
    return refuse(path, `${stale}; ${again}; or force it by name`);
  }
  return model;
}

/** Whether the selector means this device. */
export const isSelected = (
  { hardwareClasses, sites, devices }: RolloutSpec["spec"]["selector"],
  { deviceId, hardwareClass }: FleetMember,
  fleet: Pick<FleetTable, "siteOf">,
): boolean =>
  (hardwareClasses === undefined || hardwareClasses.includes(hardwareClass)) &&
  (sites === undefined || sites.includes(fleet.siteOf(deviceId))) &&
  (devices === undefined || devices.includes(deviceId));

/** Throws SpecRefused. */
export function devicesOf(
  selector: RolloutSpec["spec"]["selector"],
  fleet: FleetTable,
  code?: string,
): readonly FleetMember[] {
  const { hardwareClasses, sites, devices: named } = selector;
  const all = [...fleet.members()].filter(({ deviceId }) => !fleet.isRevoked(deviceId));
  const selected = all.filter((device) => isSelected(selector, device, fleet));
  const problems: SpecProblem[] = [];
  const missing = (path: string, wanted: readonly string[] | undefined, present: readonly string[], what: string) => {
    const known = new Set(present);
    for (const [i, one] of (wanted ?? []).entries()) {
      if (known.has(one)) continue;
      const there = [...known].filter((name) => name !== "").sort();
      const advice = there.length > 0 ? `; there are ${some(there)}` : "";
      const ofModels =
        path === "hardwareClasses" && anyHardware.includes(one) ? ". A model of it fits all: leave it out" : "";
      problems.push({ path: [...SELECTOR, path, i], message: `no device ${what} ${one}${advice}${ofModels}` });
    }
  };
  const hardware = all.map(({ hardwareClass }) => hardwareClass);
  missing("hardwareClasses", hardwareClasses, hardware, "has hardware class");
  const placed = all.map(({ deviceId }) => fleet.siteOf(deviceId));
  missing("sites", sites, placed, "stands at");
  const ids = new Set(all.map(({ deviceId }) => deviceId));
  for (const [i, deviceId] of (named ?? []).entries()) {
    if (ids.has(deviceId)) continue;
    const why = fleet.isRevoked(deviceId) ? "is revoked" : "never reported";
    problems.push({ path: [...SELECTOR, "devices", i], message: `${deviceId} ${why}; leave it out` });
  }
  const unsupported = selected.filter(({ takesDesiredState }) => !takesDesiredState).map(({ deviceId }) => deviceId);
  for (const deviceId of unsupported.filter((id) => named?.includes(id))) {
    const path = [...SELECTOR, "devices", named?.indexOf(deviceId) ?? 0];
    problems.push({ path, message: `the agent of ${deviceId} knows nothing of updates; update it first` });
  }
  if (problems.length > 0) throw new SpecRefused(problems, code);
  const devices = selected.filter(({ takesDesiredState }) => takesDesiredState);
  if (devices.length > 0) return devices;
  const others = unsupported.length > 0 ? `; ${unsupported.length} have agents that know nothing of updates` : "";
  throw new SpecRefused([{ path: SELECTOR, message: `no device is selected${others}` }], code);
}

/** Strata and order of these devices. */
export const cohortsOf = (
  devices: readonly FleetMember[],
  { fleet, accuracyBefore, salt }: Pick<PlanParts, "fleet" | "accuracyBefore" | "salt">,
): Cohorts =>
  assignCohorts(
    devices.map(({ deviceId, hardwareClass, cameras }) => ({
      deviceId,
      hardwareClass,
      camera: cameras,
      site: fleet.siteOf(deviceId),
      accuracyBefore: accuracyBefore(deviceId),
    })),
    salt,
  );

function refuseOtherHardware({ spec }: RolloutSpec, devices: readonly FleetMember[], model: Model): void {
  const others = devices.filter(({ hardwareClass }) => !fitsHardware(model.hardwareClass, hardwareClass));
  if (others.length === 0) return;
  const classes = [...new Set(others.map(({ hardwareClass }) => hardwareClass))].sort();
  const path = spec.selector.hardwareClasses === undefined ? SELECTOR : [...SELECTOR, "hardwareClasses"];
  const [count, advice] =
    others.length === devices.length
      ? ["all", `pack it for these, or as ${anyHardware[0]}, which fits all hardware`]
      : [others.length, `write hardwareClasses: [${model.hardwareClass}]`];
  refuse(
    path,
    `${model.name}@${model.version} is made for ${model.hardwareClass}, and ${count} of the devices are ${some(classes)}; ${advice}`,
  );
}

/** If no device reports a slot yet, any slot is accepted. */
function refuseOtherSlots({ spec }: RolloutSpec, devices: readonly FleetMember[]): void {
  const slots = [...new Set(devices.flatMap((device) => Object.keys(device.slots)))].sort();
  if (slots.length === 0 || slots.includes(spec.slot)) return;
  const near = nearest(spec.slot, slots);
  const advice = near === undefined ? `there are ${some(slots)}` : `write ${near}`;
  refuse(["spec", "slot"], `no device has slot "${spec.slot}"; ${advice}`);
}

/** An older agent is sent no window, and would switch at once. */
function refuseWithoutWindows({ spec }: RolloutSpec, devices: readonly FleetMember[]): void {
  if (spec.maintenanceWindows.length === 0) return;
  const without = devices.filter(({ knowsWindows }) => !knowsWindows).map(({ deviceId }) => deviceId);
  if (without.length === 0) return;
  const what = `the agents of ${without.length} devices (${some(without)}) know nothing of maintenance windows and would switch at once`;
  refuse(["spec", "maintenanceWindows"], `${what}; update them first, or select others`);
}

function stableOf(
  { spec }: RolloutSpec,
  devices: readonly FleetMember[],
  model: Model,
  { models, championOf }: PlanParts,
): Model {
  const running = new Map<string, number>();
  for (const { slots } of devices) {
    const digest = slots[spec.slot];
    if (digest !== undefined) running.set(digest, (running.get(digest) ?? 0) + 1);
  }
  const called = `${model.name}@${model.version}`;
  if (running.size === 1 && running.has(model.modelDigest)) {
    return refuse(MODEL, `all ${devices.length} devices run ${called} already`);
  }
  const champion = championOf(model.name);
  let stable = champion;
  let most = champion?.state === "LISTED" ? (running.get(champion.modelDigest) ?? 0) : 0;
  for (const [digest, count] of running) {
    if (digest === model.modelDigest) continue;
    const known = models.byDigest(digest);
    if (known?.state === "LISTED" && count > most) [stable, most] = [known, count];
  }
  if (stable === undefined) {
    return refuse(
      MODEL,
      `nothing to roll back to: the devices run nothing else that the registry lists, and ${model.name} has no champion; give one the alias: tributary models alias ${model.name}@VERSION champion`,
    );
  }
  if (stable.state !== "LISTED") {
    return refuse(MODEL, `the champion ${stable.name}@${stable.version} is revoked: there is nothing to roll back to`);
  }
  if (stable.modelDigest === model.modelDigest) {
    return refuse(MODEL, `${called} is the champion already; roll out another version`);
  }
  return stable;
}

/** At every weight with a control group, each metric must be able to show harm. */
function refuseSmallArms({ spec, ...rest }: RolloutSpec, cohorts: Cohorts): void {
  const { steps, controlsPerCanary } = spec.strategy.canary;
  const share = 1 / comparisonsOf({ spec, ...rest });
  const problems: SpecProblem[] = [];
  const alpha = Math.min(...spec.metrics.map((metric) => metric.alpha)) * share;
  const needed = smallestArms(alpha);
  for (const [i, step] of steps.entries()) {
    if (!("setWeight" in step) || step.setWeight >= 100) continue;
    const [canaries, controls] = armSizes(cohorts, step.setWeight, controlsPerCanary);
    if (canaries >= needed && controls >= needed) continue;
    const devices = cohorts.order.length;
    const least = smallestFleet(step.setWeight, controlsPerCanary, needed);
    const weight = smallestWeight(cohorts, controlsPerCanary, needed);
    const advice = weight === null ? "" : `, or setWeight: ${weight} of these`;
    problems.push({
      path: ["spec", "strategy", "canary", "steps", i, "setWeight"],
      message: `${step.setWeight} % of ${devices} devices is a canary of ${canaries} beside a control of ${controls}; at alpha ${Number(alpha.toPrecision(2))} each needs ${needed} to show any harm: a fleet of ${least} devices would do${advice}`,
    });
  }
  if (problems.length > 0) throw new SpecRefused(problems, "arms-too-small");
}

const armSizes = (cohorts: Cohorts, weight: number, perCanary: number): readonly [number, number] => [
  reachedBy(cohorts, weight).length,
  controlOf(cohorts, weight, perCanary).length,
];

function smallestFleet(weight: number, perCanary: number, needed: number): number {
  for (let devices = 2 * needed; devices < 10_000_000; devices = Math.max(devices + 1, Math.floor(devices * 1.001))) {
    const canaries = Math.ceil((devices * weight) / 100 - 1e-9);
    const controls = Math.min(devices - canaries, Math.ceil(canaries * perCanary));
    if (canaries >= needed && controls >= needed) return devices;
  }
  throw new Failure("arms-too-small", "ask-a-person", `no fleet is large enough for a weight of ${weight} %`);
}

/** In percent, rounded up to a tenth; null: no weight does. */
function smallestWeight(cohorts: Cohorts, perCanary: number, needed: number): number | null {
  const devices = cohorts.order.length;
  const weight = Math.ceil((needed / devices) * 1_000) / 10;
  if (weight >= 100) return null;
  const [canaries, controls] = armSizes(cohorts, weight, perCanary);
  return canaries >= needed && controls >= needed ? weight : null;
}
