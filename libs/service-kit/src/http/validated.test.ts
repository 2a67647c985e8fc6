import { expect, test } from "@jest/globals";
import { Problem } from "@tributary/telemetry/http";
import { z } from "zod";
import { Validated } from "./validated.ts";

const body = new Validated(z.strictObject({ spec: z.unknown(), by: z.string() }));
const take = (value: unknown): unknown => {
  try {
    return body.transform(value, { type: "body" });
  } catch (error) {
    return error instanceof Problem ? error.details : error;
  }
};

test("a body that is nested too deeply to be written again is refused, whatever its field takes", () => {
  const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);
  const fine = { spec: nested(63), by: "ann" };
  expect(take(fine)).toEqual(fine);
  for (const levels of [64, 100_000]) {
    const { status, code, detail } = take({ spec: nested(levels), by: "ann" }) as Problem["details"];
    expect([status, code]).toEqual([400, "request-invalid"]);
    expect(detail).toBe("body: lists and objects are nested deeper than 64 levels; send them with fewer.");
  }
});

test("names the fields that are wrong or unknown", () => {
  expect(take({ spec: 1, to: 2 })).toMatchObject({
    code: "request-invalid",
    errors: [{ where: "body.by" }, { where: "body.to", message: "unknown" }],
  });
});
