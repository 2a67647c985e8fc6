/**
 * Step 2 of the cause tree: cameras whose streams are alarmed. They are clustered by the direction of their shifts, each
 * cluster is split by place, and each part gets a cause.
 *
 * I1. Cameras at a place that changed as a whole belong to it even if they changed somewhat differently, unless a fault that only
 *     a sensor has explains them. */
import { nearestCameraFault, sensorOnlyFaults } from "./camera-faults.ts";
import { causeOf } from "./cause.ts";
import { type Cluster, clustersOf, cosine, meanShift } from "./clusters.ts";
import type { DriftReference } from "./drift-reference.ts";
import type { DriftingCamera, ModelLook } from "./fleet-view.ts";
import { type Group, latest, type Member, type Scope } from "./group.ts";
import { byStream, framesOf } from "./mix.ts";
import { type PlacementOptions, place } from "./placement.ts";
import { modelName } from "./preprocessing-groups.ts";
import type { Previous } from "./previous.ts";

/** Of the angle between a camera's shift and that of a place it stands at (I1). */
const AT_PLACE_COSINE_MIN = 0.5;
const PLACE_DEVICES_MIN = 3;

/** Causes that this step finds. */
export const inputCauses = ["CAMERA", "WORLD", "LABEL_SHIFT"] as const;

/** `explained`: devices that are in a group already. */
export function inputGroups(
  look: ModelLook,
  explained: ReadonlySet<string>,
  previous: Previous,
  hasOtherModels: boolean,
): readonly Group[] {
  const { reference } = look;
  if (reference === undefined) return [];
  const options = {
    population: comparedWithout(look, explained),
    model: hasOtherModels ? modelName(look) : null,
    known: previous.places(look.modelDigest, inputCauses),
  };
  const left = new Set(look.drifting.filter(({ deviceId }) => !explained.has(deviceId)));
  const take = (cameras: Cluster) => {
    for (const camera of cameras) left.delete(camera);
    return cameras;
  };
  const groups: Group[] = [];
  // Largest first; of equals the strongest: sorting is stable.
  for (const cluster of clustersOf([...left]).sort((a, b) => b.length - a.length)) {
    const cameras = take(cluster.filter((camera) => left.has(camera)));
    if (cameras.length === 0) continue;
    for (const placed of placeCluster(cameras, reference, options)) {
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
  const isOne = fault !== null && sensorOnlyFaults.has(fault.name);
  return place(membersOf(cameras), { ...options, isOne }).map(({ scope, members }) => {
    const devices = new Set(members.map(({ deviceId }) => deviceId));
    return { scope, cameras: cameras.filter(({ deviceId }) => devices.has(deviceId)) };
  });
}

function groupOf(look: ModelLook, scope: Scope, cameras: Cluster, cluster: Cluster, previous: Previous): Group {
  const members = membersOf(cameras);
  const fault = faultOf(cameras, look.reference as DriftReference);
  const before = previous.at(look.modelDigest, scope, inputCauses);
  const joinedAt = latest(cluster.map(({ drift }) => drift.alarmedAt));
  return { ...causeOf(look, scope, members, fault, before), scope, look, members, joinedAt, loss: null };
}

const faultOf = (cameras: Cluster, reference: DriftReference) =>
  nearestCameraFault(reference.faults?.camera ?? [], byStream(meanShift(cameras), reference), framesOf(cameras));

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
    const fault = faultOf([camera], reference);
    return fault === null || !sensorOnlyFaults.has(fault.name);
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
