import { expect, test } from "@jest/globals";
import { cloudEventHeaders, traceparentOf } from "./headers.ts";

test("CloudEvents in binary mode", () => {
  const event = { id: "cam:1:frames:2", source: "/tributary/bridge", type: "tributary.v1.EdgeFrame", time: 0 };
  expect(cloudEventHeaders(event)).toEqual({
    ce_id: "cam:1:frames:2",
    ce_source: "/tributary/bridge",
    ce_type: "tributary.v1.EdgeFrame",
    ce_specversion: "1.0",
    ce_time: "1970-01-01T00:00:00.000Z",
    "content-type": "application/avro",
  });
});

test("a child keeps its parent's trace; what is no traceparent starts a new one", () => {
  const bytes = (count: number) => new Uint8Array(count).fill(0xab);
  const parent = `00-${"1".repeat(32)}-${"2".repeat(16)}-00`;
  expect(traceparentOf(bytes, parent)).toBe(`00-${"1".repeat(32)}-${"ab".repeat(8)}-00`);
  for (const wrong of [undefined, "", "00-x", `00-${"0".repeat(32)}-${"2".repeat(16)}-00`, `${parent}-more`]) {
    expect(traceparentOf(bytes, wrong)).toBe(`00-${"ab".repeat(16)}-${"ab".repeat(8)}-01`);
  }
});
