/** A deployed model as a differentiable float graph, with a plan of how new numbers are written into its file. */
import { Failure } from "@tributary/kernel";
import type { OnnxGraph, TensorInfo } from "./graph.ts";

/** A weight or bias that can be trained, in float32 also where the deployed file is quantised. */
export type Parameter = {
  /** Of the deployed file's tensor, without the ending of a quantised one. */
  readonly name: string;
  readonly dims: readonly number[];
  /** The deployed numbers. */
  readonly data: Float32Array;
};

/** Numbers of every parameter, by its name. */
export type ParameterValues = Readonly<Record<string, Float32Array>>;

export type Trainable = {
  readonly deployed: OnnxGraph;
  /** Name and shape of the input; its batch is free. */
  readonly input: TensorInfo;
  readonly classes: number;
  readonly parameters: readonly Parameter[];
  /** Quantised activations: without any there is nothing to calibrate. */
  readonly isQuantised: boolean;
};

export type TrainableTensors = {
  readonly input: string;
  readonly logits: string;
  /** Undefined or null: the model has no such output. */
  readonly features?: string | null;
};

/** Throws a Failure: `training-operator-unsupported`, `training-graph-unsupported`. */
export function trainableOf(_graph: OnnxGraph, _tensors: TrainableTensors): Trainable {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}

/** Names of the last layer's parameters. */
export function lastLayer(_trainable: Trainable): readonly string[] {
  throw new Failure("training-operator-unsupported", "give-up", "not written yet");
}
