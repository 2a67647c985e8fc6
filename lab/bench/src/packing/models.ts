/** Models of other tasks, made from the committed ones: they answer for fewer classes, and take another kind of tensor. Real
 * graphs that ONNX Runtime runs; the convolutions stay as they are. */

import { editModel, type Node, type Weights } from "@tributary/demo";
import { type Preprocessing, parsePreprocessing } from "@tributary/inference";

const INPUT = "input";
const LOGITS = "logits";
const SIDE = 32;
/** What the committed models were trained with. */
const TRAINED = { image_mean: [0.4914, 0.4822, 0.4465], image_std: [0.247, 0.2435, 0.2616] };

export type Json = Readonly<Record<string, unknown>>;

/** The largest logit of each group of outputs becomes the logit of one class; `described` is what the model takes. */
export function derivedModel(model: Uint8Array, groups: readonly (readonly number[])[], described: Json): Uint8Array {
  const fewer = withGroups(groups);
  const other = withInput(parsePreprocessing(described));
  return editModel(model, {
    rename: { from: LOGITS, to: "all_logits" },
    renameRead: { from: INPUT, to: "prepared" },
    nodesBefore: other.nodes,
    nodes: fewer.nodes,
    weights: [...fewer.weights, ...other.weights],
    shapes: { [INPUT]: ["N", ...other.shape], [LOGITS]: ["N", groups.length] },
  });
}

function withGroups(groups: readonly (readonly number[])[]) {
  const nodes: Node[] = [];
  const weights: Weights[] = [];
  for (const [i, group] of groups.entries()) {
    weights.push({ name: `group_${i}`, dims: [group.length], integers: group });
    nodes.push(
      {
        name: `gather_${i}`,
        operator: "Gather",
        inputs: ["all_logits", `group_${i}`],
        outputs: [`of_${i}`],
        attributes: [axis],
      },
      { name: `max_${i}`, operator: "ReduceMax", inputs: [`of_${i}`], outputs: [`most_${i}`], attributes: [axes] },
    );
  }
  const inputs = groups.map((_, i) => `most_${i}`);
  nodes.push({ name: "join", operator: "Concat", inputs, outputs: [LOGITS], attributes: [axis] });
  return { nodes, weights };
}

const axis = { name: "axis", kind: "int", value: 1 } as const;
const axes = { name: "axes", kind: "ints", value: [1] } as const;

/** From the described input to that of training: layout, order of channels, scale and offset. */
function withInput({ layout, channelOrder, scale, offset }: Preprocessing) {
  const isLast = layout === "channels_last";
  const trained = parsePreprocessing({ do_resize: false, ...TRAINED });
  const nodes: Node[] = [];
  let from = INPUT;
  if (isLast) {
    const attributes = [{ name: "perm", kind: "ints", value: [0, 3, 1, 2] }] as const;
    nodes.push({ name: "layout", operator: "Transpose", inputs: [from], outputs: ["first"], attributes });
    from = "first";
  }
  if (channelOrder === "BGR") {
    nodes.push({ name: "order", operator: "Gather", inputs: [from, "rgb"], outputs: ["ordered"], attributes: [axis] });
    from = "ordered";
  }
  const place = (channel: number) => (channelOrder === "BGR" ? 2 - channel : channel);
  const factors = trained.scale.map((own, channel) => own / (scale[place(channel)] as number));
  const terms = trained.offset.map(
    (own, channel) => own - (factors[channel] as number) * (offset[place(channel)] as number),
  );
  nodes.push(
    { name: "scale", operator: "Mul", inputs: [from, "factors"], outputs: ["scaled"] },
    { name: "shift", operator: "Add", inputs: ["scaled", "terms"], outputs: ["prepared"] },
  );
  const weights: readonly Weights[] = [
    { name: "rgb", dims: [3], integers: [2, 1, 0] },
    { name: "factors", dims: [1, 3, 1, 1], floats: factors },
    { name: "terms", dims: [1, 3, 1, 1], floats: terms },
  ];
  return { nodes, weights, shape: isLast ? [SIDE, SIDE, 3] : [3, SIDE, SIDE] };
}
