/** An experiment as one HTML file for people: what was decided and why, what each arm was worth, and what would flip it. */
import type { Instant } from "@tributary/kernel";
import type { ExperimentEvent } from "../events.ts";
import {
  type ArmComparison,
  type ArmEvidence,
  type ExperimentEvidence,
  experimentEvidenceOf,
} from "../experiment/evidence.ts";
import { applyExperimentEvent, type Experiment, endOf } from "../experiment/experiment.ts";
import type { GridCell } from "../experiment/flips.ts";
import type { LaneName } from "../experiment/lanes.ts";
import {
  comparisonWords,
  experimentChangeWords,
  figure,
  flipWords,
  forecastWords,
  per1000,
  points,
  spanWords,
  verdictWords,
} from "../experiment/words.ts";
import { durationText } from "../spec.ts";
import { type DifferenceRow, differencePlot, frontierPlot, questionsPlot } from "./experiment-plots.ts";
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
import { changedExperimentSettings } from "./settings.ts";
import { escaped } from "./svg.ts";

export type ExperimentReportContext = {
  /** The edge model that its policies are for. */
  readonly model: Package;
  /** Of an experiment that runs: what it saw at its last look. */
  readonly live: ExperimentEvidence | null;
  readonly now: Instant;
};

type Compared = ArmEvidence & { readonly comparison: ArmComparison };

export function experimentReportOf(
  events: readonly ExperimentEvent[],
  { model, live, now }: ExperimentReportContext,
): string {
  const experiment = readingOf(events);
  const { spec, phase } = experiment;
  const evidence = phase === "Running" ? live : experimentEvidenceOf(experiment.evidence);
  const { name } = spec.metadata;
  const lead = verdictWords(experiment, evidence);
  const why = phase === "Running" ? (evidence?.why ?? "") : experiment.why;
  const paragraphs = [sentence(why), lookAgain(experiment, evidence, now)].filter((text) => text !== "");
  return pageOf(
    `Experiment ${name}: ${phaseOf(experiment)}`,
    `<h1>Experiment ${escaped(name)} <span class="badge ${classOf(experiment)}">${phaseOf(experiment)}</span></h1>
<p class="lead">${escaped(sentence(lead))}</p>
${evidence === null ? "" : reasons(evidence)}
${paragraphs.map((text) => `<p>${escaped(text)}</p>`).join("\n")}
${facts([
  ["Edge model", packageWords(model)],
  ["Cloud target", experiment.cloudTarget],
  ["Deadline", `${figure(experiment.deadlineMs)} ms from capture`],
  ["Devices", `${experiment.order.length} in ${experiment.arms.length} arms`],
  ["Began", timeOf(experiment.createdAt)],
  ...(phase === "Running" ? [] : [["Ended", `${timeOf(experiment.changedAt)}, after ${ranFor(experiment)}`] as const]),
  ["Seen", evidence === null ? "nothing yet" : `as of ${timeOf(evidence.at)}`],
  ["Experiment", experiment.uid],
])}
${evidence === null ? unseen(experiment) : seen(experiment, evidence)}
<h2>Settings</h2>
${weightsOf(experiment)}
<h3>That differ from the defaults</h3>
${settingsTable(changedExperimentSettings(spec))}
<h2>What happened</h2>
${historyTable(events, experimentChangeWords)}
<h2>How to read this</h2>
<p>Devices were assigned to arms at random, and each arm is compared with the control, which is the first arm, device by device, adjusted by what each
device did before. The worth of a frame is what a right answer is worth, less what a cloud call and a late answer cost, by weights that were
fixed beforehand. A band holds at whatever moment one looks. e is how much better a claim explains what is seen than its opposite does; the
chance that the experiment ever has a wrong verdict is at most alpha. Late answers beyond the margin reject an arm at any price. What other
weights would have decided is a description, chosen after the data, and has no error rate.</p>`,
    STYLE,
  );
}

