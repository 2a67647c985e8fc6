/** A training as one HTML file for people: which frames were chosen and why, accuracies before and after, the gate, the cost.
 * Runs no scripts; only its pictures come from elsewhere, namely from the gateway that serves it. */
import type { Dataset, TrainingEvent, TrainingRun } from "@tributary/contracts";
import { Html, html, nothing } from "@tributary/kernel/html";
import { blendSection, percent } from "./blends.ts";
import { contactSheet, type PicturedFrame } from "./contact-sheet.ts";
import { type TrainingEvidence, trainingEvidenceOf } from "./evidence.ts";
import { STYLE } from "./style.ts";
import { minutesOf, phaseWords, triggerWords } from "./words.ts";

/** What the gate found of the candidate, as models.v1 has it. */
export type CandidateGate = {
  readonly passed: boolean;
  readonly failed: readonly string[];
  readonly unsure: readonly string[];
  readonly forcedBy: string;
};

export type ReportInput = {
  readonly run: TrainingRun;
  readonly events: readonly TrainingEvent[];
  /** Null: not frozen yet. */
  readonly dataset: Dataset | null;
  /** The frames of the slice that were chosen or, before they are frozen, are labelled. */
  readonly chosen: readonly PicturedFrame[];
  /** Null: it was not evaluated yet. */
  readonly gate: CandidateGate | null;
  readonly rollout: { readonly uid: string; readonly phase: string; readonly message: string } | null;
  /** Path of a frame's picture. */
  readonly imageOf: (frameId: string) => string;
};

const EVENTS_SHOWN = 30;
const CLASSES_SHOWN = 100;

export function reportOf(input: ReportInput): string {
  const { run } = input;
  const evidence = trainingEvidenceOf(run.evidence);
  const title = `Training of ${run.model}: ${run.slice}`;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Html(STYLE)}</style></head>
<body>
<header><p class="badges"><span class="badge phase">${run.phase.toLowerCase()}</span><span class="badge">${triggerWords[run.trigger]}</span>${outcomeBadge(run)}</p>
<h1>${title}</h1>
<p class="lead">${run.reason}</p></header>
<section class="card"><h2>Where it stands</h2><p>${phaseWords[run.phase]}</p>${run.message === "" ? nothing : html`<p>${run.message}</p>`}</section>
${facts(input)}
${beforeAndAfter(evidence)}
${gateSection(input)}
${blendSection(evidence)}
${framesSection(input)}
${datasetSection(input)}
${costs(input, evidence)}
${history(input.events)}
${EXPLANATION}
</body></html>
`;
  return page.text;
}

function outcomeBadge({ phase, candidateVersion }: TrainingRun): Html {
  if (phase === "SUCCEEDED" && candidateVersion === "") return html`<span class="badge">gives nothing</span>`;
  if (phase === "SUCCEEDED") return html`<span class="badge ended-well">its model is champion</span>`;
  const isBad = phase === "FAILED" || phase === "REFUSED" || phase === "CANCELLED";
  return isBad ? html`<span class="badge ended-badly">ended without a model</span>` : nothing;
}

function facts({ run, rollout }: ReportInput): Html {
  const devices = run.devices.length === 0 ? "all" : `${run.devices.length}`;
  const pairs: readonly (readonly [string, string])[] = [
    ["Asked for by", run.requestedBy],
    ["Verdict of drift", run.verdictId],
    ["Slice", `${run.slice}, devices: ${devices}`],
    ["Frames since", timeOf(run.since)],
    ["Labels", `${run.labelsHave} of ${run.labelsWanted} wanted`],
    [
      "Started from",
      run.parentVersion === "" ? "" : `${run.model} ${run.parentVersion} (${run.parentDigest.slice(0, 12)})`,
    ],
    ["Dataset", run.datasetVersion === "" ? "" : `${run.model}/${run.datasetVersion}`],
    ["Job", run.jobId === "" ? "" : `${run.jobId} by ${run.backend}, attempt ${run.attempt}`],
    [
      "Candidate",
      run.candidateVersion === "" ? "" : `${run.model} ${run.candidateVersion} (${run.candidateDigest.slice(0, 12)})`,
    ],
    ["Asked for", timeOf(run.requestedAt)],
    ["Changed", timeOf(run.changedAt)],
    ["Ended", run.endedAt === null ? "" : timeOf(run.endedAt)],
    ["Training", `${run.runId}, version ${run.version}`],
  ];
  const shown = pairs.filter(([, value]) => value !== "");
  const link =
    rollout === null
      ? nothing
      : html`<div><dt>Rollout</dt><dd><a href="/api/v1/rollouts/${encodeURIComponent(rollout.uid)}/report">${rollout.uid}</a>: ${rollout.phase}${rollout.message === "" ? "" : `, ${rollout.message}`}</dd></div>`;
  return html`<dl class="card">${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}${link}</dl>`;
}

function beforeAndAfter({ accuracies, notes }: TrainingEvidence): Html {
  if (accuracies.length === 0) return nothing;
  const rows = accuracies.map(
    (one) =>
      html`<tr><td>${one.slice}</td><td>${one.split.toLowerCase()}</td><td>${one.frames}</td>${change(one.before, one.after)}</tr>`,
  );
  const head = html`<th>frames</th><th>before</th><th>after</th><th>change</th>`;
  const byClass = accuracies.flatMap(({ slice, split, classes }) => {
    const own = Object.entries(classes ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    if (own.length === 0) return [];
    const rows = own
      .slice(0, CLASSES_SHOWN)
      .map(([name, one]) => html`<tr><td>${name}</td><td>${one.frames}</td>${change(one.before, one.after)}</tr>`);
    return [
      html`<details><summary>${slice}, ${split.toLowerCase()}, by class</summary><table><thead><tr><th>class</th>${head}</tr></thead><tbody>${rows}</tbody></table></details>`,
    ];
  });
  return html`<section class="card"><h2>Before and after</h2>
