import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "@jest/globals";
import { ContractError } from "@tributary/contracts";
import { deadLetterRecord, letterOf } from "./dead-letters.ts";

const record = { topic: "edge.frames.v1", partition: 3, offset: 17n, key: "cam-1", headers: { ce_id: "x" } };

test("a dead letter has the original and the reason (dead-letters.ts D1, D3)", () => {
  const error = new ContractError("record-truncated", "ends 3 bytes early");
  const out = deadLetterRecord(letterOf({ ...record, value: Buffer.from("abc") }, error), "router", 1_000);
  expect(out).toEqual({
    topic: "edge.frames.v1.router.dlq",
    key: "cam-1",
    value: Buffer.from("abc"),
    headers: {
      ce_id: "x",
      "__connect.errors.topic": "edge.frames.v1",
      "__connect.errors.partition": "3",
      "__connect.errors.offset": "17",
      "__connect.errors.connector.name": "router",
      "__connect.errors.exception.class.name": "record-truncated",
      "__connect.errors.exception.message": "ends 3 bytes early",
    },
  });
});

test("an oversized value is cut to 64 KiB with its length and digest (dead-letters.ts D1)", () => {
  const value = randomBytes(200_000);
  const out = deadLetterRecord(letterOf({ ...record, value }, new Error("big")), "bridge", 100_000);
  expect(out.value?.equals(value.subarray(0, 65_536))).toBe(true);
  expect(out.headers).toMatchObject({
    "__connect.errors.value.length": "200000",
    "__connect.errors.value.sha256": createHash("sha256").update(value).digest("hex"),
    "__connect.errors.exception.class.name": "unexpected-error",
  });
});
