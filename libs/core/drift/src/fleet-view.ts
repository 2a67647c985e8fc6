/**
 * The fleet as the verdict writer sees it: registration, report and findings of every device, and the packages they run. Fed by
 * the records of their topics; `look` sums it up for one moment.
 *
 * V1. A look depends on what is known and on the time, never on the order in which it became known. */
import type { DeviceRegistration, DeviceReported } from "@tributary/contracts";
import { PERCEPTION } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { DriftReference } from "./drift-reference.ts";
import type { CameraDays, CameraDrift, CameraFindings, DeviceFindings, LabelledDraw } from "./findings.ts";
import { type GoldenJudgement, type GoldenOutcome, judgeGolden } from "./golden.ts";
import { type Attributes, Population } from "./population.ts";
import type { DriftReviews } from "./reviews/drift-reviews.ts";

export type SeenDevice = { readonly deviceId: string; readonly attributes: Attributes };
export type DriftingCamera = SeenDevice & {
  readonly camera: CameraFindings;
  readonly drift: CameraDrift;
  /** Whether its site changed, or it alone; null where days are not compared (beyond-days.ts). */
  readonly isOfSite: boolean | null;
  /** Whether it is evidence enough for a verdict, or only keeps one. */
  readonly opens: boolean;
};
export type SeenCamera = {
  readonly deviceId: string;
  readonly cameraId: string;
  readonly recent: ArrayLike<number>;
  readonly days: CameraDays | undefined;
};
export type FailedGolden = SeenDevice & { readonly golden: GoldenJudgement; readonly isCompared: boolean };
export type DrawnDevice = SeenDevice & { readonly draws: readonly LabelledDraw[]; readonly isCompared: boolean };

/** What is seen of the devices that run one package. Lists are in the order of device ids. */
export type ModelLook = {
  readonly modelDigest: string;
  /** Undefined: only what devices report of their golden frames can be judged. */
  readonly reference: DriftReference | undefined;
  /** Devices that reported their golden frames, and those that did not reproduce them. */
  readonly goldenReported: Population;
  readonly goldenFailed: readonly FailedGolden[];
  /** Devices of which a camera is compared with its baseline. */
  readonly compared: Population;
  readonly drifting: readonly DriftingCamera[];
  /** By site: how far each compared camera is from its past, alarmed or not. */
  readonly bySite: ReadonlyMap<string, readonly SeenCamera[]>;
  /** Devices with labelled draws. */
  readonly drawn: readonly DrawnDevice[];
};

type Known = {
  registration: DeviceRegistration | null;
  report: DeviceReported | null;
  reportedAt: Instant;
  findings: DeviceFindings | null;
  /** Caches. */
  attributes: Attributes | null;
  golden: GoldenJudgement | null;
};

/** Why a device has no part in verdicts; null: it has. */
export type Absence = "unknown" | "revoked" | "other-model" | "updating" | "silent" | null;

export class FleetView {
  readonly #devices = new Map<string, Known>();
  readonly #packages = new Map<string, DriftReference>();
  readonly #reviews: DriftReviews | null;

  /** Cameras that are to learn anew by a review are not compared. */
  constructor(reviews: DriftReviews | null = null) {
    this.#reviews = reviews;
  }

  /** Null: its record is gone. */
  registered(deviceId: string, registration: DeviceRegistration | null): void {
    this.#change(deviceId, { registration });
  }

  /** Null: its record is gone. `receivedAt`: time of the record. */
  reported(deviceId: string, report: DeviceReported | null, receivedAt: Instant): GoldenOutcome {
    const known = this.#change(deviceId, { report, reportedAt: receivedAt });
    return this.#goldenOf(known)?.outcome ?? "not-reported";
  }

  /** Null: its state is gone. */
  found(deviceId: string, findings: DeviceFindings | null): void {
    this.#change(deviceId, { findings });
  }

