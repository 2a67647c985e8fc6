/** A rollout as one HTML file for people: what was seen, what was decided and why. Needs nothing but a browser. */

import { type RolloutEvent, type Verdict } from "../events.ts";
import { type AnalysisEvidence, type AnalysisMetric, analysisEvidenceOf } from "../evidence.ts";
import { applyEvent, type Rollout } from "../rollout.ts";
import { abandonedWords, changeWords, crossCheckWords, pauseWords } from "../words.ts";
import {
  facts,
  historyTable,
  type Package,
  packageWords,
  pageOf,
  sentence,
  settingsTable,
  table,
  timeOf,
} from "./page.ts";
import { decimal, evidencePlot, harmPlot, looksOf, type Moment, weightPlot } from "./plots.ts";
import { changedSettings } from "./settings.ts";
import { escaped } from "./svg.ts";

export type ReportContext = {
  readonly model: Package;
  readonly stable: Package;
  /** Of an analysis that has not ended: what it saw at its last look. */
  readonly live: AnalysisEvidence | null;
};

type Analysis = {
  /** Index of the step, from 0; null: harm was found outside an analysis step, or it still runs. */
  readonly step: number | null;
  readonly weight: number;
  readonly verdict: Verdict | "Running";
  readonly evidence: AnalysisEvidence;
};

export function reportOf(events: readonly RolloutEvent[], { model, stable, live }: ReportContext): string {
  const reading = readingOf(events);
  const { rollout, weights } = reading;
  const running = live !== null && !reading.ended.some(({ evidence }) => isSameOrLater(evidence, live));
  const analyses: readonly Analysis[] = running
    ? [...reading.ended, { step: null, weight: rollout.weight, verdict: "Running", evidence: live }]
    : reading.ended;
  const newest = analyses.at(-1);
  const last = events.at(-1)?.at ?? 0;
  const until = Math.max(last, live === null || !running ? 0 : live.startedAtMs + live.sinceMs);
  const { name } = rollout.spec.metadata;
  return pageOf(
    `Rollout ${name}: ${phaseOf(rollout)}`,
    `<h1>Rollout ${escaped(name)} <span class="badge ${classOf(rollout)}">${phaseOf(rollout)}</span></h1>
<p class="lead">${escaped(decisionOf(rollout, newest))}</p>
${facts([
  ["New model", packageWords(model)],
  ["Stable model", packageWords(stable)],
  ["Devices", `${rollout.cohorts.order.length} in slot ${rollout.spec.spec.slot}`],
  ["Began", timeOf(rollout.createdAt)],
  ["Changed last", `${timeOf(last)}, after ${spanOf(last - rollout.createdAt)}`],
  ["Rollout", rollout.uid],
])}
${weightPlot("weight", weights, until, reading.moments)}
${[...analyses]
  .reverse()
  .map((one, i) => analysisSection(one, analyses.length - i, reading))
  .join("\n")}
${analyses.length === 0 ? "<h2>Analyses</h2><p>None yet: nothing has been compared.</p>" : ""}
<h2>Settings that differ from the defaults</h2>
${settingsTable([...changedSettings(rollout.spec), ...(newest?.evidence.settings ?? [])])}
<h2>What happened</h2>
${eventsTable(events, rollout)}
<h2>How to read this</h2>
<p>Harm is the control's rate of good frames less the canary's, device by device, adjusted by what each device did before.
The band holds at whatever moment one looks. e is how much better harm (or its absence) explains what is seen: with no harm,
the chance that it ever reaches 1/alpha is at most alpha; a rollout that compares several times gives each a share of its
alphas. Most of alpha belongs to looks that are planned until the end of the analysis: when one of them finds harm, e is 1/alpha at once. Re-randomisation is a cross-check that ends no analysis, and shows for an undecided one whether harm is likely: p is how often another draw of the arms would have looked as bad,
and at or below what is spent of alpha by then it shows harm. Only a Successful analysis widens a rollout; too little data,
silence and errors are not health.</p>`,
  );
}

type Reading = {
  readonly rollout: Rollout;
  readonly ended: readonly Analysis[];
  readonly weights: readonly { readonly at: number; readonly weight: number }[];
  readonly moments: readonly { readonly at: number; readonly label: string }[];
};

function readingOf(events: readonly RolloutEvent[]): Reading {
  let rollout: Rollout | null = null;
  const ended: Analysis[] = [];
  const weights: { at: number; weight: number }[] = [];
  const moments: { at: number; label: string }[] = [];
  for (const [i, event] of events.entries()) {
    const { change, at } = event;
    rollout = applyEvent(rollout, event, BigInt(i));
    if (rollout === null) break;
    const wanted = rollout.aborted === null ? rollout.weight : 0;
    if (weights.at(-1)?.weight !== wanted) weights.push({ at, weight: wanted });
    const label = momentOf(event);
    if (label !== null) moments.push({ at, label });
    const evidence = change.kind === "analysed" ? analysisEvidenceOf(change.evidence) : null;
    if (change.kind === "analysed" && evidence !== null)
      ended.push({ step: change.step, weight: rollout.weight, verdict: change.verdict, evidence });
  }
  if (rollout === null) throw new Error("a history without its first event");
  return { rollout, ended, weights, moments };
}

