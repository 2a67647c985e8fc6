import { expect, test } from "@jest/globals";
import { StateReader, StateWriter } from "./state-bytes.ts";

test("numbers of every size make room for themselves, whatever was written before (a monitor could store no larger state)", () => {
  for (let before = 0; before < 600; before++) {
    const to = new StateWriter();
    to.bytes(new Uint8Array(before));
    for (let i = 0; i < 20; i++) {
      to.u8(i);
      to.u16(i);
      to.u32(i);
      to.i64(BigInt(i));
      to.f64(i / 2);
    }
    const from = new StateReader(to.finish());
    expect(from.bytes(before)).toHaveLength(before);
    const read = Array.from({ length: 20 }, () => [from.u8(), from.u16(), from.u32(), from.i64(), from.f64()]);
    expect(read[19]).toEqual([19, 19, 19, 19n, 9.5]);
    from.end();
  }
});
