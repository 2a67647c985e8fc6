import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { type ModelFacts, modelFacts } from "@tributary/onnx";
import { editModel } from "./onnx-edit.ts";
import { crashing, slowed, withHead } from "./surgery.ts";

const model = new Uint8Array(readFileSync(new URL("../../../../models/edge-resnet8/model.onnx", import.meta.url)));
const head = { weights: Array.from({ length: 10 }, () => new Float64Array(64).fill(0.5)), bias: new Float64Array(10) };

describe("surgery on the sample network", () => {
  test("nothing to change leaves every byte", () => {
    expect(Buffer.from(editModel(model, {})).equals(Buffer.from(model))).toBe(true);
  });

  test.each([
    ["another last layer", (bytes: Uint8Array) => withHead(bytes, head)],
    ["slower", (bytes: Uint8Array) => slowed(bytes, 3)],
    ["fatal", (bytes: Uint8Array) => crashing(bytes, 0.5)],
    ["all of it", (bytes: Uint8Array) => slowed(withHead(bytes, head), 2)],
  ])("%s: the same doors, and a small file", (_, change) => {
    const changed = change(model);
    const doors = ({ inputs, outputs, opset }: Partial<ModelFacts> = {}) => ({ inputs, outputs, opset });
    expect(doors(modelFacts(changed) ?? {})).toEqual(doors(modelFacts(model) ?? {}));
    expect(Math.abs(changed.length - model.length)).toBeLessThan(8_000);
    expect(Buffer.from(change(model)).equals(Buffer.from(changed))).toBe(true);
  });
});