/** What is marked in the pictures; the table has all. */
function momentOf({ change }: RolloutEvent): string | null {
  switch (change.kind) {
    case "step-started":
      return `step ${change.step + 1}`;
    case "analysed":
      return change.verdict;
    case "paused":
      return change.reason === "step" ? null : "paused";
    case "promoted":
      return "promoted";
    case "aborted":
      return "rolls back";
    case "completed":
      return "complete";
    default:
      return null;
  }
}

const isSameOrLater = (ended: AnalysisEvidence, live: AnalysisEvidence): boolean =>
  ended.startedAtMs + ended.sinceMs >= live.startedAtMs + live.sinceMs;

function analysisSection({ step, weight, verdict, evidence }: Analysis, place: number, reading: Reading): string {
  const { metrics, crashes, refused, control, canary } = evidence;
  const of = step === null ? "" : ` of step ${step + 1}/${reading.rollout.spec.spec.strategy.canary.steps.length}`;
  const moments: Moment[] = [
    { sinceMs: evidence.sinceMs, label: verdict === "Running" ? "last look" : verdict },
    ...reading.moments
      .map(({ at, label }) => ({ sinceMs: at - evidence.startedAtMs, label }))
      .filter(({ sinceMs }) => sinceMs >= 0 && sinceMs < evidence.sinceMs),
  ];
  const drawn = metrics.map((metric, i) => {
    const id = `a${place}m${i}`;
    const looks = looksOf(evidence, metric);
    const from = metric.source === "prometheus" ? " (from Prometheus)" : "";
    const heading = `<h3>${escaped(metric.name)}${from}</h3>${metric.note === null ? "" : `<p>${escaped(metric.note)}.</p>`}`;
    if (looks.length === 0) {
      const { control: c, canary: k } = metric;
      return `${heading}<p>Nothing to compare yet: ${counted(k)} in the canary, ${counted(c)} in the control.</p>`;
    }
    return `${heading}${harmPlot(id, evidence, metric, moments)}${evidencePlot(`${id}e`, evidence, metric)}${segmentSection(metric)}${crossCheckSection(metric)}`;
  });
  return `<h2>Analysis ${place}${of}, at weight ${decimal(weight)} % <span class="badge ${verdict}">${verdict}</span></h2>
<p class="lead">${escaped(`${sentence(evidence.why)} Compared for ${spanOf(evidence.sinceMs)}${evidence.burnInMs > 0 ? `, of which ${spanOf(evidence.burnInMs)} burn-in (shaded)` : ""}.`)}</p>
${metricsTable(evidence)}
${drawn.join("\n")}
<h3>Arms</h3>
${table(
  ["arm", "devices", "heard", "with the model of their arm", "golden frames failed", "silent"],
  [
    ["canary", ...armCells(canary)],
    ["control", ...armCells(control)],
  ],
)}
<h3>Crashes</h3>
${
  crashes === null
    ? "<p>Not known.</p>"
    : `<p>Devices that crashed: ${crashes.canary} in the canary, ${crashes.control} in the control; the canary is ${decimal(100 * crashes.share)} % of the exposure. ln e ${decimal(crashes.logHarm)}, and ${decimal(-Math.log(crashes.alpha))} rolls back${crashes.logHarm >= -Math.log(crashes.alpha) ? ": <b>more than its share</b>" : ""}.</p>`
}
<h3>Refusals</h3>
${
  refused.devices === 0
    ? "<p>No device refused the model or left it by itself.</p>"
    : `<p>${refused.devices} ${refused.devices === 1 ? "device" : "devices"} refused the model or left it by itself.</p>` +
      table(
        ["device", "code", "why"],
        refused.some.map(({ deviceId, code, reason }) => [deviceId, code, reason]),
      )
}`;
}

function metricsTable(evidence: AnalysisEvidence): string {
  const rows = evidence.metrics.map((metric) => {
    const look = looksOf(evidence, metric).at(-1);
    const { name, alpha, beta, margin, control, canary } = metric;
    const bounds = look === undefined ? "-" : `${points(look.low, "\u2212∞")} to ${points(look.high, "∞")}`;
    const harm = look === undefined ? "-" : `${decimal(look.logHarm)}, needs ${decimal(-Math.log(alpha))}`;
    const safe =
      margin === null
        ? "only stops"
        : look?.logSafe == null
          ? "-"
          : `${decimal(look.logSafe)}, needs ${decimal(-Math.log(beta))}`;
    return [name, look === undefined ? "-" : points(look.harm), bounds, harm, safe, counted(canary), counted(control)];
  });
  return table(
    [
      "metric",
      "harm (points)",
      "always-valid band",
      "ln e of harm, to roll back",
      "ln e of safety, to widen",
      "canary",
      "control",
    ],
    rows,
  );
}

