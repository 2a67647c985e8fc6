/**
 * Step 2 of the cause tree: cameras whose streams are alarmed. They are clustered by the direction of their shifts, each
 * cluster is split by place, and each part gets a cause.
 *
 * I1. Cameras at a place that changed as a whole belong to it even if they changed somewhat differently, unless a fault that only
 *     a camera has explains them.
 * I2. A camera that is alarmed alone is of its site if the others there changed as it did, alarmed or not.
 * I3. A camera that is compared by days and has a verdict of its own keeps it beside others that changed alike, days after or before: its shifts
 *     are its last day's, and their directions come and go. */

import { beyondDays } from "./beyond-days.ts";
import type { Where } from "./camera-faults.ts";
import { causeOf, type PlaceKind } from "./cause.ts";
import { type Cluster, clustersOf, cosine, meanShift } from "./clusters.ts";
import type { NamedFault } from "./codebook.ts";
import type { DriftReference } from "./drift-reference.ts";
import type { DriftingCamera, ModelLook } from "./fleet-view.ts";
import { type Group, latest, type Member, type Scope } from "./group.ts";
import { byStream, framesOf } from "./mix.ts";
import type { Place } from "./place.ts";
import { type PlacementOptions, place, scopeOfOne } from "./placement.ts";
import { modelName } from "./preprocessing-groups.ts";
import type { Previous } from "./previous.ts";
import { changedWithSite, matesOf } from "./site-factor.ts";

/** Of the angle between a camera's shift and that of a place it stands at (I1). */
const AT_PLACE_COSINE_MIN = 0.5;
const PLACE_DEVICES_MIN = 3;

/** Causes that this step finds. */
export const inputCauses = ["CAMERA", "WORLD", "LABEL_SHIFT", "PREPROCESSING", "UNKNOWN"] as const;

/** `explained`: devices that are in a group already. */
export function inputGroups(
  look: ModelLook,
  explained: ReadonlySet<string>,
  previous: Previous,
  hasOtherModels: boolean,
): readonly Group[] {
  const { reference } = look;
  if (reference === undefined) return [];
  const known = previous.places(look.modelDigest, inputCauses);
  const options = {
    population: comparedWithout(look, explained),
    model: hasOtherModels ? modelName(look) : null,
    known,
  };
  const left = new Set(beyondDays(look, previous).filter(({ deviceId }) => !explained.has(deviceId)));
  const take = (cameras: Cluster) => {
    for (const camera of cameras) left.delete(camera);
    return cameras;
  };
  const groups: Group[] = [];
  // Largest first; of equals the strongest: sorting is stable.
  for (const cluster of clustersOf([...left]).sort((a, b) => b.length - a.length)) {
    const cameras = take(cluster.filter((camera) => left.has(camera)));
    if (cameras.length === 0) continue;
    for (const placed of withSites(placeCluster(cameras, reference, options), look, known)) {
      const joining = take(joiningOf(placed, left, reference)); // I1
      groups.push(groupOf(look, placed.scope, [...placed.cameras, ...joining], cameras, previous));
    }
  }
  return groups;
}

type PlacedCameras = { readonly scope: Scope; readonly cameras: Cluster };

function placeCluster(
  cameras: Cluster,
  reference: DriftReference,
  options: Omit<PlacementOptions, "isOne">,
): readonly PlacedCameras[] {
  const fault = faultOf(cameras, reference);
  const isOne = isOfCamera(fault, reference);
  return place(membersOf(cameras), { ...options, isOne }).map(({ scope, members }) => {
    const devices = new Set(members.map(({ deviceId }) => deviceId));
    return { scope, cameras: cameras.filter(({ deviceId }) => devices.has(deviceId)) };
  });
}

/** I2. */
function withSites(
  placed: readonly PlacedCameras[],
  look: ModelLook,
  known: readonly Place[],
): readonly PlacedCameras[] {
  const isOpen = (key: string, value: string) => known.some((one) => one.key === key && one.value === value);
  const bySite = new Map<string, DriftingCamera[]>();
  const others = placed.flatMap(({ scope, cameras }) => {
    if (!["camera", "device", "devices"].includes(scope.key)) return [{ scope, cameras }];
    const own = cameras.filter((camera) => {
      const { site } = camera.attributes;
      if (site === undefined) return true;
      const ofCamera = isOpen("camera", `${camera.deviceId}/${camera.camera.cameraId}`);
      const open = isOpen("site", site) ? "site" : ofCamera ? "camera" : "none";
      if (!(camera.isOfSite ?? changedWithSite(camera, look, open))) return true;
      bySite.set(site, [...(bySite.get(site) ?? []), camera]);
      return false;
    });
    // I3.
    const keepsOwn = ({ isOfSite, deviceId, camera }: DriftingCamera) =>
      isOfSite === false && isOpen("camera", `${deviceId}/${camera.cameraId}`);
    const alone = own.filter(keepsOwn).map((camera) => [camera]);
    return [...alone, own.filter((camera) => !keepsOwn(camera))].flatMap((together) => {
      const [member, ...more] = membersOf(together);
      if (member === undefined) return [];
      return [{ scope: more.length === 0 ? scopeOfOne(member) : scope, cameras: together }];
    });
  });
  const ofSites = [...bySite].map(([value, cameras]) => {
    const scope = { key: "site", value, pValue: null, devices: look.compared.with("site", value) };
    return { scope, cameras };
  });
  return [...others, ...ofSites];
}

