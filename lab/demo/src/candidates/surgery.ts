/** The sample network with another last layer, or with operators that make it slow or crash. All are real operators that ONNX
 * Runtime runs; nothing waits or throws outside of the graph. */
import { invariant } from "@tributary/kernel";
import { editModel, type Node, type Weights } from "./onnx-edit.ts";

/** A last layer: one row of weights and one bias a class. */
export type Head = { readonly weights: readonly Float64Array[]; readonly bias: Float64Array };

const INPUT = "input";
const LOGITS = "logits";
const FEATURES = "features";
/** The network's output before the tail was added. */
const PLAIN = "plain_logits";

/** The convolutions are unchanged; a new layer computes the classes from their features, in float32. */
export function withHead(model: Uint8Array, { weights, bias }: Head): Uint8Array {
  const [first] = weights;
  invariant(first !== undefined && weights.length === bias.length, "a last layer has as many rows as classes");
  const rows = Float32Array.from(weights.flatMap((row) => [...row]));
  return editModel(model, {
    drop: (name) => /^(\/head\/|head\.|logits_)/.test(name),
    weights: [
      { name: "head.retrained.weight", dims: [weights.length, first.length], floats: rows },
      { name: "head.retrained.bias", dims: [bias.length], floats: bias },
    ],
    nodes: [
      {
        name: "head_retrained",
        operator: "Gemm",
        inputs: [FEATURES, "head.retrained.weight", "head.retrained.bias"],
        outputs: [LOGITS],
        attributes: [{ name: "transB", kind: "int", value: 1 }],
      },
    ],
  });
}

/** Products of `side` x `side` matrices in a chain, whose outcome is multiplied by 0: the same answers, later. */
export function slowed(model: Uint8Array, products: number, side = 512): Uint8Array {
  const chain = Array.from(
    { length: products },
    (_, i): Node => ({
      name: `slow_product_${i}`,
      operator: "MatMul",
      inputs: [i === 0 ? "slow_matrix" : `slow_${i - 1}`, "slow_matrix"],
      outputs: [`slow_${i}`],
    }),
  );
  const zero: readonly Weights[] = [
    { name: "slow_zero", dims: [], floats: [0] },
    // Rows add up to 1, so the products neither grow nor vanish.
    { name: "slow_share", dims: [], floats: [1 / side] },
    { name: "slow_shape", dims: [2], integers: [side, side] },
  ];
  return withTail(model, "slow_nothing", zero, [
    // It hangs on the picture, or the optimiser would compute it once and for all.
    { name: "slow_mean", operator: "ReduceMean", inputs: [INPUT], outputs: ["slow_mean_of"], attributes: [whole] },
    { name: "slow_hush", operator: "Mul", inputs: ["slow_mean_of", "slow_zero"], outputs: ["slow_hushed"] },
    { name: "slow_seed", operator: "Add", inputs: ["slow_hushed", "slow_share"], outputs: ["slow_seeded"] },
    { name: "slow_expand", operator: "Expand", inputs: ["slow_seeded", "slow_shape"], outputs: ["slow_matrix"] },
    ...chain,
    {
      name: "slow_sum",
      operator: "ReduceMean",
      inputs: [`slow_${products - 1}`],
      outputs: ["slow_summed"],
      attributes: [whole],
    },
    { name: "slow_drop", operator: "Mul", inputs: ["slow_summed", "slow_zero"], outputs: ["slow_nothing"] },
  ]);
}

/** Looks beyond the end of a table on frames whose normalised mean is above `threshold`: the run fails, its process ends. */
export function crashing(model: Uint8Array, threshold: number): Uint8Array {
  const table: readonly Weights[] = [
    { name: "crash_threshold", dims: [], floats: [threshold] },
    { name: "crash_table", dims: [1], floats: [0] },
    { name: "crash_far", dims: [], integers: [1_000] },
  ];
  return withTail(model, "crash_looked_up", table, [
    { name: "crash_mean", operator: "ReduceMean", inputs: [INPUT], outputs: ["crash_mean_of"], attributes: [whole] },
    { name: "crash_compare", operator: "Greater", inputs: ["crash_mean_of", "crash_threshold"], outputs: ["crash_is"] },
    { name: "crash_cast", operator: "Cast", inputs: ["crash_is"], outputs: ["crash_one"], attributes: [toInt64] },
    { name: "crash_place", operator: "Mul", inputs: ["crash_one", "crash_far"], outputs: ["crash_index"] },
    { name: "crash_look", operator: "Gather", inputs: ["crash_table", "crash_index"], outputs: ["crash_looked_up"] },
  ]);
}

const whole = { name: "keepdims", kind: "int", value: 0 } as const;
const toInt64 = { name: "to", kind: "int", value: 7 } as const;

/** Adds the scalar `from`, which is 0, to the logits. */
function withTail(model: Uint8Array, from: string, weights: readonly Weights[], nodes: readonly Node[]): Uint8Array {
  return editModel(model, {
    rename: { from: LOGITS, to: PLAIN },
    weights,
    nodes: [...nodes, { name: "tail", operator: "Add", inputs: [PLAIN, from], outputs: [LOGITS] }],
  });
}
