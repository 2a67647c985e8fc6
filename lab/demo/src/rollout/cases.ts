/** The cases of the demo: which model challenges which, and how each must end. */
import type { CandidateName } from "../candidates/candidates.ts";

export type Ending =
  /** Every device runs it. */
  | "promoted"
  /** Promoted, or held for a person: anything but rolled back. */
  | "kept"
  /** No rollout begins. */
  | "stopped-at-gate"
  /** No device runs it any more, and only the canary ever did. */
  | "rolled-back"
  /** Held for a person; only the canary runs it. */
  | "paused";

export type Case = {
  readonly name: string;
  readonly summary: string;
  readonly champion: CandidateName;
  readonly challenger: CandidateName;
  /** A person forces it past the gate, by name. */
  readonly isForced: boolean;
  /** Disconnects the canary's devices once they run the model. */
  readonly isSilenced: boolean;
  readonly ending: Ending;
  /** What a person should look at in the evidence. */
  readonly look: string;
  /** The cameras see two classes alone, each device mostly one of them. */
  readonly seesTwoClasses?: boolean;
  /** How many times faster than this machine the registry assumes devices to be; default: 1. */
  readonly registrySpeedup?: number;
};

const usual = { champion: "shipped", isForced: true, isSilenced: false, ending: "rolled-back" } as const;

export const cases: readonly Case[] = [
  {
    ...usual,
    name: "better",
    summary: "the shipped model challenges one whose last layer was trained on few photos; every device gets it",
    champion: "few-photos",
    challenger: "shipped",
    isForced: false,
    ending: "promoted",
    look: "accuracy: ln e of `safe` passes ln 20, the whole band is below the margin",
  },
  {
    ...usual,
    name: "identical",
    summary: "the same bytes under another version; it must not be rolled back",
    challenger: "shipped-again",
    isForced: false,
    ending: "kept",
    look: "accuracy: the band contains 0, both e-values stay small",
  },
  {
    ...usual,
    name: "mislabelled",
    summary: "retrained on photos of which many carry the label of a class that looks alike; stops at the gate",
    challenger: "mislabelled",
    isForced: false,
    ending: "stopped-at-gate",
    look: "the gate's report: accuracy, and the classes that were confused",
  },
  {
    ...usual,
    name: "mislabelled-forced",
    summary: "the same, forced past the gate; rolled back from the canary",
    challenger: "mislabelled",
    look: "accuracy: ln e of harm passes ln 50",
  },
  {
    ...usual,
    name: "slow",
    summary: "the same answers, several times the latency budget; devices do not even switch to it",
    challenger: "slow",
    registrySpeedup: 100,
    look: "devices that refused it, with model-too-slow and the milliseconds they measured",
  },
  {
    ...usual,
    name: "crashing",
    summary: "its process ends on bright frames; rolled back from the canary",
    challenger: "crashing",
    look: "devices that reverted during probation, and first crashes of the others",
  },
  {
    ...usual,
    name: "wrong-preprocessing",
    summary: "the right weights, but preprocessor_config.json says BGR from -1 to 1; rolled back from the canary",
    challenger: "wrong-preprocessing",
    look: "golden frames pass, since the package is consistent in itself; accuracy falls",
  },
  {
    ...usual,
    name: "two-classes",
    summary: "cameras see frogs and ships alone, each device mostly one of them; the challenger lost the ships",
    challenger: "one-class-lost",
    seesTwoClasses: true,
    look: "accuracy: the loss of a device depends on its pictures, and the class ship shows it",
  },
  {
    ...usual,
    name: "silent",
    summary: "a good model, but the canary becomes silent; the rollout pauses",
    champion: "few-photos",
    challenger: "shipped",
    isForced: false,
    isSilenced: true,
    ending: "paused",
    look: "NoData: how many canary devices are silent, and which",
  },
];