function groupOf(look: ModelLook, scope: Scope, cameras: Cluster, cluster: Cluster, previous: Previous): Group {
  const reference = look.reference as DriftReference;
  const members = membersOf(cameras);
  const kind = kindOf(scope, cameras, look);
  const where = kind === "site" ? "site" : kind === "oneOfSite" ? "camera" : "anywhere";
  const fault = faultOf(cameras, reference, where);
  const before = previous.at(look.modelDigest, scope, inputCauses);
  const joinedAt = latest(cluster.map(({ drift }) => drift.alarmedAt));
  const opens = cameras.some((camera) => camera.opens);
  return { ...causeOf(look, scope, kind, members, fault, before), scope, look, members, joinedAt, opens, loss: null };
}

function kindOf({ key }: Scope, cameras: Cluster, look: ModelLook): PlaceKind {
  switch (key) {
    case "camera":
    case "device":
      return cameras.some((camera) => matesOf(camera, look).some(({ deviceId }) => deviceId !== camera.deviceId))
        ? "oneOfSite"
        : "aloneAtSite";
    case "site":
      return "site";
    case "agentVersion":
    case "model":
      return "version";
    case "hardware":
      return "hardware";
    case "fleet":
      return "everywhere";
    case "devices":
      return "scattered";
    default:
      return "label";
  }
}

/** Streams and picture changes, as means over the cameras. */
function changeOf(cameras: Cluster, reference: DriftReference): Readonly<Record<string, number>> {
  const pictures = cameras.flatMap(({ drift }) => (drift.picture === null ? [] : [drift.picture.changes]));
  const names = Object.keys(pictures[0] ?? {}) as (keyof (typeof pictures)[number])[];
  const means = names.map((name) => [
    name,
    pictures.reduce((sum, picture) => sum + picture[name], 0) / pictures.length,
  ]);
  return { ...byStream(meanShift(cameras), reference), ...Object.fromEntries(means) };
}

const faultOf = (cameras: Cluster, reference: DriftReference, where: Where = "anywhere") =>
  reference.names.nearest(changeOf(cameras, reference), framesOf(cameras), where);

const isOfCamera = (fault: NamedFault | null, { names }: DriftReference): boolean =>
  fault !== null && names.examples.some(({ name, place }) => name === fault.name && place === "camera");

function joiningOf(
  { scope, cameras }: PlacedCameras,
  left: Iterable<DriftingCamera>,
  reference: DriftReference,
): Cluster {
  if (new Set(cameras.map(({ deviceId }) => deviceId)).size < PLACE_DEVICES_MIN) return [];
  const isWhole = scope.key === "fleet" || scope.key === "model";
  const mean = meanShift(cameras);
  return [...left].filter((camera) => {
    if (!isWhole && camera.attributes[scope.key] !== scope.value) return false;
    if (cosine(camera.drift.shifts, mean) < AT_PLACE_COSINE_MIN) return false;
    return !isOfCamera(faultOf([camera], reference), reference);
  });
}

/** By device id, as the cameras are. */
function membersOf(cameras: Cluster): readonly Member[] {
  const byDevice = new Map<string, DriftingCamera[]>();
  for (const camera of cameras) byDevice.set(camera.deviceId, [...(byDevice.get(camera.deviceId) ?? []), camera]);
  const members = [...byDevice.values()].map((ofDevice): Member => {
    const { deviceId, attributes } = ofDevice[0] as DriftingCamera;
    return {
      deviceId,
      attributes,
      cameras: ofDevice.map(({ camera, drift }) => ({ cameraId: camera.cameraId, drift })),
      golden: null,
      since: Math.min(...ofDevice.map(({ drift }) => drift.since)),
      alarmedAt: Math.min(...ofDevice.map(({ drift }) => drift.alarmedAt)),
    };
  });
  return members.sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
}

/** Of devices that fail their golden frames, those that are compared are in no scope of this step. */
function comparedWithout(look: ModelLook, explained: ReadonlySet<string>): ModelLook["compared"] {
  const failed = look.goldenFailed.filter(({ deviceId, isCompared }) => isCompared && explained.has(deviceId));
  return failed.length === 0 ? look.compared : look.compared.without(failed.map(({ attributes }) => attributes));
}