<p>Shares of right answers of the deployed model and of the new one, on the same frames.</p>
<table><thead><tr><th>slice</th><th>split</th>${head}</tr></thead><tbody>${rows}</tbody></table>${byClass}${notes.map((note) => html`<p class="faint">${note}</p>`)}</section>`;
}

function change(before: number, after: number): Html {
  const points = 100 * (after - before);
  const kind = points > 0 ? "gain" : points < 0 ? "loss" : "faint";
  const text = `${points > 0 ? "+" : points < 0 ? "−" : ""}${Math.abs(points).toFixed(1)} points`;
  return html`<td>${percent(before)}</td><td>${percent(after)}</td><td class="${kind}">${text}</td>`;
}

function gateSection({ gate, run }: ReportInput): Html {
  if (gate === null) return nothing;
  const lines = [
    ...gate.failed.map((text) => html`<tr><td class="loss">failed</td><td>${text}</td></tr>`),
    ...gate.unsure.map((text) => html`<tr><td>unsure</td><td>${text}</td></tr>`),
  ];
  const forced = gate.forcedBy === "" ? nothing : html`<p>${gate.forcedBy} let it pass all the same.</p>`;
  const verdict = gate.passed
    ? "It passed."
    : gate.failed.length > 0
      ? "It failed."
      : "It is unsure: a person decides.";
  return html`<section class="card"><h2>Gate</h2><p>${verdict} All lines: <code>tributary models describe ${run.model}@${run.candidateVersion}</code></p>${forced}${lines.length === 0 ? nothing : html`<table><tbody>${lines}</tbody></table>`}</section>`;
}

function framesSection({ chosen, dataset, imageOf }: ReportInput): Html {
  if (chosen.length === 0) return nothing;
  const drawn = chosen.filter(({ isDrawn }) => isDrawn).length;
  const what = dataset === null ? "labelled so far" : "in the dataset";
  return html`<section class="card"><h2>Frames</h2>