/** Classes and sites that were judged beside the whole, the worst first. */
function segmentSection({ segments, worst }: AnalysisMetric): string {
  if (worst.length === 0) return "";
  const left = segments > worst.length ? ` The others have less evidence, or too little to compare.` : "";
  return `<p>Judged beside the whole: ${segments} segments, their e-values merged with its by weight.${left}</p>${table(
    ["segment", "weight", "harm (points)", "always-valid band", "ln e of harm"],
    worst.map(({ kind, name, weight, harm, low, high, logHarm }) => [
      `${kind} ${name}`,
      `${decimal(100 * weight)} %`,
      points(harm),
      `${points(low, "\u2212∞")} to ${points(high, "∞")}`,
      decimal(logHarm),
    ]),
  )}`;
}

/** It ends no analysis, so it stands below what does. */
function crossCheckSection({ alpha, crossCheck }: AnalysisMetric): string {
  const words = crossCheckWords(crossCheck);
  if (crossCheck === null || words === null) return "";
  const { draws, looks } = crossCheck;
  const paragraph = `<p>${escaped(sentence(words))}</p>`;
  if (looks.length === 0) return paragraph;
  return `${paragraph}${table(
    ["cross-check at", `p of ${draws} draws`, `spent of ${decimal(100 * alpha)} %`, "shows harm"],
    looks.map(({ sinceMs, p, spent, isHarmful }) => [
      spanOf(sinceMs),
      p.toPrecision(2),
      `${decimal(100 * spent)} %`,
      isHarmful ? "yes" : "no",
    ]),
  )}`;
}

const points = (share: number | null, none = "-"): string => (share === null ? none : decimal(100 * share));
const counted = ({ devices, frames }: { readonly devices: number; readonly frames: number }): string =>
  `${devices} devices, ${grouped(frames)} frames`;
const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

function armCells({ devices, heard, onModel, goldenFailed, silent }: AnalysisEvidence["canary"]): string[] {
  const away = devices - heard;
  const more = away > silent.length && silent.length > 0 ? ` and ${away - silent.length} more` : "";
  return [
    `${devices}`,
    `${heard}`,
    `${onModel}`,
    `${goldenFailed}`,
    away <= 0 ? "none" : `${silent.join(", ")}${more}`,
  ];
}

function eventsTable(events: readonly RolloutEvent[], { spec }: Rollout): string {
  const { steps } = spec.spec.strategy.canary;
  return historyTable(events, (change) =>
    changeWords(change.kind === "created" ? { kind: change.kind, devices: change.order.length } : change, steps),
  );
}

const phaseOf = ({ phase, aborted }: Rollout): string =>
  phase === "Degraded" ? `Degraded, ${rollbackState(aborted)}` : phase;

const rollbackState = (aborted: Rollout["aborted"]): string =>
  aborted !== null && aborted.abandoned !== null
    ? `abandoned on ${aborted.abandoned.devices} devices`
    : aborted?.isBack
      ? "rolled back"
      : "rolling back";

const classOf = ({ phase }: Rollout): string =>
  ({ Progressing: "Running", Paused: "Inconclusive", Healthy: "Successful", Degraded: "Failed" })[phase];

function decisionOf(rollout: Rollout, newest: Analysis | undefined): string {
  const { phase, aborted, pause, weight } = rollout;
  const seen = newest === undefined ? "" : newest.evidence.why.trim().replace(/\.$/, "");
  const why = (before: string, reason: string) =>
    `${before}: ${[reason, reason.includes(seen) ? "" : seen].filter((text) => text !== "").join(": ")}.`;
  switch (phase) {
    case "Healthy":
      return "All its devices run the new model.";
    case "Degraded":
      if (aborted !== null && aborted.abandoned !== null)
        return `Rolling back: ${aborted.why}; ${abandonedWords(aborted.abandoned, rollout.evidence)}.`;
      return why(aborted?.isBack ? "Rolled back" : "Rolling back", aborted?.why ?? "");
    case "Paused":
      return why(`Paused at weight ${decimal(weight)} %`, pause === null ? "" : pauseWords[pause.reason]);
    case "Progressing":
      return seen === "" ? `Active at weight ${decimal(weight)} %.` : why(`Active at weight ${decimal(weight)} %`, "");
    default:
      return phase satisfies never;
  }
}

function spanOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
