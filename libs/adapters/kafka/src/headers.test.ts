import { expect, test } from "@jest/globals";
import { cloudEventHeaders } from "./headers.ts";

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
