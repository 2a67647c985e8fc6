import { expect, test } from "@jest/globals";
import type { DriftVerdictDetail } from "@tributary/api";
import { adviceOf } from "@tributary/drift/report";
import { someDriftReview, someDriftVerdict } from "@tributary/testing";
import { Output } from "../output.ts";
import { explanationOf, verdictPairs, verdictView } from "./verdict.ts";

const now = Date.parse("2026-01-01T00:30:00Z");
/** As the gateway shows it. */
const detailOf = (change: Parameters<typeof someDriftVerdict>[0] = {}): DriftVerdictDetail => {
  const record = someDriftVerdict(change);
  const iso = (_: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);
  const at = (ms: number) => new Date(ms).toISOString();
  const times = { since: at(record.since), openedAt: at(record.openedAt), updatedAt: at(record.updatedAt) };
  return { ...JSON.parse(JSON.stringify(record, iso)), ...times };
};
const plain = (_style: unknown, text: string) => text;

test("a table has a verdict a row", () => {
  let text = "";
  const output = new Output("table", false, (piece) => {
    text += piece;
  });
  output.list(
    [detailOf(), detailOf({ state: "CLOSED", scopeKey: "fleet", scopeValue: "", fault: "" })],
    verdictView(now),
    "",
  );
  expect(text.split("\n").map((line) => line.split(/ {2,}/).join("|"))).toEqual([
    "ID|CAUSE|FAULT|WHERE|DEVICES|SINCE|LOSS|STATE",
    "0123456789ab|CAMERA|channels-swapped|lens=acme-2|2/2|30m|LOST (31 %)|OPEN",
    "0123456789ab|CAMERA|-|the whole fleet|2/2|30m|LOST (31 %)|CLOSED",
    "",
  ]);
});

test("the answer of a person holds in the table, and what was found stays in sight", () => {
  const { verdictId: _v, openedAt: _o, found: _f, devices: _d, ...answer } = someDriftReview({ kind: "KNOWN" });
  const until = "2026-02-01T00:00:00Z";
  const corrected = detailOf({ review: { ...answer, kind: "CORRECT", cause: "WORLD", note: "lamps", offset: 0n } });
  const known = { ...detailOf(), review: { ...corrected.review, kind: "KNOWN", until } } as DriftVerdictDetail;
  const cells = (verdict: DriftVerdictDetail, at: number, ...heads: string[]) => {
    const { columns } = verdictView(at);
    return heads.map((head) => columns.find((one) => one.head === head)?.of(verdict));
  };
  const corrects = "cause corrected to WORLD by ann: lamps";
  expect(cells(corrected, now, "CAUSE", "FAULT", "FOUND", "ANSWER")).toEqual(["WORLD", "", "CAMERA", corrects]);
  expect(explanationOf(corrected, plain)).toMatch(
    /^The world changed \(.*A person answered: cause corrected to WORLD/s,
  );
  expect(cells(known, now, "STATE")).toEqual(["KNOWN until 2026-02-01"]);
  expect(cells(known, Date.parse(until), "STATE")).toEqual(["OPEN"]);
  const { review: _r, ...ofOlderGateway } = detailOf();
  expect(verdictPairs(ofOlderGateway as DriftVerdictDetail, now)).toContainEqual(["Answer", null]);
  expect(explanationOf(ofOlderGateway as DriftVerdictDetail, plain)).not.toContain("answered");
});

test("an explanation has the questions, the one that decided marked, and what to do", () => {
  expect(explanationOf(detailOf(), plain).split("\n")).toEqual([
    "Camera fault: channels swapped (lens=acme-2)",
    "2 cameras with lens=acme-2 deliver swapped channels since 00:00",
    "",
    "○ Do devices reproduce their golden frames?",
    "│   All 40 do.",
    "● Is it a fault of cameras?",
    "    Yes: nearest is channels-swapped (0.04; next is 0.61).  <- this decides it",
    "",
    "Frames are lost: 31 % of 212 labelled random draws are wrong; it was 12 % on the validation set for their classes, and 2 % more are tolerated.",
    "",
    "What to do",
    "  1. Look at the cameras of cam-1, cam-2. Does the camera's driver deliver BGR where RGB is expected? A new firmware may.",
    "  2. They have lens=acme-2 in common: look there first.",
    "  3. Do not retrain for this: the model would learn the fault.",
  ]);
  expect(Object.fromEntries(verdictPairs(detailOf(), now))).toMatchObject({ Where: "lens=acme-2", Retrain: "no" });
});

test("each cause has its own advice, and retraining is advised only where frames are lost by what changed", () => {
  const adviceFor = (change: Parameters<typeof someDriftVerdict>[0]) => adviceOf(someDriftVerdict(change)).join("\n");
  const preprocessing = {
    cause: "PREPROCESSING",
    fault: "nearest",
    scopeKey: "agentVersion",
    scopeValue: "0.3.0",
  } as const;
  expect(adviceFor(preprocessing)).toContain("resample: pictures are resized by nearest neighbour");
  expect(adviceFor(preprocessing)).toContain("All affected devices run agent 0.3.0");
  expect(adviceFor(preprocessing)).toContain("tributary devices check cam-1 --wait");
  for (const cause of ["WORLD", "LABEL_SHIFT", "CONCEPT"] as const) {
    expect(adviceFor({ cause, retrain: true })).toMatch(/^Retrain with|\nRetrain with/);
    const loss = { ...someDriftVerdict().loss, state: "NO_DATA", errorRate: null } as const;
    expect(adviceFor({ cause, loss })).toContain("Do not retrain yet: label random draws");
    expect(adviceFor({ cause, loss: { ...loss, state: "UNPROVEN" } })).toContain("not proven");
  }
  expect(adviceFor({ state: "CLOSED", closedBecause: "no evidence is left" })).toBe(
    "Nothing: it is closed, because no evidence is left.",
  );
});
