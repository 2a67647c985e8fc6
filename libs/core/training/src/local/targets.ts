/** What the model is to answer. */
import { softmax } from "@tributary/inference";

/** Of a slice frame: its label. */
export function truth(label: number, classes: number): Float32Array {
  const target = new Float32Array(classes);
  target[label] = 1;
  return target;
}

/** Of a base photo: its label and, by the share `distillation`, what the deployed model answers (Hinton 2015), so that the model
 * keeps its answers where nothing changed. */
export function distilled(label: number, deployedLogits: ArrayLike<number>, distillation: number): Float32Array {
  const target = Float32Array.from(softmax(deployedLogits, 1), (share) => distillation * share);
  target[label] = (target[label] as number) + 1 - distillation;
  return target;
}
