import { describe, expect, test } from "@jest/globals";
import { DeviceDesired } from "@tributary/contracts";
import { someBootId, someReported } from "@tributary/testing";
import { FleetTable } from "./fleet-table.ts";
import { observedStateOf } from "./observed-state.ts";

const [old, wanted] = ["0a".repeat(32), "1b".repeat(32)];
const reportOf = (modelDigest: string, change: object = {}) =>
  someReported({
    deviceId: "d",
    generation: 7n,
    acceptedSchemas: [DeviceDesired.current.fingerprint],
    slots: { perception: { modelDigest, modelName: "edge", modelVersion: "1" } },
    ...change,
  });

describe("the observed state of a device", () => {
  const table = new FleetTable();
  table.reported("d", reportOf(wanted), 1_000);
  const device = table.get("d");
  if (device === undefined) throw new Error("no device");

  test("is its report, while its frames agree or are older", () => {
    expect(observedStateOf(device, "perception", undefined, 500)).toMatchObject({ modelDigest: wanted, update: null });
    const late = { modelDigest: old, at: 1_400 };
    expect(observedStateOf(device, "perception", late, 500).modelDigest).toBe(wanted);
    const same = { modelDigest: wanted, at: 9_000 };
    expect(observedStateOf(device, "perception", same, 500).modelDigest).toBe(wanted);
  });

  test("is the model of its frames, and it has left the model that it reports (B1)", () => {
    const frames = { modelDigest: old, at: 9_000 };
    expect(observedStateOf(device, "perception", frames, 500)).toMatchObject({
      modelDigest: old,
      update: { modelDigest: wanted, phase: "REVERTED", code: "digest-contradicted" },
    });
    expect(observedStateOf(device, "world", frames, 500)).toMatchObject({ modelDigest: "", update: null });
  });
});

test("replayed and impossible reports are ignored; a newer boot starts a new order (F1)", () => {
  const table = new FleetTable();
  expect(table.reported("d", reportOf(wanted, { seq: 5n }), 1)).toBeNull();
  expect(table.reported("d", reportOf(old, { seq: 4n }), 2)).toBe("replayed");
  expect(table.reported("d", reportOf(old, { bootId: someBootId - 1n, seq: 9n }), 3)).toBe("replayed");
  expect(table.reported("e", reportOf(old, { seq: 9n }), 4)).toBe("malformed");
  expect(table.get("d")?.slots.perception).toBe(wanted);
  expect(table.reported("d", reportOf(old, { bootId: someBootId + 1n, seq: 1n }), 5)).toBeNull();
  expect(table.get("d")).toMatchObject({ slotsAt: 5, takesDesiredState: true });
});
