/** Step 1 of the cause tree: devices that do not reproduce their golden frames, by the fault that explains their answers. */
import type { Instant } from "@tributary/kernel";
import type { DriftingCamera, FailedGolden, ModelLook } from "./fleet-view.ts";
import { type Group, latest, type Member, type Scope } from "./group.ts";
import { place } from "./placement.ts";
import type { Previous } from "./previous.ts";
import { countOf, faultWords, nearestWords, scopeWords } from "./words.ts";

export function preprocessingGroups(look: ModelLook, previous: Previous, hasOtherModels: boolean): readonly Group[] {
  const byFault = new Map<string, FailedGolden[]>();
  for (const failed of look.goldenFailed) {
    const name = failed.golden.fault?.name ?? "";
    const same = byFault.get(name);
    if (same === undefined) byFault.set(name, [failed]);
    else same.push(failed);
  }
  const drifting = new Map<string, DriftingCamera[]>();
  for (const camera of look.drifting) {
    drifting.set(camera.deviceId, [...(drifting.get(camera.deviceId) ?? []), camera]);
  }
  return [...byFault].flatMap(([fault, failed]) => {
    const members = failed.map((device) => {
      const since = previous.failingSince(device.deviceId, look.modelDigest);
      return memberOf(device, drifting.get(device.deviceId) ?? [], since);
    });
    const placements = place(members, {
      population: look.goldenReported,
      model: hasOtherModels ? modelName(look) : null,
      known: previous.places(look.modelDigest, ["PREPROCESSING"]),
      isOne: fault !== "",
    });
    const joinedAt = latest(members.map(({ alarmedAt }) => alarmedAt));
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
        opens: true,
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

/** `failingSince`: as published. A later report of the same failure does not move its onset. */
function memberOf(
  { deviceId, attributes, golden }: FailedGolden,
  drifting: readonly DriftingCamera[],
  failingSince: Instant,
): Member {
  const since = Math.min(golden.at, failingSince);
  const cameras = drifting.map(({ camera: { cameraId }, drift }) => ({ cameraId, drift }));
  return { deviceId, attributes, cameras, golden, since, alarmedAt: since };
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
