import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { modelFacts } from "./model-facts.ts";

const modelOf = (name: string) => readFileSync(new URL(`../../../../models/${name}/model.onnx`, import.meta.url));

describe("the declarations of an ONNX file", () => {
  test.each(["edge-resnet8", "cloud-vgg"])("%s", (name) => {
    const facts = modelFacts(modelOf(name));
    expect(facts?.opset).toBeGreaterThanOrEqual(13);
    expect(facts?.inputs).toEqual([{ name: "input", type: "float32", shape: [expect.any(String), 3, 32, 32] }]);
    expect(facts?.outputs.map((output) => output.name)).toEqual(["logits", "features"]);
    expect(facts?.outputs[0]?.shape?.[1]).toBe(10);
    expect(facts?.operators).toEqual(expect.arrayContaining(["Add", "Conv"]));
    expect(facts?.operators.every((operator) => /^[A-Z]\w+$/.test(operator))).toBe(true);
  });

  test("operators of its own functions are what they are made of, wherever nodes hide", () => {
    const text = (value: string) => Buffer.from(value);
    const field = (number: number, bytes: Buffer) =>
      Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
    const far = (number: number, bytes: Buffer) =>
      Buffer.concat([Buffer.from([((number * 8 + 2) & 0x7f) | 0x80, (number * 8 + 2) >> 7, bytes.length]), bytes]);
    const node = (domain: string, name: string, ...more: Buffer[]) =>
      field(1, Buffer.concat([field(4, text(name)), field(7, text(domain)), ...more]));
    const inner = field(5, field(6, node("com.example", "Spy")));
    const own = far(
      25,
      Buffer.concat([field(1, text("Mine")), field(10, text("own")), field(7, field(4, text("Erf")))]),
    );
    const value = field(12, field(1, text("out")));
    const model = Buffer.concat([field(7, Buffer.concat([node("", "If", inner), node("own", "Mine"), value])), own]);
    expect(modelFacts(model)?.operators).toEqual(["Erf", "If", "com.example:Spy"]);
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