<p>${chosen.length} frames of the slice are ${what}, ${drawn} of them drawn at random. A picture is missing once the archive has deleted it.</p>
${contactSheet(chosen, imageOf)}</section>`;
}

function datasetSection({ dataset }: ReportInput): Html {
  if (dataset === null) return nothing;
  const rows = dataset.parts.map(
    ({ slice, split, frames, classes }) =>
      html`<tr><td>${slice}</td><td>${split.toLowerCase()}</td><td>${frames}</td><td>${countsOf(classes)}</td></tr>`,
  );
  const pairs: readonly (readonly [string, string])[] = [
    ["Labels by", countsOf(dataset.labelSources)],
    ["Devices", `${dataset.devices}`],
    ["Left out", countsOf(dataset.leftOut)],
    ["Replayed with", dataset.baseVersion === "" ? "" : `${dataset.model}/${dataset.baseVersion}`],
    ["MD5 (DVC)", `${dataset.md5}.dir`],
    ["Frozen", timeOf(dataset.createdAt)],
  ];
  return html`<section class="card"><h2>Dataset ${dataset.model}/${dataset.version}</h2>
<table><thead><tr><th>slice</th><th>split</th><th>frames</th><th>classes</th></tr></thead><tbody>${rows}</tbody></table>
${pairs.filter(([, value]) => value !== "").map(([name, value]) => html`<p><span class="faint">${name}:</span> ${value}</p>`)}</section>`;
}

function costs({ run, dataset }: ReportInput, { cpuSeconds, wallSeconds, steps, recipe }: TrainingEvidence): Html {
  const people = ["PERSON", "IMPORT", "MEASUREMENT"].reduce((sum, one) => sum + (dataset?.labelSources[one] ?? 0), 0);
  const labels = dataset === null ? run.labelsHave : people;
  const pairs: readonly (readonly [string, string])[] = [
    ["Labels by people", `${labels}`],
    ["From request to end", run.endedAt === null ? "" : minutesOf(run.endedAt - run.requestedAt)],
    ["CPU of training", cpuSeconds === undefined ? "" : `${Math.round(cpuSeconds)} s`],
    ["Time of training", wallSeconds === undefined ? "" : minutesOf(1_000 * wallSeconds)],
    ["Steps", steps === undefined ? "" : `${steps}`],
    ["Recipe", Object.keys(recipe).length === 0 ? "" : JSON.stringify(recipe)],
  ];
  const shown = pairs.filter(([, value]) => value !== "");
  return html`<section class="card"><h2>Cost</h2><table><tbody>${shown.map(([name, value]) => html`<tr><td class="faint">${name}</td><td>${value}</td></tr>`)}</tbody></table></section>`;
}

function history(events: readonly TrainingEvent[]): Html {
  if (events.length === 0) return nothing;
  const rows = events.map(
    ({ at, by, kind, version }) =>
      html`<tr><td>${`${version}`}</td><td>${timeOf(at)}</td><td>${kind.toLowerCase().replaceAll("_", " ")}</td><td>${by}</td></tr>`,
  );
  const table = (some: readonly Html[]) =>
    html`<table><thead><tr><th>version</th><th>at</th><th>what</th><th>by</th></tr></thead><tbody>${some}</tbody></table>`;
  const older = rows.slice(0, -EVENTS_SHOWN);
  const more =
    older.length === 0 ? nothing : html`<details><summary>${older.length} earlier</summary>${table(older)}</details>`;
  return html`<section class="card"><h2>History</h2>${more}${table(rows.slice(-EVENTS_SHOWN))}</section>`;
}

const EXPLANATION = html`<section class="notes"><h2>How to read this</h2>
<p>A training learns the frames of one slice together with base photos, from labels by people. Gradients come from training frames, the
blend is chosen, and the bias of the logits found, on tuning frames, and the gate alone reads the frames held out for it; near-duplicates never are in two of these. The
trainer only pushes the model: gate and canary decide whether devices run it.</p></section>`;

const countsOf = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");

const timeOf = (ms: number): string =>
  Math.abs(ms) > 8.64e15 ? "unknown" : `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
