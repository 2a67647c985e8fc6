import { describe, expect, test } from "@jest/globals";
import type { DriftVerdict } from "@tributary/contracts";
import { judge } from "./judge.ts";
import { objectsStory } from "./objects.ts";
import type { Case } from "./story.ts";

const { cases } = objectsStory(40);
const right = rightOf(cases);

function rightOf(all: readonly Case[]): readonly DriftVerdict[] {
  return all.flatMap(({ devices, expected }) => {
    return expected === null ? [] : verdict({ ...expected, fault: expected.faults[0] as string, devices });
  });
}

type Some = Omit<Partial<DriftVerdict>, "devices"> & { readonly devices: readonly string[] };
function verdict({ devices, ...some }: Some): DriftVerdict {
  const place = [some.cause, some.fault, some.scopeKey, some.scopeValue];
  const listed = devices.map((deviceId) => ({ deviceId, cameras: [], since: 0 }));
  return { verdictId: place.join("|"), state: "OPEN", closedBecause: "", ...some, devices: listed } as DriftVerdict;
}
const failing = (history: readonly DriftVerdict[], of = cases) =>
  judge(of, history)
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

  test("where a fault may have no name, a verdict with none is right as well, and one with another is not", () => {
    const own = cases.map((one) =>
      one.name === "dusk" && one.expected !== null
        ? { ...one, expected: { ...one.expected, faults: ["dark", ""] } }
        : one,
    );
    const named = (fault: string) => right.map((one) => (one.fault === "dark" ? { ...one, fault } : one));
    expect(failing(named("dark"), own)).toEqual([]);
    expect(failing(named(""), own)).toEqual([]);
    expect(failing(named("rain"), own)).toEqual(["dusk", "no other verdict opened, not for a moment"]);
  });
});
