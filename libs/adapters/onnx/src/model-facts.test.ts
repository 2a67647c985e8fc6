import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { modelFacts } from "./model-facts.ts";

const modelOf = (name: string) => readFileSync(new URL(`../../../../models/${name}/model.onnx`, import.meta.url));

describe("what an ONNX file says of itself", () => {
  test.each(["edge-resnet8", "cloud-vgg"])("%s", (name) => {
    const facts = modelFacts(modelOf(name));
    expect(facts?.opset).toBeGreaterThanOrEqual(13);
    expect(facts?.inputs).toEqual([{ name: "input", type: "float32", shape: [expect.any(String), 3, 32, 32] }]);
    expect(facts?.outputs.map((output) => output.name)).toEqual(["logits", "features"]);
    expect(facts?.outputs[0]?.shape?.[1]).toBe(10);
  });

  test("bytes that are no model are called so (seed 4)", () => {
    const random = seededRandom(4);
    const model = modelOf("edge-resnet8");
    for (let n = 0; n < 500; n++) {
      const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
      expect(() => modelFacts(bytes)).not.toThrow();
      expect(() => modelFacts(model.subarray(0, Math.floor(random() * model.length)))).not.toThrow();
    }
    expect(modelFacts(Buffer.from("a text"))).toBeNull();
  });
});
