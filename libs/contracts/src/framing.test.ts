import { expect, test } from "@jest/globals";
import { ContractError } from "./errors.ts";
import { frameSingleObject, openSingleObject, readDeviceId } from "./framing.ts";
import { EdgeFrame } from "./generated/index.ts";
import { randomOf, randomValue } from "./random-record.test-kit.ts";

test("the device id is read from the record's first bytes, for every length", () => {
  for (let length = 1; length <= 64; length++) {
    const deviceId = "d".repeat(length);
    const frame = { ...(randomValue(EdgeFrame.current.schema, randomOf(length)) as EdgeFrame), deviceId };
    expect(readDeviceId(EdgeFrame.encode(frame))).toBe(deviceId);
  }
  for (const bytes of [[], [0x03], [0x80], [0x82, 0x02], [0x08, 0x61]]) {
    expect(() => readDeviceId(Uint8Array.from(bytes))).toThrow(ContractError);
  }
});

test("single-object framing is codec.ts C3 01, then the fingerprint from its least significant byte", () => {
  const framed = frameSingleObject("7275d51a3f395c8f", Buffer.from([2]));
  expect(framed.toString("hex")).toBe("c3018f5c393f1ad5757202");
  expect(openSingleObject(framed)).toEqual({ fingerprint: "7275d51a3f395c8f", payload: Buffer.from([2]) });
});