function readingOf(events: readonly ExperimentEvent[]): Experiment {
  const experiment = events.reduce<Experiment | null>(
    (state, one, i) => applyExperimentEvent(state, one, BigInt(i)),
    null,
  );
  if (experiment === null) throw new Error("a history without its first event");
  return experiment;
}

const phaseOf = ({ phase, verdict }: Experiment): string => (phase === "Decided" ? `Decided: ${verdict}` : phase);

function classOf({ phase, verdict }: Experiment): string {
  if (phase === "Running") return "Running";
  return verdict === "adopt" ? "Successful" : verdict === "reject" ? "Failed" : "Inconclusive";
}

const ranFor = ({ createdAt, changedAt }: Experiment): string => spanWords(changedAt - createdAt);

function lookAgain(experiment: Experiment, evidence: ExperimentEvidence | null, now: Instant): string {
  if (experiment.phase === "Running") {
    const end = endOf(experiment);
    const left = end > now ? `, in ${spanWords(end - now)}` : "";
    return `If it is undecided on ${timeOf(end)}${left}, it is held for a person.`;
  }
  const reviewAt = evidence?.reviewAt ?? null;
  if (experiment.phase === "Stopped" || reviewAt === null) return "";
  if (reviewAt <= now) return `This decision was to be looked at again by ${timeOf(reviewAt)}.`;
  return `Look at this decision again by ${timeOf(reviewAt)}, in ${spanWords(reviewAt - now)}, or when the edge model changes.`;
}

/** Of each arm but the control. */
const reasons = (evidence: ExperimentEvidence): string =>
  `<ul>${evidence.arms
    .slice(1)
    .map((arm) => `<li><b>${escaped(arm.name)}</b>: ${escaped(sentence(comparisonWords(arm, evidence)))}</li>`)
    .join("\n")}</ul>`;

/** Before the first look. */
const unseen = ({ arms }: Experiment): string => `<h2>Arms</h2>
<p>Nothing is measured yet.</p>
${table(
  ["arm", "policy", "devices"],
  arms.map(({ name, policyVersion, devices }, i) => [
    nameOf(name, i),
    policyVersion.slice(0, 12),
    figure(devices.length),
  ]),
)}`;

function seen(experiment: Experiment, evidence: ExperimentEvidence): string {
  const { arms, deadlineMs } = evidence;
  const compared = arms.filter((arm): arm is Compared => arm.comparison !== null);
  const frontier = frontierPlot("frontier", arms, deadlineMs);
  return `<h2>Arms</h2>
${armsTable(evidence)}
<h2>Accuracy and latency</h2>
${frontier === "" ? "<p>No arm has answers and labels yet.</p>" : `${frontier}<p>Beside each arm: what its cloud calls cost for 1,000 frames, as the router was configured.</p>`}
<h2>What each arm gains</h2>
${compared.length === 0 ? "<p>No arm is compared with the control yet.</p>" : differences(compared, evidence)}
${experiment.phase === "Running" ? missingTable(compared) : ""}
<h2>Evidence</h2>
${compared.length === 0 ? "<p>None yet.</p>" : ""}${compared
  .map((arm, i) => `<h3>${escaped(arm.name)}</h3>${questionsPlot(`evidence${i}`, arm.comparison, evidence)}`)
  .join("\n")}
<h2>What would flip it</h2>
${flips(compared, evidence)}
<h2>Do the devices report that were assigned?</h2>
${sampleRatio(evidence)}`;
}

const nameOf = (name: string, i: number): string => (i === 0 ? `${name} (control)` : name);

