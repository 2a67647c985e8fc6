/** Which frames a gate was shown, and how often by now. Each look at the same frames makes them a weaker judge of the next
 * candidate, since what is tried next depends on what they showed (Blum & Hardt 2015): so it is counted, for people to see. */
import type { Digest } from "@tributary/kernel";
import { describeFolder } from "../validation/manifest.ts";
import type { GateOptions } from "./measure.ts";

export type Seen = {
  readonly validationSet: Digest;
  /** Gates of the model on this set with this one; null: nobody counts. */
  readonly validationGates: number | null;
  /** Manifest of the frames of the slice that drifted; null: none were shown. */
  readonly sliceFrames: Digest | null;
  readonly sliceGates: number | null;
};

/** Gates of the model before this one, by the digest of the frames. */
export type GatesBefore = Readonly<Record<Digest, number>>;

export async function seenOf(
  { validation, validationSet, drifted }: Pick<GateOptions, "validation" | "validationSet" | "drifted">,
  before: GatesBefore | null,
): Promise<Seen> {
  const digest = validationSet ?? (await describeFolder(validation)).digest;
  const sliceFrames = drifted?.digest ?? null;
  const gates = (of: Digest | null) => (before === null || of === null ? null : (before[of] ?? 0) + 1);
  return { validationSet: digest, validationGates: gates(digest), sliceFrames, sliceGates: gates(sliceFrames) };
}

/** For people. */
export function seenText({ validationSet, validationGates, sliceFrames, sliceGates }: Seen): string {
  const times = (gates: number | null) => (gates === null ? "" : `, gate ${gates} of this model on it`);
  const slice = sliceFrames === null ? "" : `; frames of the drifted slice ${sliceFrames}${times(sliceGates)}`;
  return `validation set ${validationSet}${times(validationGates)}${slice}`;
}
