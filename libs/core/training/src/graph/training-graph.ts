/** The graphs that training runs. */
import { Failure } from "@tributary/kernel";
import type { OnnxGraph } from "./graph.ts";
import type { Trainable } from "./trainable.ts";

/** Inputs: the model's input, `target` (float32, N x classes: probabilities) and every parameter by its name. Outputs: `loss` (mean
 * cross entropy), `logits` and `gradient:PARAMETER`, of the parameters in `only` or of all. */
export function gradientGraph(_trainable: Trainable, _only?: readonly string[]): OnnxGraph {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}

/** Inputs: the model's input and every parameter. Outputs: `logits`, and `features` if the model has them. */
export function inferenceGraph(_trainable: Trainable): OnnxGraph {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}

/** Inputs as the inference graph's. Outputs: `min:TENSOR` and `max:TENSOR` (float32, no dimensions) of each quantised activation. */
export function rangesGraph(_trainable: Trainable): OnnxGraph {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}
