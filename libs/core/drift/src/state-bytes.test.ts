import { expect, test } from "@jest/globals";
import { StateReader, StateWriter } from "./state-bytes.ts";

test("numbers of a state that grows are read back, also from a buffer within a larger one", () => {
  const to = new StateWriter();
  for (let i = 0; i < 1_000; i++) {
    to.u8(i % 256);
    to.u16(i);
    to.f64(i / 3);
    to.i64(BigInt(-i));
  }
  to.f32s(new Float32Array(2_000).fill(0.5));
  to.bytes(new Int8Array([1, -2]));
  const written = to.finish();
  const whole = Buffer.concat([Buffer.from([7, 7, 7]), written]);
  const from = new StateReader(whole.subarray(3));
  for (let i = 0; i < 1_000; i++) {
    expect([from.u8(), from.u16(), from.f64(), from.i64()]).toEqual([i % 256, i, i / 3, BigInt(-i)]);
  }
  expect(from.f32s(2_000)).toEqual(new Float32Array(2_000).fill(0.5));
  const bytes = from.bytes(2);
  expect(new Int8Array(bytes.buffer)).toEqual(new Int8Array([1, -2]));
  from.end();
});
