/**
 * Which cause explains cameras that changed together. Causes compete: each has a weight by the place (weather changes a whole site, a
 * fault one camera of several, an agent all devices that run it) and by the fault whose pictures are like these; the mix of classes
 * wins where it explains the change of the features and nothing refutes it, and where it explains nearly as much it is a rival.
 *
 * C1. The cause is unknown where the best weighs too little, or is not clearly ahead of the next. */
import type { DriftCause, DriftVerdict } from "@tributary/contracts";
import type { FaultExample } from "@tributary/inference";
import { meanBefore, meanShift } from "./clusters.ts";
import type { NamedFault } from "./codebook.ts";
import type { DriftReference } from "./drift-reference.ts";
import type { ModelLook } from "./fleet-view.ts";
import type { Group, Member, Scope, Step } from "./group.ts";
import { mixOf } from "./mix.ts";
import { whereWords } from "./preprocessing-groups.ts";
import { causeWords, countOf, figure, nearestWords, percent } from "./words.ts";

/** A change of the mix has to explain less once it is the cause, more once it is not. */
const EXPLAINED_KEPT = 0.1;
/** A name is kept while it is the second nearest by no more than this. */
const NAME_KEPT = 0.1;
/** C1. */
const WEIGHT_MIN = 0.5;
const AHEAD_MIN = 1.5;
/** Of the cause that the open verdict has. */
const KEPT = 1.25;

type Rival = Extract<DriftCause, "CAMERA" | "WORLD" | "PREPROCESSING">;
type Weights = Readonly<Record<Rival, number>>;
/** Of a mix that explains just enough: it changes at a whole site rather than at one camera of several. */
const MIX_WEIGHT = { site: 1, camera: 0.5 } as const;

/** By what the changed cameras have in common. */
const byPlace = {
  oneOfSite: { CAMERA: 1, WORLD: 0.1, PREPROCESSING: 0.05 },
  aloneAtSite: { CAMERA: 0.5, WORLD: 0.5, PREPROCESSING: 0.1 },
  site: { CAMERA: 0.05, WORLD: 1, PREPROCESSING: 0.1 },
  version: { CAMERA: 0.1, WORLD: 0.1, PREPROCESSING: 1 },
  hardware: { CAMERA: 0.7, WORLD: 0.2, PREPROCESSING: 0.4 },
  label: { CAMERA: 0.5, WORLD: 0.4, PREPROCESSING: 0.2 },
  everywhere: { CAMERA: 0.1, WORLD: 0.5, PREPROCESSING: 0.4 },
  scattered: { CAMERA: 0.6, WORLD: 0.15, PREPROCESSING: 0.15 },
} as const satisfies Readonly<Record<string, Weights>>;
export type PlaceKind = keyof typeof byPlace;

/** By where a fault of this name can be. */
const byName: Readonly<Record<FaultExample["place"], Weights>> = {
  camera: { CAMERA: 2, WORLD: 0.2, PREPROCESSING: 1.5 },
  site: { CAMERA: 0.3, WORLD: 2, PREPROCESSING: 0.3 },
  both: { CAMERA: 1, WORLD: 1.3, PREPROCESSING: 0.8 },
};

type Decided = Pick<Group, "cause" | "fault" | "mix" | "steps">;

/** `before`: the open verdict of this scope, which is not changed by a hair's breadth. */
export function causeOf(
  look: ModelLook,
  scope: Scope,
  kind: PlaceKind,
  members: readonly Member[],
  nearest: NamedFault | null,
  before: DriftVerdict | undefined,
): Decided {
  const reference = look.reference as DriftReference;
  const cameras = members.flatMap((member) => member.cameras);
  const fault = keptName(nearest, before);
  const mix = mixOf(cameras, reference);
  const kept = before === undefined ? 0 : before.cause === "LABEL_SHIFT" ? -EXPLAINED_KEPT : EXPLAINED_KEPT;
  const isMix = mix !== null && mix.refuted === "" && mix.explained >= mix.explainedMin + kept;
  const steps: Step[] = [
    { question: "Do devices reproduce their golden frames?", answer: goldenWords(look), isCause: false },
    { question: "Did the inputs change?", answer: changedWords(cameras, members.length, reference), isCause: false },
    { question: "Where?", answer: whereWords(scope, members.length), isCause: false },
    { question: "Is it only the mix of classes?", answer: mixWords(mix), isCause: isMix },
  ];
  if (isMix) return { cause: "LABEL_SHIFT", fault: null, mix, steps };
  const ranked = rankedCauses(kind, fault, reference, mix, before);
  const [best, second] = ranked as [Ranked, Ranked];
  const isKnown = best.cause !== "LABEL_SHIFT" && best.weight >= WEIGHT_MIN && best.weight >= AHEAD_MIN * second.weight;
  const found = isKnown ? `${causeWords(best.cause)}` : "not known";
  const rivals = ranked.map(({ cause, weight }) => `${causeWords(cause)} ${figure(weight)}`).join(", ");
  const answer = `${found}: ${placeWords[kind]}; ${nearestWords(fault)}; weights: ${rivals}`;
  steps.push({ question: "Which cause explains it?", answer, isCause: true });
  return { cause: isKnown ? best.cause : "UNKNOWN", fault, mix, steps };
}

type Ranked = { readonly cause: Rival | "LABEL_SHIFT"; readonly weight: number };

function rankedCauses(
  kind: PlaceKind,
  fault: NamedFault | null,
  { names }: DriftReference,
  mix: Group["mix"],
  before: DriftVerdict | undefined,
): readonly Ranked[] {
  const place = fault === null ? undefined : names.examples.find(({ name }) => name === fault.name)?.place;
  const causes: readonly Rival[] = ["CAMERA", "WORLD", "PREPROCESSING"];
  const weighed = causes.map((cause) => {
    const ofName = place === undefined ? 1 : byName[place][cause];
    return { cause, weight: byPlace[kind][cause] * ofName * (before?.cause === cause ? KEPT : 1) };
  });
  return [...weighed, ...ofMix(kind, mix)].sort((a, b) => b.weight - a.weight);
}

function ofMix(kind: PlaceKind, mix: Group["mix"]): readonly Ranked[] {
  if (mix === null || mix.refuted !== "") return [];
  const share = MIX_WEIGHT[kind === "oneOfSite" ? "camera" : "site"];
  return [{ cause: "LABEL_SHIFT", weight: (share * mix.explained) / mix.explainedMin }];
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
  const explained = `a change of mix explains ${percent(mix.explained)} of the change; ${percent(mix.explainedMin)} are needed`;
  return mix.refuted === "" ? explained : `no: ${mix.refuted}; ${explained}`;
}

const placeWords: Readonly<Record<PlaceKind, string>> = {
  oneOfSite: "the others at its site did not change in the same way",
  aloneAtSite: "there is no other camera at its site to compare it with",
  site: "the cameras of the site changed together",
  version: "the devices have their software in common",
  hardware: "the devices have their hardware in common",
  label: "the devices have a label in common",
  everywhere: "devices changed everywhere",
  scattered: "the devices have nothing in common",
};
