/** Step 1 of the cause tree: devices that do not reproduce their golden frames, by the fault that explains their answers. */
import type { FailedGolden, ModelLook } from "./fleet-view.ts";
import type { Group, Member, Scope } from "./group.ts";
import { place } from "./placement.ts";
import type { Previous } from "./previous.ts";
import { countOf, faultWords, nearestWords, scopeWords } from "./words.ts";

export function preprocessingGroups(look: ModelLook, previous: Previous, hasOtherModels: boolean): readonly Group[] {
  const byFault = new Map<string, FailedGolden[]>();
  for (const failed of look.goldenFailed) {
    const name = failed.golden.fault?.name ?? "";
    byFault.set(name, [...(byFault.get(name) ?? []), failed]);
  }
  return [...byFault].flatMap(([fault, failed]) => {
    const members = failed.map((device) => memberOf(device, look, previous));
    const placements = place(members, {
      population: look.goldenReported,
      model: hasOtherModels ? modelName(look) : null,
      known: previous.places(look.modelDigest, ["PREPROCESSING"]),
      isOne: fault !== "",
    });
    const joinedAt = Math.max(...members.map(({ alarmedAt }) => alarmedAt));
    return placements.map(({ scope, members: placed }): Group => {
      const [first] = placed;
      const steps = stepsOf(look, placed, scope);
      const named = first?.golden?.fault ?? null;
      return {
        cause: "PREPROCESSING",
        fault: named,
        scope,
        look,
        members: placed,
        joinedAt,
        mix: null,
        loss: null,
        steps,
      };
    });
  });
}

/** What the models' devices are named by as a scope. */
export const modelName = ({ reference, modelDigest }: ModelLook): string =>
  reference === undefined ? modelDigest : `${reference.modelName}@${reference.modelVersion}`;

/** A later report of the same failure does not move its onset. */
function memberOf({ deviceId, attributes, golden }: FailedGolden, look: ModelLook, previous: Previous): Member {
  const since = Math.min(golden.at, previous.failingSince(deviceId, look.modelDigest));
  const cameras = look.drifting.filter((camera) => camera.deviceId === deviceId);
  return {
    deviceId,
    attributes,
    cameras: cameras.map(({ camera: { cameraId }, drift }) => ({ cameraId, drift })),
    golden,
    since,
    alarmedAt: since,
  };
}

function stepsOf(look: ModelLook, members: readonly Member[], scope: Scope): Group["steps"] {
  const golden = members[0]?.golden ?? null;
  const reported = countOf(look.goldenReported.size, "device");
  const found = `${members.length} of ${reported} that reported ${members.length === 1 ? "does" : "do"} not`;
  const which = golden?.fault === null || golden === null ? "" : ` of ${faultWords(golden.fault.name)}`;
  return [
    {
      question: "Do devices reproduce their golden frames?",
      answer: `${found}, in the way${which}: ${nearestWords(golden?.fault ?? null)}`,
      isCause: true,
    },
    { question: "Where?", answer: whereWords(scope, members.length), isCause: false },
  ];
}

export function whereWords(scope: Scope, affected: number): string {
  const devices = `${affected} of ${countOf(scope.devices, "device")} ${scopeWords(scope)}`;
  return scope.pValue === null ? devices : `${devices}, p = ${scope.pValue.toExponential(1)} after Holm's correction`;
}
