/** The questions of the cause tree about cameras that changed together, in their order; the first yes decides. */
import type { DriftVerdict } from "@tributary/contracts";
import { sensorOnlyFaults } from "./camera-faults.ts";
import { meanBefore, meanShift } from "./clusters.ts";
import type { NamedFault } from "./codebook.ts";
import type { DriftReference } from "./drift-reference.ts";
import type { ModelLook } from "./fleet-view.ts";
import type { Group, Member, Scope, Step } from "./group.ts";
import { mixOf } from "./mix.ts";
import { whereWords } from "./preprocessing-groups.ts";
import { countOf, figure, nearestWords, percent } from "./words.ts";

/** Part of the shift that a change of mix explains, from which on it is the cause; less once it is, more once it is not. */
const EXPLAINED_MIN = 0.7;
const EXPLAINED_KEPT = 0.1;
/** A name is kept while it is the second nearest by no more than this. */
const NAME_KEPT = 0.1;

type Decided = Pick<Group, "cause" | "fault" | "mix" | "steps">;

/** `before`: the open verdict of this scope, which is not changed by a hair's breadth. */
export function causeOf(
  look: ModelLook,
  scope: Scope,
  members: readonly Member[],
  nearest: NamedFault | null,
  before: DriftVerdict | undefined,
): Decided {
  const reference = look.reference as DriftReference;
  const cameras = members.flatMap((member) => member.cameras);
  const fault = keptName(nearest, before);
  const mix = mixOf(cameras, reference);
  const explainedMin =
    EXPLAINED_MIN + (before === undefined ? 0 : before.cause === "LABEL_SHIFT" ? -EXPLAINED_KEPT : EXPLAINED_KEPT);
  const isMix = mix !== null && mix.explained >= explainedMin;
  const isSensor = fault !== null && sensorOnlyFaults.has(fault.name);
  const isCamera = !isMix && (scope.key === "camera" || isSensor);
  const cause = isMix ? "LABEL_SHIFT" : isCamera ? "CAMERA" : "WORLD";
  const steps: Step[] = [
    { question: "Do devices reproduce their golden frames?", answer: goldenWords(look), isCause: false },
    { question: "Did the inputs change?", answer: changedWords(cameras, members.length, reference), isCause: false },
    { question: "Where?", answer: whereWords(scope, members.length), isCause: false },
    { question: "Is it only the mix of classes?", answer: mixWords(mix), isCause: isMix },
  ];
  if (!isMix) {
    const answer = `${cameraWords(scope, isSensor)}; ${nearestWords(fault)}`;
    steps.push({ question: "Is it the cameras?", answer, isCause: isCamera });
  }
  if (cause === "WORLD") {
    const answer = `yes: ${countOf(members.length, "device")} changed in the same way, which no fault of a sensor explains`;
    steps.push({ question: "Did the world change?", answer, isCause: true });
  }
  return { cause, fault: isMix ? null : fault, mix, steps };
}

function keptName(nearest: NamedFault | null, before: DriftVerdict | undefined): NamedFault | null {
  if (nearest === null || before === undefined || before.fault !== nearest.runnerUp) return nearest;
  const { name, distance, runnerUp, runnerUpDistance } = nearest;
  if (runnerUpDistance > distance + NAME_KEPT) return nearest;
  return { name: runnerUp, distance: runnerUpDistance, runnerUp: name, runnerUpDistance: distance };
}

function goldenWords({ goldenReported, goldenFailed }: ModelLook): string {
  const reported = goldenReported.size;
  if (reported === 0) return "not known: no device reported them";
  if (goldenFailed.length === 0) return `yes: all ${countOf(reported, "device")} that reported do`;
  return `${reported - goldenFailed.length} of ${countOf(reported, "device")} do, these among them or not heard of`;
}

function changedWords(
  cameras: readonly Member["cameras"][number][],
  devices: number,
  { streams }: DriftReference,
): string {
  const [shifts, before] = [meanShift(cameras), meanBefore(cameras)];
  const strongest = [...streams.keys()].sort((a, b) => Math.abs(shifts[b] as number) - Math.abs(shifts[a] as number));
  const changes = strongest.slice(0, 3).map((i) => {
    const from = before[i] as number;
    return `${streams[i]?.name} from ${figure(from)} to ${figure(from + (shifts[i] as number))}`;
  });
  return `yes: ${countOf(cameras.length, "camera")} of ${countOf(devices, "device")} in the same way, ${changes.join(", ")}`;
}

function mixWords(mix: Group["mix"]): string {
  if (mix === null) return "not known: the package has no confusion matrix";
  return `a change of mix explains ${percent(mix.explained)} of the change; ${percent(EXPLAINED_MIN)} are needed`;
}

function cameraWords({ key }: Scope, isSensor: boolean): string {
  if (isSensor) return "yes: no weather and no time of day makes this change";
  return key === "camera" ? "yes: it is a single camera" : "no: several cameras changed";
}
