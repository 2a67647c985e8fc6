/** Writes trained numbers into the deployed file. */
import { Failure } from "@tributary/kernel";
import type { OnnxGraph } from "./graph.ts";
import type { ParameterValues, Trainable } from "./trainable.ts";

/** Of each quantised activation, by the name of its tensor in the ranges graph. */
export type Ranges = Readonly<Record<string, { readonly min: number; readonly max: number }>>;

/** The mean of what the ranges graph returned for each calibration batch; outputs by their name. */
export function meanRanges(
  _batches: readonly Readonly<Record<string, { readonly data: ArrayLike<number | bigint> }>>[],
): Ranges {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}

/** The deployed file with new numbers; `ranges` of a float model are empty. */
export function deployableGraph(_trainable: Trainable, _values: ParameterValues, _ranges: Ranges): OnnxGraph {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}
