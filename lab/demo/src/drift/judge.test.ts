import { describe, expect, test } from "@jest/globals";
import type { DriftVerdict } from "@tributary/contracts";
import { casesOf, fleetOf } from "./cases.ts";
import { judge } from "./judge.ts";

const cases = casesOf(fleetOf(40));
const right = cases.flatMap(({ devices, expected }) => (expected === null ? [] : verdict({ ...expected, devices })));

type Some = Omit<Partial<DriftVerdict>, "devices"> & { readonly devices: readonly string[] };
function verdict({ devices, ...some }: Some): DriftVerdict {
  const place = [some.cause, some.fault, some.scopeKey, some.scopeValue];
  const listed = devices.map((deviceId) => ({ deviceId, cameras: [], since: 0 }));
  return { verdictId: place.join("|"), state: "OPEN", closedBecause: "", ...some, devices: listed } as DriftVerdict;
}
const failing = (history: readonly DriftVerdict[]) =>
  judge(cases, history)
    .checks.filter(({ holds }) => !holds)
    .map(({ name }) => name.split(":")[0]);

describe("what drift-monitor wrote is compared with what happened", () => {
  test("four right verdicts pass, also when one grew; a device belongs to one case", () => {
    expect(failing(right)).toEqual([]);
    const [first] = right as [DriftVerdict];
    expect(failing([{ ...first, devices: first.devices.slice(1) }, ...right])).toEqual([]);
    expect(new Set(cases.flatMap(({ devices }) => devices)).size).toBe(40);
    expect(judge(cases, right).verdicts.size).toBe(4);
  });

  test("none, a missing device and a closed verdict fail that case alone", () => {
    expect(failing([])).toEqual(["camera", "dusk", "class-mix", "pipeline"]);
    const [first, ...others] = right as [DriftVerdict];
    expect(failing([...others, { ...first, devices: first.devices.slice(1) }])).toEqual(["camera"]);
    expect(failing([...right, { ...first, state: "CLOSED" }])).toEqual(["camera"]);
  });

  test("a wrong verdict fails, of a clean device too, also when it closed again", () => {
    const clean = cases.find(({ name }) => name === "nothing")?.devices.slice(0, 1) ?? [];
    const wrong = verdict({
      cause: "CAMERA",
      fault: "",
      scopeKey: "camera",
      scopeValue: `${clean[0]}/cam`,
      devices: clean,
    });
    const every = "no other verdict opened, not for a moment";
    expect(failing([wrong, { ...wrong, state: "CLOSED" }, ...right])).toEqual(["nothing", every]);
    const [first] = right as [DriftVerdict];
    expect(failing([{ ...first, fault: "dark", verdictId: "other" }, ...right])).toEqual(["camera", every]);
  });
});
