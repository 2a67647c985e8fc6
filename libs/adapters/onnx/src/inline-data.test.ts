import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { placeOfTensors } from "./external-data.ts";
import { inlineExternalData } from "./inline-data.ts";
import { modelFacts } from "./model-facts.ts";

const field = (number: number, bytes: Buffer | string) => {
  const body = Buffer.from(bytes);
  return Buffer.concat([Buffer.from([number * 8 + 2, body.length]), body]);
};
const entry = (key: string, value: string) => field(13, Buffer.concat([field(1, key), field(2, value)]));
const outside = (location: string, offset: number, length: number) =>
  Buffer.concat([
    field(8, "w"),
    entry("location", location),
    entry("offset", `${offset}`),
    entry("length", `${length}`),
    Buffer.from([14 * 8, 1]),
  ]);
const modelWith = (tensor: Buffer) => field(7, Buffer.concat([field(5, tensor), field(12, field(1, "out"))]));
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "done";
  } catch (error) {
    return error instanceof Failure ? error.code : String(error);
  }
};

test("weights beside the file come into it, and nothing else changes (inline-data.ts I1)", () => {
  const model = modelWith(outside("weights.data", 2, 4));
  expect(placeOfTensors(model)).toBe("outside");
  const inlined = inlineExternalData(model, (name) => (name === "weights.data" ? Buffer.from("xxDATAxx") : undefined));
  expect(placeOfTensors(inlined)).toBe("inside");
  expect(inlined.equals(modelWith(Buffer.concat([field(8, "w"), field(9, "DATA")])))).toBe(true);
  expect(modelFacts(inlined)?.outputs.map(({ name }) => name)).toEqual(["out"]);
});

test("a model whose weights are inside keeps its bytes", () => {
  const model = readFileSync(new URL("../../../../models/edge-resnet8/model.onnx", import.meta.url));
  expect(inlineExternalData(model, () => undefined).equals(model)).toBe(true);
});

test("a wrong reference is refused (inline-data.ts I2)", () => {
  const read = () => Buffer.from("short");
  expect(codeOf(() => inlineExternalData(modelWith(outside("w", 2, 4)), read))).toBe("model-external-data");
  expect(codeOf(() => inlineExternalData(modelWith(outside("w", -1, 2)), read))).toBe("model-external-data");
  expect(codeOf(() => inlineExternalData(modelWith(outside("w", 0, 2)), () => undefined))).toBe("model-external-data");
  expect(codeOf(() => inlineExternalData(Buffer.from([0x3a, 9]), read))).toBe("model-unloadable");
});
