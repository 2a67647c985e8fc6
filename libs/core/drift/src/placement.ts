/** Splits devices that changed in the same way by what they have in common, so that things that happen at several places at once
 * become several verdicts, and one thing becomes one. */
import type { Member, Placement, Scope } from "./group.ts";
import { locateOneOf, type Place } from "./place.ts";
import type { Population } from "./population.ts";

/** Devices without a place in common are the whole fleet if they are at least this part of it. */
const FLEET_MIN = 0.8;
/** Scattered devices are one event if at least so many changed within so long of one another. */
const EVENT_DEVICES_MIN = 3;
const EVENT_GAP_MS = 3_600_000;

export type PlacementOptions = {
  readonly population: Population;
  /** NAME@VERSION if other models are compared besides, else null: then the scope of all devices is the fleet. */
  readonly model: string | null;
  /** Places of open verdicts. */
  readonly known: readonly Place[];
  /** Whether scattered devices are one thing: what they share is then its name. */
  readonly isOne: boolean;
};

export function place(members: readonly Member[], options: PlacementOptions): readonly Placement[] {
  const { population, known } = options;
  const placements: Placement[] = [];
  let rest = members;
  let others = population;
  while (rest.length > 1) {
    const placed = locateOneOf(
      rest.map(({ attributes }) => attributes),
      others,
      known,
    );
    if (placed === null) break;
    const { key, value, pValue } = placed;
    const inside = rest.filter(({ attributes }) => attributes[key] === value);
    placements.push({ scope: { key, value, pValue, devices: population.with(key, value) }, members: inside });
    rest = rest.filter(({ attributes }) => attributes[key] !== value);
    others = others.without(inside.map(({ attributes }) => attributes));
  }
  return [...placements, ...scattered(rest, others.size, options)];
}

function scattered(rest: readonly Member[], others: number, options: PlacementOptions): readonly Placement[] {
  const { population, model, isOne } = options;
  if (rest.length > 1 && rest.length >= FLEET_MIN * others) {
    const [key, value] = model === null ? ["fleet", ""] : ["model", model];
    return [{ scope: { key, value, pValue: null, devices: population.size }, members: rest }];
  }
  const devices: Scope = { key: "devices", value: "", pValue: null, devices: population.size };
  if (isOne && rest.length > 1) return [{ scope: devices, members: rest }];
  const together: Member[] = [];
  const alone: Member[] = [];
  for (const event of eventsOf(rest)) {
    const joined = event.length >= EVENT_DEVICES_MIN ? together : alone;
    for (const member of event) joined.push(member);
  }
  const one = together.length === 0 ? [] : [{ scope: devices, members: together.sort(byId) }];
  return [...one, ...alone.sort(byId).map((member) => ({ scope: scopeOfOne(member), members: [member] }))];
}

/** Members whose onsets follow one another closely. */
function eventsOf(members: readonly Member[]): readonly Member[][] {
  const events: Member[][] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const member of [...members].sort((a, b) => a.since - b.since || byId(a, b))) {
    if (member.since - last > EVENT_GAP_MS) events.push([]);
    events.at(-1)?.push(member);
    last = member.since;
  }
  return events;
}

export function scopeOfOne({ deviceId, cameras }: Member): Scope {
  const [camera, ...more] = cameras;
  const isCamera = camera !== undefined && more.length === 0;
  const [key, value] = isCamera ? ["camera", `${deviceId}/${camera.cameraId}`] : ["device", deviceId];
  return { key, value, pValue: null, devices: 1 };
}

const byId = (a: Member, b: Member): number => (a.deviceId < b.deviceId ? -1 : a.deviceId > b.deviceId ? 1 : 0);