/** A column an arm: there are at most eight, and more that is known of each. */
function armsTable({ arms, deadlineMs, currency }: ExperimentEvidence): string {
  const percent = (share: number | null) => (share === null ? "-" : `${points(share)} %`);
  const latencyOf = ({ latency }: ArmEvidence): string => {
    if (latency === null) return "-";
    const [p50, p99] = [latency.p50Ms, latency.p99Ms].map((ms) => figure(Math.round(ms)));
    return `${p50} / ${p99} ms${latency.p99Ms > deadlineMs ? ", too late" : ""}`;
  };
  const row = (name: string, of: (arm: ArmEvidence) => string) => [name, ...arms.map(of)];
  return table(
    ["", ...arms.map(({ name }, i) => nameOf(name, i))],
    [
      row("policy", ({ policyVersion }) => policyVersion.slice(0, 12)),
      row("devices", ({ devices }) => figure(devices)),
      row("on the policy", ({ onPolicy }) => figure(onPolicy)),
      row("reporting", ({ reporting }) => figure(reporting)),
      row("frames", ({ frames }) => figure(Math.round(frames.escalated))),
      row("labels, weighted", ({ frames }) => figure(Math.round(frames.correct))),
      row("accuracy", ({ rates }) => percent(rates.correct)),
      row("escalated", ({ rates }) => percent(rates.escalated)),
      row("late", ({ rates }) => percent(rates.late)),
      row(`p50 / p99, deadline ${figure(deadlineMs)} ms`, latencyOf),
      row("calls for 1,000 frames cost", ({ callCostPer1000 }) => figure(callCostPer1000)),
      row(`worth of 1,000 frames (${currency})`, ({ utility }) => per1000(utility)),
    ],
  );
}

const lanePlots: readonly { readonly lane: LaneName; readonly name: string }[] = [
  { lane: "correct", name: "Right answers" },
  { lane: "escalated", name: "Escalated frames" },
  { lane: "late", name: "Late answers" },
];

function differences(compared: readonly Compared[], { currency, rope, lateMargin }: ExperimentEvidence): string {
  const rows = (of: (comparison: ArmComparison) => DifferenceRow["difference"]): DifferenceRow[] =>
    compared.map(({ name, comparison }) => ({ name, difference: of(comparison) }));
  const worth = differencePlot(
    "worth",
    "Worth of 1,000 frames",
    rows(({ gain }) => gain),
    { scale: 1_000, title: `worth of 1,000 frames (${currency})`, most: Number.POSITIVE_INFINITY },
    { rope: 1_000 * rope },
  );
  const lanes = lanePlots.map(({ lane, name }) => {
    const unit = { scale: 100, title: "points", most: 100 };
    const marks = lane === "late" ? { margin: 100 * lateMargin } : {};
    return `<h3>${name}</h3>${differencePlot(lane, name, rows((one) => one.lanes[lane]), unit, marks)}`; // biome-ignore format: one line
  });
  return `<h3>Worth</h3>${worth}<p>Shaded: differences under ${escaped(`${per1000(rope)} ${currency}`)} per 1,000 frames count as none.</p>
${lanes.join("\n")}`;
}

/** Of undecided arms, if what is seen stays as it is. */
function missingTable(compared: readonly Compared[]): string {
  const rows = compared.flatMap(({ name, comparison: { missing } }) =>
    missing === null ? [] : [[name, forecastWords(missing.difference), forecastWords(missing.equivalence)]],
  );
  if (rows.length === 0) return "";
  return `<h3>What is missing, if the estimate stays</h3>${table(["arm", "to show that it is better, or worse", "to show that it is the same"], rows)}`; // biome-ignore format: one line
}

function flips(compared: readonly Compared[], evidence: ExperimentEvidence): string {
  const known = compared.filter(({ comparison }) => comparison.grid !== null || comparison.flipsAt !== null);
  if (known.length === 0) return "<p>Not known: it is computed when the experiment is decided.</p>";
  return known
    .map(({ name, comparison }) => {
      const words = flipWords(comparison, evidence);
      const items =
        words.length === 0
          ? "<p>No single weight makes the arms worth the same.</p>"
          : `<p>The arms are worth the same</p><ul>${words.map((text) => `<li>${escaped(text)}</li>`).join("")}</ul>`;
      return `<h3>${escaped(name)}</h3>${items}${comparison.grid === null ? "" : gridTable(name, comparison.grid, evidence)}`;
    })
    .join("\n");
}

