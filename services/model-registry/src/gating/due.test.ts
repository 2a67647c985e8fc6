import { expect, test } from "@jest/globals";
import type { GateOutcome, Model } from "@tributary/contracts";
import { CONTEXT, gateNeed } from "./due.ts";

const outcome = (change: Partial<GateOutcome> = {}): GateOutcome => ({
  passed: true,
  championDigest: "one",
  failed: [],
  unsure: [],
  reportDigest: "",
  pageDigest: "",
  judgedAt: 0,
  forcedBy: "",
  forcedReason: "",
  validationDigest: "",
  validationGates: 0,
  sliceDigest: "",
  sliceGates: 0,
  ...change,
});
const model = (version: string, modelDigest: string, change: Partial<Model> = {}) =>
  ({ name: "m", version, modelDigest, state: "LISTED", gate: null, ...change }) as Model;
const champion = model("1", "one");
const need = (challenger: Model | undefined, own: Model | undefined = champion, hasFrames = true) =>
  gateNeed("m", { byAlias: (_name, alias) => (alias === "champion" ? own : challenger) }, () => hasFrames);

test("a challenger that was not compared with this champion is due", () => {
  const challenger = model("2", "two");
  expect(need(challenger)).toEqual({ kind: "due", challenger, champion });
  expect(need(model("2", "two", { gate: outcome() })).kind).toBe("none");
  expect(need(model("2", "two", { gate: outcome({ passed: false }) })).kind).toBe("none");
  expect(need(model("2", "two", { gate: outcome({ championDigest: "zero" }) })).kind).toBe("due");
});

test("nothing is due without a challenger, for the champion itself, and for what was forced or revoked", () => {
  expect(need(undefined).kind).toBe("none");
  expect(need(champion).kind).toBe("none");
  expect(need(model("2", "two", { state: "REVOKED" })).kind).toBe("none");
  const forced = outcome({ passed: false, championDigest: "zero", forcedBy: "ada" });
  expect(need(model("2", "two", { gate: forced })).kind).toBe("none");
});

test("without a champion or frames there is no verdict, and the reason names what to do", () => {
  const table = { byAlias: (_name: string, alias: string) => (alias === "champion" ? undefined : model("2", "two")) };
  expect(gateNeed("m", table, () => true)).toMatchObject({
    kind: "blocked",
    why: expect.stringContaining("models alias m@VERSION champion"),
  });
  expect(need(model("2", "two"), champion, false)).toMatchObject({
    kind: "blocked",
    why: expect.stringContaining("tributary validation push m FOLDER"),
  });
});

test("a world model takes a context: it needs a champion, and no frames", () => {
  const challenger = model("2", "two", { input: CONTEXT });
  expect(need(challenger, champion, false)).toEqual({ kind: "due", challenger, champion });
  expect(
    gateNeed("m", { byAlias: (_, alias) => (alias === "champion" ? undefined : challenger) }, () => false),
  ).toMatchObject({
    kind: "blocked",
    why: expect.stringContaining("models alias m@VERSION champion"),
  });
});
