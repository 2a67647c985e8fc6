/** What a maker reads. The model is a function here; `pack.ci.test.ts` has real ones. */
import { describe, expect, test } from "@jest/globals";
import { type Inference, parsePreprocessing } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import type { ValidationFrame } from "../validation/frames.ts";
import type { Json } from "./readings.ts";
import { suspect } from "./suspect.ts";

const TRUTH = { size: { height: 8, width: 8 }, do_rescale: true, rescale_factor: 1 / 255, do_normalize: false };
const PATHS = { model: "m.onnx", labels: "labels.txt", preprocess: "p.json" };
const FACTS = {
  opset: 17,
  otherOpsets: {},
  producer: "test",
  inputs: [{ name: "image", type: "float32", shape: ["n", 3, 8, 8] }],
  outputs: [{ name: "logits", type: "float32", shape: ["n", 2] }],
  operators: [],
};
/** 137 of "defect", 257 of "good", as in the report. */
const FRAMES = Array.from(
  { length: 394 },
  (_, i): ValidationFrame => ({
    file: `${i}.jpg`,
    path: `${i}.jpg`,
    label: (i * 29) % 394 < 137 ? 0 : 1,
    slice: "base",
  }),
);
const inferenceOf = (answer: number | Inference) => (typeof answer === "number" ? answering(answer) : answer);
const answering = (label: number) => ({ logits: Float32Array.of(1 - label, label) }) as Inference;

/** Runs a model that is right but for each tenth frame when its tensors are the true ones, and answers "defect" otherwise. */
async function suspicionOf(
  described: Json,
  truth: Json | null,
  answer: (frame: ValidationFrame) => number | Inference = () => 0,
) {
  const lines: string[] = [];
  const isTrue = (config: Json) =>
    truth !== null && JSON.stringify(parsePreprocessing(config)) === JSON.stringify(parsePreprocessing(truth));
  const run = async (config: Json | null, some: readonly ValidationFrame[]) => {
    const read = config ?? described;
    if (read.do_resize === false) throw new Failure("image-size-wrong", "ask-a-person", "0.jpg: 160 x 160");
    return some.map((frame) =>
      isTrue(read)
        ? answering(frame.file.endsWith("7.jpg") ? 1 - frame.label : frame.label)
        : inferenceOf(answer(frame)),
    );
  };
  const preprocessing = parsePreprocessing(described);
  const sources = {
    files: {},
    facts: FACTS,
    labels: ["defect", "good"],
    preprocessing,
    config: described,
    lineage: {},
  };
  const refusal = await suspect(FRAMES, sources, PATHS, run, (line) => lines.push(line)).then(
    () => null,
    (error: Failure) => error,
  );
  return { code: refusal?.code, text: refusal?.message ?? lines.join("\n") };
}

describe("what is printed before packing", () => {
  test("right on 35 % of two unbalanced classes: do_rescale, and not the labels", async () => {
    const { code, text } = await suspicionOf({ ...TRUTH, do_rescale: false }, TRUTH);
    expect(code).toBe("model-only-guesses");
    expect(text).toContain(
      'right on 137 of 394 validation frames (34.8 %; always "good" would be on 65.2 %), its balanced accuracy is 50.0 % (guessing: 50.0 %): no better than guessing.',
    );
    expect(text).toMatch(/write "do_rescale": true in p\.json: right on 35\d instead of 137 of 394 frames/);
    expect(text).not.toContain("labels are in another order");
  });

  test("nothing helps: what was tried, with its figures, and what may be done", async () => {
    const { code, text } = await suspicionOf(TRUTH, null);
    expect(code).toBe("model-only-guesses");
    expect(text).toContain('"channel_order": "BGR": right on 137 instead of 137 of 394 frames');
    expect(text).toContain("labels in the order");
    expect(text).toContain("Look whether m.onnx is the model that was exported");
  });

  test("frames that the model cannot take as described: the key that lets it", async () => {
    const { code, text } = await suspicionOf({ ...TRUTH, do_resize: false }, { ...TRUTH, do_resize: true });
    expect(code).toBe("image-size-wrong");
    expect(text).toMatch(/160 x 160: The preprocessing is described wrongly: write "do_resize": true in p\.json/);
  });

  test("it sees, but less than another reading: packed, with a warning; as well as any: packed in silence", async () => {
    const half = ({ file, label }: ValidationFrame) => (Number.parseInt(file, 10) % 10 < 6 ? label : 0);
    const { code, text } = await suspicionOf({ ...TRUTH, rescale_factor: 1 / 127.5 }, TRUTH, half);
    expect(code).toBeUndefined();
    expect(text).toMatch(/warning: the model is right on .*\n.*write "rescale_factor": 0\.00392157 in p\.json/);
    expect((await suspicionOf(TRUTH, TRUTH)).text).not.toMatch(/warning|note/);
  });

  test("right less often than the most frequent class alone, as it was trained on other frequencies: packed, with a note", async () => {
    // Of each class four fifths are hard, and then "defect" is a little likelier.
    const { code, text } = await suspicionOf(TRUTH, null, ({ file, label }) => {
      if (Number.parseInt(file, 10) % 5 > 3) return label;
      return { logits: Float32Array.of(0.3, 0) } as Inference;
    });
    expect(code).toBeUndefined();
    expect(text).toContain("was trained on other class frequencies");
    expect(text).toMatch(/shift its logits by the log of the classes' shares: right on \d+ instead of \d+/);
  });

  test("right less often than the most frequent class alone, for a reason that frequencies do not explain: none is named", async () => {
    const few = ({ file, label }: ValidationFrame) => (Number.parseInt(file, 10) % 5 > 1 ? 0 : label);
    const { code, text } = await suspicionOf({ ...TRUTH, do_rescale: false }, null, few);
    expect(code).toBeUndefined();
    expect(text).toContain("note: the model is right on");
    expect(text).toContain("why is not known");
    expect(text).not.toMatch(/frequencies than|shift its logits/);
  });

  test("a mean of .7 instead of .5 is found, which no convention has: its cure is near it", async () => {
    const described = { ...TRUTH, do_normalize: true, image_mean: [0.7, 0.7, 0.7], image_std: [0.3, 0.3, 0.3] };
    const truth = { ...described, image_mean: [0.5, 0.5, 0.5] };
    // Pictures that are too dark look defect.
    const dark = ({ file, label }: ValidationFrame) => (Number.parseInt(file, 10) % 10 < 6 ? 0 : label);
    const { code, text } = await suspicionOf(described, truth, dark);
    expect(code).toBeUndefined();
    expect(text).toMatch(
      /warning: .*\n.*write "image_mean": \[0\.5,0\.5,0\.5\] \(0\.2 lower, to be found exactly by --golden\)/,
    );
    expect(text).not.toContain("frequencies");
  });
});
