/**
 * What the registry knows of a candidate that a program trained, and of earlier gates. Pure.
 *
 * A1. A model whose lineage has `trainingRun` is such a candidate: its gate is the one by slices, and it must bring what that
 *     needs: the slice that it was trained for, the manifest of frames of it that were kept from training (a blob, as that of
 *     a validation set), and the seed of the half of the validation frames that its packing took. Lineage comes with the
 *     package: what is missing or malformed is named, and the gate is not passed.
 * A2. Gates are counted from the records of models.v1, where each outcome has its number, never from memory.
 */
import type { Model } from "@tributary/contracts";
import { type Digest, Failure } from "@tributary/kernel";
import { type GatesBefore, isSlice, SPLIT_SEED } from "@tributary/model-packaging";

export type AutomaticCandidate = { readonly slice: string; readonly frames: Digest };

/** A1. Null: a person made it. Throws `candidate-lineage-invalid`. */
export function automaticOf({ name, version, lineage }: Model): AutomaticCandidate | null {
  const { trainingRun, slice, sliceFrames, [SPLIT_SEED]: splitSeed } = lineage;
  if (trainingRun === undefined) return null;
  const wrong = (key: string, expected: string, value: string | undefined) => {
    const found = value === undefined ? "there is none" : `it is "${value.slice(0, 128)}"`;
    const message = `${name} ${version} was trained by a program (run ${trainingRun.slice(0, 64)}): its lineage must have ${key}, ${expected}; ${found}`;
    return new Failure("candidate-lineage-invalid", "give-up", message);
  };
  if (slice === undefined || !isSlice(slice)) throw wrong("slice", "the frames it was trained for, KEY=VALUE", slice);
  if (sliceFrames === undefined || !isDigest(sliceFrames)) {
    throw wrong("sliceFrames", "the SHA-256 of a manifest of frames of the slice, among the blobs", sliceFrames);
  }
  if (!splitSeed) throw wrong(SPLIT_SEED, "the seed of the half of the frames that it was packed on", splitSeed);
  return { slice, frames: sliceFrames };
}

/** A1. Of a version that the registry keeps frames for; undefined also where its lineage is malformed. */
export const sliceFramesOf = ({ lineage: { trainingRun, sliceFrames } }: Model): Digest | undefined =>
  trainingRun !== undefined && sliceFrames !== undefined && isDigest(sliceFrames) ? sliceFrames : undefined;

const isDigest = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** A2. Of the model, by digest of the frames. A version that was judged again has only its newest number. */
export function gatesBefore(versions: readonly Model[]): GatesBefore {
  const gates = new Map<Digest, number>();
  const count = (digest: Digest, number: number) => {
    if (digest !== "") gates.set(digest, Math.max(gates.get(digest) ?? 0, number));
  };
  for (const { gate } of versions) {
    if (gate === null) continue;
    count(gate.validationDigest, gate.validationGates);
    count(gate.sliceDigest, gate.sliceGates);
  }
  return Object.fromEntries(gates);
}
