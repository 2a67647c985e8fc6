/**
 * Changes that days do not make. Weather and daylight are common to the cameras of a site, so they are estimated by the median of its cameras' last
 * days and taken out of each; how far days usually differ is pooled over the fleet. Only of cameras whose day has several baselines: where the
 * whole day has one, an alarm is a change by itself.
 *
 * B1. A camera changed by itself if its last day differs from its neighbours' by more than days of the fleet's cameras do. Then its shifts are those
 *     that its neighbours do not share.
 * B2. A site changed if the median of its cameras' last days is further from their past than weather explains. A camera without neighbours is
 *     a site of its own.
 * B3. Until a whole day was compared, days make everything.
 * B4. A change that has a verdict is over when evidence against it is as strong as it had to be for it: when the last day is so many standard
 *     deviations within the limit as it had to be beyond what is allowed. */
import type { CameraDays } from "./findings.ts";
import type { DriftingCamera, ModelLook } from "./fleet-view.ts";
import type { Previous } from "./previous.ts";
import { medianOf } from "./site-factor.ts";

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

/** Scopes of verdicts of cameras that changed by themselves. */
const OF_CAMERAS: readonly string[] = ["camera", "device", "devices"];

/** By stream, a camera's last day, or what is compared with it; NaN of streams of which it is not known. */
type Day = ArrayLike<number>;

/** Of the drifting cameras those that changed by more than days do. */
export function beyondDays(look: ModelLook, previous: Previous): readonly DriftingCamera[] {
  if (look.drifting.every(({ camera }) => camera.days === undefined)) return look.drifting;
  const streams = look.reference?.streams.length ?? 0;
  const sites = new Map(
    [...look.bySite].map(([site, cameras]) => [
      site,
      new SiteDays(
        cameras.flatMap(({ days }) => days ?? []),
        streams,
      ),
    ]),
  );
  const usual = usualDifferences([...sites.values()], streams);
  return look.drifting.flatMap((camera) => {
    const { days, cameraId } = camera.camera;
    if (days === undefined) return [camera];
    if (days.last === null) return []; // B3
    const site = sites.get(camera.attributes.site ?? "") ?? new SiteDays([days], streams);
    const scopes = previous.scopesOf(look.modelDigest, camera.deviceId, cameraId);
    const isOwnKnown = [...scopes].some((key) => key !== "site"); // B4
    const { change, limits } = site.own(days.last, usual);
    const own = strengthOf(change, days.last, limits, isOwnKnown ? OWN.allowed : null);
    if (own !== null) return [changed(camera, change, own, false)]; // B1
    const isSiteKnown = [...scopes].some((key) => site.cameras === 1 || !OF_CAMERAS.includes(key));
    const common = strengthOf(site.common, days.last, site.limits, isSiteKnown ? SITE.allowed : null);
    return common === null ? [] : [changed(camera, site.common, common, site.cameras > 1)]; // B2
  });
}

/** The last days of a site's cameras. */
class SiteDays {
  readonly cameras: number;
  /** What they have in common. */
  readonly common: Day;
  /** B2: what weather makes of a day, as of the median camera. */
  readonly limits: Day;
  /** By stream, in order: the days, and how far each is from the median. */
  readonly #days: readonly Float64Array[];
  readonly #away: readonly Float64Array[];

  constructor(cameras: readonly CameraDays[], streams: number) {
    const known = cameras.flatMap(({ last }) => (last === null ? [] : [last]));
    this.cameras = known.length;
    const byStream = Array.from({ length: streams }, (_, i) => i);
    this.#days = byStream.map((i) =>
      Float64Array.from(known.map((day) => day[i] as number).filter((shift) => !Number.isNaN(shift))).sort(),
    );
    this.common = this.#days.map(medianOf);
    this.#away = this.#days.map((days, i) => days.map((shift) => Math.abs(shift - (this.common[i] as number))).sort());
    this.limits = byStream.map(
      (i) => SITE.allowed + SITE.deviations * medianOf(cameras.map(({ deviations }) => deviations[i] as number)),
    );
  }

  /** B1: the change of one of the cameras that the others do not share, and what cameras of the fleet differ by, and those of this site, which
   * may respond differently to what they have in common. */
  own(day: Day, usual: Day): { readonly change: Day; readonly limits: Day } {
    const others = this.#days.map((days, i) => medianWithout(days, day[i] as number));
    const limits = others.map((common, i) => {
      const away = this.#away[i] as Float64Array;
      const known = Math.max(0, away.length - 2);
      const spread = medianWithout(away, Math.abs((day[i] as number) - (this.common[i] as number)));
      const ofSite = known === 0 ? 0 : known * (SD_OF_MEDIAN * spread) ** 2;
      const variance = (SITE_PRIOR * (usual[i] as number) ** 2 + ofSite) / (SITE_PRIOR + known);
      return OWN.allowed + OWN.deviations * Math.sqrt(variance) + RESPONSE * Math.abs(common);
    });
    return { change: others.map((common, i) => (day[i] as number) - common), limits };
  }

  /** How far each camera is from the median of the others. */
  differences(stream: number): readonly number[] {
    const days = this.#days[stream] as Float64Array;
    return days.length < 2 ? [] : Array.from(days, (shift) => Math.abs(shift - medianWithout(days, shift)));
  }
}

/** Median of the sorted values but one of those that equal `value`. */
function medianWithout(sorted: Float64Array, value: number): number {
  const left = sorted.length - 1;
  const at = (i: number) => sorted[(sorted[i] as number) < value ? i : i + 1] as number;
  if (left < 1) return Number.NaN;
  return left % 2 === 1 ? at(left >> 1) : (at(left >> 1) + at((left >> 1) - 1)) / 2;
}

/** Of a change: whether it opens a verdict, or keeps one that is known already, down to `allowed`; null: neither. */
type Strength = "opens" | "keeps" | null;

function strengthOf(change: Day, own: Day, limits: Day, allowed: number | null): Strength {
  if (exceeds(change, own, (stream) => limits[stream] as number)) return "opens";
  return allowed !== null && exceeds(change, own, () => allowed) ? "keeps" : null;
}

/** Whether a stream changed by more than its limit, and its own day by half of that. */
function exceeds(change: Day, own: Day, limitOf: (stream: number) => number): boolean {
  for (let i = 0; i < change.length; i++) {
    const [size, ownSize] = [Math.abs(change[i] as number), (own[i] as number) * Math.sign(change[i] as number)];
    if (size >= limitOf(i) && ownSize >= ITSELF * size) return true;
  }
  return false;
}

function changed(camera: DriftingCamera, change: Day, strength: Strength, isOfSite: boolean): DriftingCamera {
  const shifts = Float32Array.from(camera.drift.shifts, (shift, i) => {
    const [changed, last] = [change[i] as number, camera.camera.days?.last?.[i] as number];
    return Number.isNaN(changed) ? (Number.isNaN(last) ? shift : last) : changed;
  });
  return { ...camera, drift: { ...camera.drift, shifts }, isOfSite, opens: strength === "opens" };
}

/** By stream, how far a camera's last day usually is from the median of its neighbours'. */
function usualDifferences(sites: readonly SiteDays[], streams: number): Day {
  return Float64Array.from({ length: streams }, (_, stream) => {
    const differences = Float64Array.from(sites.flatMap((site) => site.differences(stream))).sort();
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
