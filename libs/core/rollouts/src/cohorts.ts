/** Which devices get a new model first, and which are compared with them.
 *
 * Devices alike in hardware, camera, site and pre-period accuracy are a stratum, and each gives its share, so the canary is the
 * fleet in small. Within a stratum a salted hash of the device's id orders the devices: a larger weight only adds some, and
 * another rollout's salt picks others. The control is taken from the other end, from the devices that are updated last. Cohorts
 * are frozen when the rollout starts and analysed as assigned. Strata are kept with the order, for the cross-check to draw from
 * (cross-check.ts), in fleets of up to `STRATA_DEVICES_MAX` devices: an event must fit into a record. */
import { Failure, hashOf } from "@tributary/kernel";

export type FleetDevice = {
  readonly deviceId: string;
  readonly hardwareClass: string;
  readonly camera: string;
  readonly site: string;
  /** Accuracy before the rollout, 0 to 1; null where nothing is known. */
  readonly accuracyBefore: number | null;
};

/** Devices in the order in which a rollout reaches them. */
export type Cohorts = {
  readonly order: readonly string[];
  /** Of each device of `order`, the number of its stratum; absent: not known, or of a rollout from before they were kept. */
  readonly strata?: readonly number[];
};

const ACCURACY_BANDS = 4;
export const STRATA_DEVICES_MAX = 50_000;

export function assignCohorts(fleet: readonly FleetDevice[], salt: string): Cohorts {
  const strata = new Map<string, FleetDevice[]>();
  const bandOf = accuracyBands(fleet);
  for (const device of fleet) {
    const key = JSON.stringify([device.hardwareClass, device.camera, device.site, bandOf(device)]);
    const stratum = strata.get(key);
    if (stratum === undefined) strata.set(key, [device]);
    else stratum.push(device);
  }
  // A device's place within its stratum, as a share of it, is its place in the whole: any prefix is the fleet in small.
  const placed = [...strata.entries()].flatMap(([key, devices]) => {
    const shift = hashOf(`${salt}\n${key}`) / 2 ** 32;
    return devices
      .map(({ deviceId }) => ({ deviceId, hash: hashOf(`${salt}\n${deviceId}`) }))
      .sort((a, b) => a.hash - b.hash || (a.deviceId < b.deviceId ? -1 : 1))
      .map(({ deviceId }, i) => ({ deviceId, key, place: (i + shift) / devices.length }));
  });
  placed.sort((a, b) => a.place - b.place || (a.deviceId < b.deviceId ? -1 : 1));
  const order = placed.map(({ deviceId }) => deviceId);
  if (order.length > STRATA_DEVICES_MAX) return { order };
  const numbers = new Map<string, number>();
  for (const { key } of placed) if (!numbers.has(key)) numbers.set(key, numbers.size);
  return { order, strata: placed.map(({ key }) => numbers.get(key) as number) };
}

/** The devices that a weight reaches, in percent: rounded up, so that a weight above 0 reaches someone. */
export const reachedBy = ({ order }: Cohorts, weight: number): readonly string[] =>
  order.slice(0, Math.ceil((order.length * weight) / 100 - 1e-9));

/** At most `perCanary` devices for each canary device. */
export function controlOf({ order }: Cohorts, canaryWeight: number, perCanary: number): readonly string[] {
  const canaries = reachedBy({ order }, canaryWeight).length;
  const wanted = Math.min(order.length - canaries, Math.ceil(canaries * perCanary));
  return order.slice(order.length - wanted);
}

/** What devices are part of until it ends. */
export type Holder = {
  readonly kind: "rollout" | "experiment";
  readonly uid: string;
  readonly name: string;
  readonly devices: readonly string[];
};

/** Refuses devices that another rollout or experiment holds already. */
export function refuseConflicts(devices: readonly string[], others: readonly Holder[]): void {
  const wanted = new Set(devices);
  for (const { kind, uid, name, devices: held } of others) {
    const shared = held.filter((deviceId) => wanted.has(deviceId));
    if (shared.length === 0) continue;
    const some = shared.slice(0, 3).join(", ") + (shared.length > 3 ? ` and ${shared.length - 3} more` : "");
    const end = kind === "rollout" ? "abort" : "stop";
    const message = `${kind} ${name} (${uid}) is still active on ${some}; wait for it, ${end} it, or narrow the selector`;
    throw new Failure("rollout-conflict", "ask-a-person", message);
  }
}

/** Quartiles of what is known; the unknown are a band of their own. */
function accuracyBands(fleet: readonly FleetDevice[]): (device: FleetDevice) => number {
  const known = fleet
    .flatMap(({ accuracyBefore }) => (accuracyBefore === null ? [] : [accuracyBefore]))
    .sort((a, b) => a - b);
  const cuts = Array.from(
    { length: ACCURACY_BANDS - 1 },
    (_, i) => known[Math.floor((known.length * (i + 1)) / ACCURACY_BANDS)] ?? 1,
  );
  return ({ accuracyBefore }) => (accuracyBefore === null ? -1 : cuts.filter((cut) => accuracyBefore >= cut).length);
}
