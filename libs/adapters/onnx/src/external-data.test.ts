import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { placeOfTensors } from "./external-data.ts";

/** A field of a protocol buffer that holds bytes. */
function field(number: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([(number << 3) | 2]).subarray(0, 1), varint(body.length), body]);
}
function varint(value: number): Buffer {
  return value < 128 ? Buffer.from([value]) : Buffer.concat([Buffer.from([(value % 128) | 128]), varint(value >> 7)]);
}
/** Field numbers from 16 on take two bytes of tag. */
function wide(number: number, body: Uint8Array): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(body.length), body]);
}
const external = field(13, field(1, Buffer.from("location")), field(2, Buffer.from("../secret")));
const located = Buffer.from([(14 << 3) | 0, 1]);

describe("external data", () => {
  test.each([
    ["an initializer", field(7, field(5, external))],
    ["an initializer that only declares so", field(7, field(5, located))],
    ["a sparse initializer's values", field(7, field(15, field(1, external)))],
    ["a node's tensor", field(7, field(1, field(5, field(5, external))))],
    ["one of a node's tensors", field(7, field(1, field(5, field(10, external))))],
    ["a branch", field(7, field(1, field(5, field(6, field(5, external)))))],
    ["a node's sparse tensor", field(7, field(1, field(5, wide(22, field(2, external)))))],
    ["a function", wide(25, field(7, field(5, field(5, external))))],
    ["the training graph", wide(20, field(1, field(5, external)))],
    ["behind other fields", field(7, Buffer.from([8, 200, 1]), field(2, Buffer.alloc(300)), field(5, external))],
  ])("is found in %s", (_, model) => expect(placeOfTensors(model)).toBe("outside"));

  test.each(["edge-resnet8", "cloud-vgg"])("%s has none", (name) => {
    const model = readFileSync(new URL(`../../../../models/${name}/model.onnx`, import.meta.url));
    expect(placeOfTensors(model)).toBe("inside");
  });

  test("bytes behind a field that only another parser can skip are reported", () => {
    const group = Buffer.from([(9 << 3) | 3, (9 << 3) | 4]);
    expect(placeOfTensors(Buffer.concat([group, field(7, field(5, external))]))).toBe("unreadable");
  });

  test("bytes that are no model end in an answer (seed 3)", () => {
    const random = seededRandom(3);
    for (let n = 0; n < 2_000; n++) {
      const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
      expect(["inside", "outside", "unreadable"]).toContain(placeOfTensors(bytes));
    }
  });
});
