/**
 * Changes that days do not make. Weather and daylight are common to the cameras of a site, so they are estimated by the median of its cameras' last
 * days and taken out of each; how far days usually differ is pooled over the fleet. Only of cameras whose day has several baselines: where the
 * whole day has one, an alarm is a change by itself.
 *
 * B1. A camera changed by itself if its last day differs from its neighbours' by more than days of the fleet's cameras do. Then its shifts are those
 *     that its neighbours do not share.
 * B2. A site changed if the median of its cameras' last days is further from their past than weather explains. A camera without neighbours is
 *     a site of its own.
 * B3. Until a whole day was compared, days make everything. */
import type { CameraDays } from "./findings.ts";
import type { DriftingCamera, ModelLook } from "./fleet-view.ts";
import type { Place } from "./place.ts";
import { matesOf, medianOf } from "./site-factor.ts";

/** A change that days do not make: at least so much, and so many standard deviations of days more. */
const OWN = { allowed: 0.08, deviations: 4 } as const;
const SITE = { allowed: 0.05, deviations: 3 } as const;
/** How far a camera's day is from its neighbours' before anything is known of the fleet, and as of how many cameras that counts. */
const OWN_SD = 0.03;
const OWN_PRIOR = 10;
/** Cameras further from their neighbours than so many medians do not show what is usual. */
const USUAL_MEDIANS = 2.5;
/** How far the days of a site's cameras are from each other is as of so many cameras of the fleet, and then of its own. */
const SITE_PRIOR = 5;
const SD_OF_MEDIAN = 1.48;
/** Of what a site's cameras have in common, one may see so much more or less than its neighbours. */
const RESPONSE = 0.8;
/** Of the change of its day, a camera must show so much itself, not only its neighbours. */
const ITSELF = 0.5;
/** A change that is known already is one as long as it has this part of the size. */
const KNOWN = 0.6;

/** A camera's last day; NaN of streams of which it is not known. */
type Day = ArrayLike<number>;

/** Of the drifting cameras those that changed by more than days do. `known`: places of open verdicts. */
export function beyondDays(look: ModelLook, known: readonly Place[]): readonly DriftingCamera[] {
  if (look.drifting.every(({ camera }) => camera.days === undefined)) return look.drifting;
  const usual = usualDifferences(look);
  const isOpen = (key: string, value: string) => known.some((one) => one.key === key && one.value === value);
  return look.drifting.flatMap((camera) => {
    const { days, cameraId } = camera.camera;
    if (days === undefined) return [camera];
    if (days.last === null) return []; // B3
    const isOwnOpen = isOpen("camera", `${camera.deviceId}/${cameraId}`);
    const mates = matesOf(camera, look).flatMap((mate) => mate.days ?? []);
    const common = medianDay(daysOf(mates), days.last.length);
    const own = Float32Array.from(days.last, (shift, i) => shift - (common[i] as number));
    if (exceeds(own, days.last, ownLimits(daysOf(mates), common, usual), isOwnOpen))
      return [withShifts(camera, own, false)]; // B1
    const site = medianDay([days.last, ...daysOf(mates)], days.last.length);
    const isSiteOpen = isOwnOpen || isOpen("site", camera.attributes.site ?? "");
    if (!exceeds(site, days.last, siteLimits([days, ...mates]), isSiteOpen)) return [];
    return [withShifts(camera, site, mates.length > 0)]; // B2
  });
}

const daysOf = (cameras: readonly CameraDays[]): readonly Day[] =>
  cameras.flatMap(({ last }) => (last === null ? [] : [last]));

/** Whether a stream changed by more than its limit, and its own day by half of that. */
function exceeds(change: Day, own: Day, limits: Day, isOpen: boolean): boolean {
  for (let i = 0; i < change.length; i++) {
    const [size, ownSize] = [Math.abs(change[i] as number), (own[i] as number) * Math.sign(change[i] as number)];
    if (size >= (isOpen ? KNOWN : 1) * (limits[i] as number) && ownSize >= ITSELF * size) return true;
  }
  return false;
}

/** B1, by stream: what cameras of the fleet differ by, and those of this site, which may respond differently to what they have in common. */
function ownLimits(mates: readonly Day[], common: Day, usual: Day): Day {
  return Float64Array.from(common, (shift, i) => {
    const away = mates.flatMap((day) => (Number.isNaN(day[i]) ? [] : Math.abs((day[i] as number) - shift)));
    const known = Math.max(0, away.length - 1);
    const ofSite = known === 0 ? 0 : known * (SD_OF_MEDIAN * medianOf(away)) ** 2;
    const variance = (SITE_PRIOR * (usual[i] as number) ** 2 + ofSite) / (SITE_PRIOR + known);
    return OWN.allowed + OWN.deviations * Math.sqrt(variance) + RESPONSE * Math.abs(shift);
  });
}

/** B2, by stream: what weather makes of a day, as of the median camera. */
function siteLimits(cameras: readonly CameraDays[]): Day {
  return Float64Array.from((cameras[0] as CameraDays).deviations, (_, i) => {
    const deviation = medianOf(cameras.map(({ deviations }) => deviations[i] as number));
    return SITE.allowed + SITE.deviations * deviation;
  });
}

function withShifts(camera: DriftingCamera, change: Day, isOfSite: boolean): DriftingCamera {
  const shifts = Float32Array.from(camera.drift.shifts, (shift, i) => {
    const [changed, last] = [change[i] as number, camera.camera.days?.last?.[i] as number];
    return Number.isNaN(changed) ? (Number.isNaN(last) ? shift : last) : changed;
  });
  return { ...camera, drift: { ...camera.drift, shifts }, isOfSite };
}

/** By stream, how far a camera's last day usually is from the median of its neighbours'. */
function usualDifferences({ bySite, reference }: ModelLook): Day {
  const sites = [...bySite.values()].map((cameras) => daysOf(cameras.flatMap(({ days }) => days ?? [])));
  return Float64Array.from(reference?.streams ?? [], (_, stream) => {
    const differences = sites
      .flatMap((days) => [...differencesOf(days.map((day) => day[stream] as number))])
      .sort((a, b) => a - b);
    const usualMax = USUAL_MEDIANS * (differences[differences.length >> 1] ?? 0);
    let [squares, cameras] = [OWN_PRIOR * OWN_SD ** 2, OWN_PRIOR];
    for (const difference of differences) {
      if (difference > usualMax) break;
      squares += difference ** 2;
      cameras += 1;
    }
    return Math.sqrt(squares / cameras);
  });
}

/** Of each, how far it is from the median of the others. */
function differencesOf(shifts: readonly number[]): readonly number[] {
  const sorted = Float64Array.from(shifts.filter((shift) => !Number.isNaN(shift))).sort();
  const others = sorted.length - 1;
  if (others < 1) return [];
  const without = (i: number, removed: number) => sorted[i < removed ? i : i + 1] as number;
  return Array.from(sorted, (shift, i) => {
    const upper = without(others >> 1, i);
    const median = others % 2 === 1 ? upper : (upper + without((others >> 1) - 1, i)) / 2;
    return Math.abs(shift - median);
  });
}

/** By stream, the median of the days of which it is known. */
const medianDay = (days: readonly Day[], streams: number): Day =>
  Float32Array.from({ length: streams }, (_, i) =>
    medianOf(days.map((day) => day[i] as number).filter((shift) => !Number.isNaN(shift))),
  );