function gridTable(arm: string, grid: readonly (readonly GridCell[])[], evidence: ExperimentEvidence): string {
  const { weights, currency } = evidence;
  const control = evidence.arms[0]?.name ?? "the control";
  const columns = (grid[0] ?? []).map(({ weights: { late } }) => `<th>${figure(late)}</th>`);
  const cellOf = ({ weights: these, gain, for: side, isClear }: GridCell): string => {
    const isOwn = these.correct === weights.correct && these.late === weights.late;
    const classes = [side, ...(isClear ? ["clear"] : []), ...(isOwn ? ["own"] : [])];
    return `<td class="${classes.join(" ")}">${gain > 0 ? "+" : ""}${per1000(gain)}${isClear ? " \u2713" : ""}</td>`;
  };
  const rows = grid.map(
    (cells) => `<tr><th>${figure(cells[0]?.weights.correct ?? null)}</th>${cells.map(cellOf).join("")}</tr>`,
  );
  const about = `What ${arm} gains per 1,000 frames, in ${currency}, by what a right answer is worth (rows) and a late one costs (columns). Blue, above 0: ${arm} is worth more; orange, below 0: ${control}. \u2713 and a full colour: one look would show it; otherwise by the estimate alone. Framed: the weights of this experiment.`; // biome-ignore format: one line
  return `<table class="grid"><tr><th></th>${columns.join("")}</tr>\n${rows.join("\n")}</table><p>${escaped(about)}</p>`;
}

function sampleRatio({ sampleRatio: { log, logNeeded, isMismatch }, arms }: ExperimentEvidence): string {
  const evidence = `ln e ${figure(log)}, and ${figure(logNeeded)} is the alarm`;
  const found = isMismatch
    ? `<b>No</b> (${evidence}): an arm is compared by what is left of it, which is not a random part. No verdict is taken of it.`
    : `Nothing speaks against it (${evidence}).`;
  const astray = arms.filter(({ elsewhere }) => elsewhere.length > 0);
  const list =
    astray.length === 0
      ? ""
      : `<p>Devices whose frames name another arm or policy, the first of them:</p>${table(
          ["arm", "devices"],
          astray.map(({ name, elsewhere }) => [name, elsewhere.join(", ")]),
        )}`;
  return `<p>${found}</p>${list}`;
}

function weightsOf({ spec: { spec } }: Experiment): string {
  const { utility, rope, lateMargin, alpha, burnIn, duration, reviewAfter } = spec;
  const { currency } = utility;
  return facts([
    ["A right answer is worth", `${figure(utility.correct)} ${currency}`],
    ["A cloud call costs", `${figure(utility.escalated)} ${currency}`],
    ["A late answer costs", `${figure(utility.late)} ${currency}`],
    ["Worth the same", `less than ${per1000(rope)} ${currency} per 1,000 frames apart`],
    ["Late answers", `may rise by less than ${points(lateMargin)} points`],
    ["Wrong verdicts", `at most ${points(alpha)} %`],
    ["Times", `burn-in ${durationText(burnIn)}, at most ${durationText(duration)}, looked at again after ${durationText(reviewAfter)}`], // biome-ignore format: one line
  ]);
}

/** Okabe and Ito's blue and vermillion, pale where it is not clear; a sign and a mark give the same without colours. */
const STYLE = `
.grid { width: auto } .grid td, .grid th { text-align: right; border: 1px solid #fff; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.grid .arm { background: #e6f1f8 } .grid .control { background: #fbeee5 } .grid .arm.clear { background: #9ccbe6 } .grid .control.clear { background: #f2b98d }
.grid .clear { font-weight: 600 } .grid .own { outline: 2px solid #222; outline-offset: -2px }
`;