  /** Null: it is not known any more. */
  package(modelDigest: string, reference: DriftReference | null): void {
    if (reference === null) this.#packages.delete(modelDigest);
    else this.#packages.set(modelDigest, reference);
    for (const known of this.#devices.values()) if (runningDigest(known) === modelDigest) known.golden = null;
  }

  get devices(): number {
    return this.#devices.size;
  }

  get cameras(): number {
    let cameras = 0;
    for (const { findings } of this.#devices.values()) cameras += findings?.cameras.length ?? 0;
    return cameras;
  }

  /** Digests of packages that devices run and that are not known. */
  get wanted(): ReadonlySet<string> {
    const wanted = new Set<string>();
    for (const known of this.#devices.values()) {
      const digest = runningDigest(known);
      if (digest !== "" && !this.#packages.has(digest)) wanted.add(digest);
    }
    return wanted;
  }

  /** By digest, in its order (V1). `silentMs`: a camera without a window for so long is not compared. */
  look(now: Instant, silentMs: number): readonly ModelLook[] {
    const looks = new Map<string, Mutable>();
    for (const [deviceId, known] of this.#devices) {
      if (known.registration?.status !== "ACTIVE" || isUpdating(known)) continue;
      const digest = runningDigest(known);
      if (digest === "") continue;
      let look = looks.get(digest);
      if (look === undefined) {
        look = emptyLook(digest, this.#packages.get(digest));
        looks.set(digest, look);
      }
      this.#see(look, deviceId, known, now, silentMs);
    }
    const sorted = [...looks.values()].sort((a, b) => order(a.modelDigest, b.modelDigest));
    for (const look of sorted) {
      for (const list of [look.goldenFailed, look.drifting, look.drawn]) {
        list.sort((a: SeenDevice, b: SeenDevice) => order(a.deviceId, b.deviceId));
      }
    }
    return sorted;
  }

  absence(deviceId: string, modelDigest: string, now: Instant, silentMs: number): Absence {
    const known = this.#devices.get(deviceId);
    if (known === undefined || known.registration === null) return "unknown";
    if (known.registration.status !== "ACTIVE") return "revoked";
    if (runningDigest(known) !== modelDigest) return "other-model";
    if (isUpdating(known)) return "updating";
    const cameras = known.findings?.cameras ?? [];
    return cameras.length > 0 && cameras.every((camera) => isSilent(camera, now, silentMs)) ? "silent" : null;
  }

  #see(look: Mutable, deviceId: string, known: Known, now: Instant, silentMs: number): void {
    known.attributes ??= attributesOf(known);
    const device = { deviceId, attributes: known.attributes };
    const isCompared = this.#seeCameras(look, device, known, now, silentMs);
    if (isCompared) look.compared.add(device.attributes);
    const golden = this.#goldenOf(known);
    if (golden !== null && (golden.hasFailed || golden.outcome === "passed")) {
      look.goldenReported.add(device.attributes);
      if (golden.hasFailed) look.goldenFailed.push({ ...device, golden, isCompared });
    }
    const { draws = [], drawsDigest = "" } = known.findings ?? {};
    if (draws.length > 0 && drawsDigest === look.modelDigest) look.drawn.push({ ...device, draws, isCompared });
  }

  /** Whether any is compared. */
  #seeCameras(look: Mutable, device: SeenDevice, { findings }: Known, now: Instant, silentMs: number): boolean {
    if (look.reference === undefined || findings === null) return false;
    let isCompared = false;
    for (const camera of findings.cameras) {
      if (!camera.isCompared || camera.modelDigest !== look.modelDigest || isSilent(camera, now, silentMs)) continue;
      if (this.#reviews?.isToLearn(device.deviceId, camera.cameraId, camera.applied)) continue;
      isCompared = true;
      if (camera.recent !== null && device.attributes.site !== undefined) {
        const ofSite = look.bySite.get(device.attributes.site) ?? [];
        const { cameraId, recent, days } = camera;
        ofSite.push({ deviceId: device.deviceId, cameraId, recent, days });
        look.bySite.set(device.attributes.site, ofSite);
      }
      if (camera.drift !== null)
        look.drifting.push({ ...device, camera, drift: camera.drift, isOfSite: null, opens: true });
    }
    return isCompared;
  }

  #goldenOf(known: Known): GoldenJudgement | null {
    if (known.report === null) return null;
    const digest = runningDigest(known);
    known.golden ??= judgeGolden(known.report, known.reportedAt, digest, this.#packages.get(digest));
    return known.golden;
  }

  #change(deviceId: string, change: Partial<Known>): Known {
    const known = this.#devices.get(deviceId) ?? {
      registration: null,
      report: null,
      reportedAt: 0,
      findings: null,
      attributes: null,
      golden: null,
    };
    Object.assign(known, change);
    if (!("findings" in change)) Object.assign(known, { attributes: null, golden: null });
    const isNothing = known.registration === null && known.report === null && known.findings === null;
    if (isNothing) this.#devices.delete(deviceId);
    else this.#devices.set(deviceId, known);
    return known;
  }
}

type Mutable = Omit<ModelLook, "goldenFailed" | "drifting" | "drawn" | "bySite"> & {
  readonly goldenFailed: FailedGolden[];
  readonly drifting: DriftingCamera[];
  readonly drawn: DrawnDevice[];
  readonly bySite: Map<string, SeenCamera[]>;
};

const emptyLook = (modelDigest: string, reference: DriftReference | undefined): Mutable => ({
  modelDigest,
  reference,
  goldenReported: new Population(),
  goldenFailed: [],
  compared: new Population(),
  drifting: [],
  drawn: [],
  bySite: new Map(),
});

/** As reported; of a device that does not report, that of its newest window. */
function runningDigest({ report, findings }: Known): string {
  if (report !== null) return report.slots[PERCEPTION]?.modelDigest ?? "";
  let newest: CameraFindings | undefined;
  for (const camera of findings?.cameras ?? []) {
    if (newest === undefined || camera.endedAt > newest.endedAt) newest = camera;
  }
  return newest?.modelDigest ?? "";
}

const isUpdating = ({ report }: Known): boolean => report?.update?.phase === "PROBATION";

/** A camera may have windows as long as a day. */
const isSilent = ({ endedAt, windowMs }: CameraFindings, now: Instant, silentMs: number): boolean =>
  now - endedAt > Math.max(silentMs, 3 * windowMs);

function attributesOf({ registration, report }: Known): Attributes {
  const slot = report?.slots[PERCEPTION];
  const attributes: Record<string, string> = {
    site: registration?.site ?? "",
    hardware: report?.hardwareClass || (registration?.hardwareClass ?? ""),
    agentVersion: report?.agentVersion ?? "",
    model: slot === undefined ? "" : `${slot.modelName}@${slot.modelVersion}`,
  };
  for (const [key, value] of Object.entries(registration?.labels ?? {})) attributes[`label:${key}`] = value;
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== ""));
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
