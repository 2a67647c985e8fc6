/** A verdict as one HTML file for people: what changed, where, why, and what to do. Needs nothing but a browser. */
import type { DriftVerdict, DriftVerdictReview } from "@tributary/contracts";
import { Html, html, nothing } from "@tributary/kernel/html";
import { heldCause } from "../reviews/held-cause.ts";
import { faultWords } from "../words.ts";
import { type Bars, HEAT_ROWS_MAX, heatMap, histogram, lossBar, mixBars, signed } from "./charts.ts";
import { STYLE } from "./style.ts";
import { adviceOf, causeWords, featureWords, lossSentence, placeWords, reviewWords } from "./words.ts";

const HISTOGRAMS_MAX = 12;
const CLASSES_MAX = 12;
const DEVICES_SHOWN = 12;

export function reportOf(verdict: DriftVerdict): string {
  const { state, summary, review } = verdict;
  const { cause, fault } = heldCause(verdict);
  const { title, meaning } = causeWords[cause];
  const headline = summary === "" ? `${title}: ${placeWords(verdict)}` : summary;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>Drift: ${headline}</title>
<style>${new Html(STYLE)}</style></head>
<body>
<header><p class="badges"><span class="badge cause">${title}</span>${fault === "" ? nothing : html`<span class="badge">${faultWords(fault)}</span>`}<span class="badge ${state === "OPEN" ? "open" : "closed"}">${state.toLowerCase()}</span>${verdict.loss.state === "LOST" ? html`<span class="badge lost-badge">frames are lost</span>` : nothing}${review === null ? nothing : html`<span class="badge">${REVIEWED[review.kind]}</span>`}</p>
<h1>${headline}</h1>
<p class="lead">${meaning}</p></header>
${facts(verdict)}
<section class="card advice"><h2>What to do</h2><ul>${adviceOf(verdict).map((text) => html`<li>${command(text)}</li>`)}</ul></section>
${causeTree(verdict)}
<section class="card"><h2>Are frames lost?</h2><p>${lossSentence(verdict.loss)}</p>${lossBar(verdict.loss)}</section>
${timeline(verdict)}
${histograms(verdict)}
${mix(verdict)}
${devices(verdict)}
${EXPLANATION}
</body></html>
`;
  return page.text;
}

function facts(verdict: DriftVerdict): Html {
  const { devicesAffected, devicesInScope, since, modelName, modelVersion, modelDigest, pValue } = verdict;
  const pairs: readonly (readonly [string, string])[] = [
    ...(verdict.review === null ? [] : answerPairs(verdict, verdict.review)),
    ["Where", placeWords(verdict)],
    ["Devices", `${devicesAffected} with evidence, of ${devicesInScope} compared there`],
    ["Since", timeOf(since)],
    ["Model", modelName === "" ? modelDigest : `${modelName} ${modelVersion} (${modelDigest.slice(0, 12)})`],
    ...(pValue === null || !Number.isFinite(pValue)
      ? []
      : [["By chance", `p = ${pValue.toPrecision(2)} that the evidence falls there (Holm)`] as const]),
    ["Opened", timeOf(verdict.openedAt)],
    ["Updated", timeOf(verdict.updatedAt)],
    ...(verdict.closedAt === null
      ? []
      : [["Closed", `${timeOf(verdict.closedAt)}: ${verdict.closedBecause}`] as const]),
    ["Retrain", verdict.retrain ? "yes" : "no"],
    ["Verdict", `${verdict.verdictId}, version ${verdict.version}`],
  ];
  return html`<dl class="card">${pairs.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

const REVIEWED = {
  UNKNOWN: "answered",
  ACCEPT: "accepted",
  CORRECT: "corrected",
  KNOWN: "known",
  WITHDRAW: "answer withdrawn",
} as const satisfies Readonly<Record<DriftVerdictReview["kind"], string>>;

const answerPairs = (verdict: DriftVerdict, review: DriftVerdictReview): readonly (readonly [string, string])[] => [
  ["Answer", `${reviewWords(review)} (${timeOf(review.reviewedAt)}, to version ${review.version})`],
  ["Found", `${verdict.cause}${verdict.fault === "" ? "" : `: ${faultWords(verdict.fault)}`}`],
];

/** Commands in a sentence stand in the type of code. */
function command(text: string): Html {
  const at = text.indexOf("tributary ");
  return at < 0 ? html`${text}` : html`${text.slice(0, at)}<code>${text.slice(at)}</code>`;
}

function causeTree({ steps, cause }: DriftVerdict): Html {
  if (steps.length === 0) return nothing;
  const items = steps.map(
    ({ question, answer, isCause }) =>
      html`<li${new Html(isCause ? ' class="decides"' : "")}><p class="question">${question}</p><p>${answer}</p>${isCause ? html`<p class="decided">This decides it: ${causeWords[cause].title.toLowerCase()}.</p>` : nothing}</li>`,
  );
  return html`<section class="card"><h2>How the cause was found</h2><ol class="tree">${items}</ol></section>`;
}

function timeline({ features, timeline, since }: DriftVerdict): Html {
  const map = heatMap(features, timeline, since);
  if (map === nothing) return nothing;
  const left = features.length - HEAT_ROWS_MAX;
  const more = left > 0 ? html`<p class="faint">${left} features with less evidence are left out.</p>` : nothing;
  return html`<section class="card"><h2>What changed, and when</h2>
<p>How far each feature's mean is from its baseline, over the affected cameras. Features in bold have an alarm.</p>${map}${more}</section>`;
}

function histograms({ features }: DriftVerdict): Html {
  const shown = features
    .filter(({ reference, current }) => reference.length + current.length > 0)
    .slice(0, HISTOGRAMS_MAX);
  if (shown.length === 0) return nothing;
  const figures = shown.map(
    (feature) =>
      html`<figure><figcaption><b>${featureWords(feature.feature)}</b> <span class="faint">${feature.before} → ${feature.now} (${signed(feature.now - feature.before)})${feature.alarms > 0 ? `, ${feature.alarms} ${feature.alarms === 1 ? "alarm" : "alarms"}` : ""}</span></figcaption>${histogram(feature)}</figure>`,
  );
  return html`<section class="card"><h2>Distributions</h2>
<p><span class="key before-key"></span> validation set <span class="key now-key"></span> affected cameras since the onset. Bins are about equally full on the validation set.</p>
<div class="grid">${figures}</div></section>`;
}

function mix({ mix, features }: DriftVerdict): Html {
  const estimated = Object.entries(mix).map(([name, { before, now }]): Bars => ({ name, before, now }));
  const isEstimated = estimated.length > 0;
  const predicted = features.flatMap(({ feature, before, now }): Bars[] =>
    feature.startsWith("label:") ? [{ name: feature.slice("label:".length), before, now }] : [],
  );
  const all = [...(isEstimated ? estimated : predicted)].sort(
    (a, b) => Math.abs(b.now - b.before) - Math.abs(a.now - a.before) || (a.name < b.name ? -1 : 1),
  );
  if (all.length === 0) return nothing;
  const left = all.length - CLASSES_MAX;
  const what = isEstimated
    ? "Shares of the classes, estimated from predictions and the confusion matrix of the validation set."
    : "Shares of the predicted classes; the package has no confusion matrix to correct them by.";
  return html`<section class="card"><h2>Mix of classes</h2><p>${what} <span class="key before-key"></span> before <span class="key now-key"></span> now</p>
${mixBars(all.slice(0, CLASSES_MAX))}${left > 0 ? html`<p class="faint">${left} classes that changed less are left out.</p>` : nothing}</section>`;
}

function devices({ devices, devicesAffected }: DriftVerdict): Html {
  if (devices.length === 0) return nothing;
  const rows = devices.map(
    ({ deviceId, cameras, since }) =>
      html`<tr><td>${deviceId}</td><td>${cameras.length === 0 ? "the whole device" : cameras.map((camera) => camera || "all cameras").join(", ")}</td><td>${timeOf(since)}</td></tr>`,
  );
  const table = (some: readonly Html[]) =>
    html`<table><thead><tr><th>device</th><th>cameras</th><th>since</th></tr></thead><tbody>${some}</tbody></table>`;
  const rest = rows.slice(DEVICES_SHOWN);
  const more =
    rest.length === 0 ? nothing : html`<details><summary>${rest.length} more</summary>${table(rest)}</details>`;
  const left = devicesAffected - devices.length;
  return html`<section class="card"><h2>Devices with evidence</h2>${table(rows.slice(0, DEVICES_SHOWN))}${more}${left > 0 ? html`<p class="faint">${left} more are not listed.</p>` : nothing}</section>`;
}

const EXPLANATION = html`<section class="notes"><h2>How to read this</h2>
<p>Every camera is compared with its own past: the mean of a feature's bins in each window with that of its first windows. An alarm is
raised at a rate that is chosen for the whole fleet, whenever one looks. The place is what devices with evidence have in common and others
do not. Whether frames are lost is judged from labelled random draws alone, never from the model's confidence. Only a changed scene, a
changed mix or a wrong model are reasons to retrain, and only when frames are lost by it.</p></section>`;

const timeOf = (ms: number): string =>
  Math.abs(ms) > 8.64e15 ? "unknown" : `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
