/** Verdicts of drift in a terminal: a table, one in full, and how its cause was found. Pure. */
import type { DriftReviewCount, DriftVerdictDetail, DriftVerdictView } from "@tributary/api";
import {
  adviceOf,
  causeWords,
  faultWords,
  featureWords,
  heldCause,
  lossSentence,
  percentOf,
  placeWords,
  reviewWords,
} from "@tributary/drift/report";
import { ago, type Style, type View } from "../output.ts";

type Styled = (style: Style, text: string) => string;

export const verdictView = (now: number): View<DriftVerdictView> => ({
  name: (verdict) => verdict.verdictId,
  columns: [
    { head: "ID", of: (v) => v.verdictId },
    { head: "CAUSE", of: (v) => heldCause(v).cause },
    { head: "FAULT", of: (v) => heldCause(v).fault },
    { head: "WHERE", of: placeWords },
    { head: "DEVICES", of: (v) => `${v.devicesAffected}/${v.devicesInScope}` },
    { head: "SINCE", of: (v) => ago(v.since, now) },
    { head: "LOSS", of: lossCell },
    { head: "STATE", of: (v) => (isKnown(v, now) ? `KNOWN until ${v.review?.until?.slice(0, 10)}` : v.state) },
    { head: "RETRAIN", of: (v) => (v.retrain ? "yes" : "no"), wide: true },
    { head: "MODEL", of: modelWords, wide: true },
    { head: "FOUND", of: (v) => v.cause, wide: true },
    { head: "ANSWER", of: (v) => reviewWords(v.review), wide: true },
    { head: "UPDATED", of: (v) => v.updatedAt, wide: true },
    { head: "SUMMARY", of: (v) => v.summary, wide: true },
  ],
});

/** Open, and expected for now by a person. */
export const isKnown = ({ state, review }: DriftVerdictView, now: number): boolean =>
  state === "OPEN" && review?.kind === "KNOWN" && review.until !== null && now < Date.parse(review.until);

const lossCells = { UNKNOWN: "unknown", NO_DATA: "no labels", UNPROVEN: "unproven", LOST: "LOST" } as const;
const lossCell = ({ loss }: DriftVerdictView): string =>
  loss.errorRate === null ? lossCells[loss.state] : `${lossCells[loss.state]} (${percentOf(loss.errorRate)})`;

export const modelWords = ({ modelName, modelVersion, modelDigest }: DriftVerdictView): string =>
  modelName === "" ? modelDigest.slice(0, 12) : `${modelName} ${modelVersion}`;

/** The facts of one, by name. */
export const verdictPairs = (verdict: DriftVerdictView, now: number): readonly (readonly [string, unknown])[] => [
  ["Verdict", `${verdict.verdictId} (version ${verdict.version})`],
  ["State", verdict.state === "CLOSED" ? `CLOSED: ${verdict.closedBecause}` : verdict.state],
  ["Cause", `${verdict.cause}: ${causeWords[verdict.cause].meaning}`],
  ["Answer", reviewWords(verdict.review) || null],
  ["Fault", faultWords(verdict.fault)],
  ["Where", placeWords(verdict)],
  ["Devices", `${verdict.devicesAffected} with evidence, of ${verdict.devicesInScope} compared there`],
  ["By chance", verdict.pValue === null ? null : `p = ${verdict.pValue.toPrecision(2)} (after Holm's correction)`],
  ["Since", `${verdict.since} (${ago(verdict.since, now)} ago)`],
  ["Model", `${modelWords(verdict)} (${verdict.modelDigest})`],
  ["Opened", verdict.openedAt],
  ["Updated", verdict.updatedAt],
  ...(verdict.closedAt === null ? [] : [["Closed", verdict.closedAt] as const]),
  ["Loss", lossSentence(verdict.loss)],
  ["Retrain", verdict.retrain ? "yes" : "no"],
];

/** A row for each found cause and answer. */
export const reviewsView: View<DriftReviewCount> = {
  name: ({ found, kind, cause }) => [found, kind, ...(cause === null ? [] : [cause])].join("/"),
  columns: [
    { head: "FOUND", of: ({ found }) => found },
    { head: "ANSWER", of: ({ kind }) => kind },
    { head: "CAUSE", of: ({ cause }) => cause },
    { head: "VERDICTS", of: ({ verdicts }) => verdicts },
  ],
};

type Device = DriftVerdictDetail["devices"][number];
export const deviceView = (now: number): View<Device> => ({
  name: (device) => device.deviceId,
  columns: [
    { head: "DEVICE", of: (d) => d.deviceId },
    { head: "CAMERAS", of: ({ cameras }) => cameras.map((camera) => camera || "all").join(",") },
    { head: "SINCE", of: (d) => ago(d.since, now) },
  ],
});

type Feature = DriftVerdictDetail["features"][number];
export const featureView: View<Feature> = {
  name: (feature) => feature.feature,
  columns: [
    { head: "FEATURE", of: (f) => featureWords(f.feature) },
    { head: "BEFORE", of: (f) => f.before.toFixed(3) },
    { head: "NOW", of: (f) => f.now.toFixed(3) },
    { head: "SHIFT", of: (f) => `${f.now > f.before ? "+" : ""}${(f.now - f.before).toFixed(3)}` },
    { head: "ALARMS", of: (f) => f.alarms },
    { head: "EVIDENCE", of: (f) => f.logEvidence.toFixed(1) },
  ],
};

type MixShare = { readonly name: string; readonly before: number; readonly now: number };
/** Those that changed most are first. */
export const mixOf = ({ mix }: DriftVerdictDetail): readonly MixShare[] =>
  Object.entries(mix)
    .map(([name, shares]) => ({ name, ...shares }))
    .sort((a, b) => Math.abs(b.now - b.before) - Math.abs(a.now - a.before));
export const mixView: View<MixShare> = {
  name: ({ name }) => name,
  columns: [
    { head: "CLASS", of: ({ name }) => name },
    { head: "BEFORE", of: ({ before }) => percentOf(before) },
    { head: "NOW", of: ({ now }) => percentOf(now) },
  ],
};

/** The questions in order, the one that decided marked, and what to do. */
export function explanationOf(verdict: DriftVerdictDetail, style: Styled): string {
  const { summary, steps, review } = verdict;
  const { cause, fault } = heldCause(verdict);
  const title = `${causeWords[cause].title}${fault && `: ${faultWords(fault)}`} (${placeWords(verdict)})`;
  const questions = steps.flatMap(({ question, answer, isCause }, i) => {
    const rule = i < steps.length - 1 ? "│" : " ";
    const head = isCause ? `${style("cyan", "●")} ${style("bold", question)}` : `○ ${question}`;
    return [head, `${rule}   ${answer}${isCause ? style("cyan", "  <- this decides it") : ""}`];
  });
  return [
    style("bold", title),
    ...(summary === "" ? [] : [summary]),
    "",
    ...questions,
    "",
    lossSentence(verdict.loss),
    ...(review == null ? [] : [`A person answered: ${reviewWords(review)}.`]),
    "",
    style("bold", "What to do"),
    ...adviceOf(verdict).map((text, i) => `  ${i + 1}. ${text}`),
  ].join("\n");
}
