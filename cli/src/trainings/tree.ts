/** Trainings in a terminal: a table, and one as a tree of its stages with what a person can do at each. Pure. */
import type { TrainingDetail, TrainingEventView, TrainingView } from "@tributary/api";
import { ago, printable, type Style, type View } from "../output.ts";

type Styled = (style: Style, text: string) => string;
type Mark = { readonly icon: string; readonly style: Style };
const marks = {
  done: { icon: "✔", style: "green" },
  bad: { icon: "✖", style: "red" },
  held: { icon: "॥", style: "yellow" },
  running: { icon: "◌", style: "cyan" },
  waiting: { icon: "·", style: "dim" },
} as const satisfies Record<string, Mark>;

export const isEnded = ({ endedAt }: TrainingView): boolean => endedAt !== null;

function markOf({ phase }: TrainingView): Mark {
  if (phase === "SUCCEEDED") return marks.done;
  if (phase === "FAILED" || phase === "REFUSED" || phase === "CANCELLED") return marks.bad;
  return phase === "HELD" ? marks.held : marks.running;
}

export const trainingView = (now: number): View<TrainingView> => ({
  name: (run) => run.runId,
  columns: [
    { head: "ID", of: (r) => r.runId },
    { head: "MODEL", of: (r) => r.model },
    { head: "SLICE", of: (r) => r.slice },
    { head: "TRIGGER", of: (r) => r.trigger },
    { head: "PHASE", of: (r) => `${markOf(r).icon} ${r.phase}` },
    { head: "LABELS", of: (r) => `${r.labelsHave}/${r.labelsWanted}` },
    { head: "CANDIDATE", of: (r) => r.candidateVersion },
    { head: "AGE", of: (r) => ago(r.requestedAt, now) },
    { head: "BY", of: (r) => r.requestedBy, wide: true },
    { head: "DATASET", of: (r) => r.datasetVersion, wide: true },
    { head: "JOB", of: (r) => r.jobId, wide: true },
    { head: "ROLLOUT", of: (r) => r.rolloutUid, wide: true },
    { head: "MESSAGE", of: (r) => r.message, wide: true },
  ],
});

export const trainingEventView: View<TrainingEventView> = {
  name: (event) => `${event.runId}/${event.version}`,
  columns: [
    { head: "VERSION", of: (e) => e.version },
    { head: "AT", of: (e) => e.at },
    { head: "BY", of: (e) => e.by },
    { head: "WHAT", of: (e) => e.kind },
    { head: "MESSAGE", of: (e) => e.details.message },
  ],
};

/** A training that gives nothing succeeds without a candidate. */
const isPromoted = ({ phase, candidateVersion }: TrainingDetail): boolean =>
  phase === "SUCCEEDED" && candidateVersion !== "";

type Stage = {
  readonly name: string;
  /** Phases of a run that is at it. */
  readonly phases: readonly string[];
  /** Whether an ended or held run came to it. */
  readonly isReached: (run: TrainingDetail) => boolean;
  readonly text: (run: TrainingDetail) => string;
  /** What a person may do or read there. */
  readonly hint: (run: TrainingDetail, isHere: boolean) => string;
};

const stages: readonly Stage[] = [
  {
    name: "cause",
    phases: ["QUEUED"],
    isReached: () => true,
    text: (run) => `${run.trigger}${run.verdictId && ` ${run.verdictId}`}`,
    hint: ({ verdictId }) => verdictId && `tributary drift explain ${verdictId}`,
  },
  {
    name: "labels",
    phases: ["LABELLING"],
    isReached: ({ labelsHave }) => labelsHave > 0,
    text: (run) => `${run.labelsHave} of ${run.labelsWanted}`,
    hint: ({ runId }, isHere) => (isHere ? `tributary labels next --training ${runId} --save FOLDER` : ""),
  },
  {
    name: "dataset",
    phases: ["FREEZING"],
    isReached: ({ datasetVersion }) => datasetVersion !== "",
    text: (run) => run.datasetVersion && `${run.model}/${run.datasetVersion}`,
    hint: (run) => run.datasetVersion && `tributary datasets describe ${run.model}/${run.datasetVersion}`,
  },
  {
    name: "training",
    phases: ["TRAINING"],
    isReached: ({ jobId }) => jobId !== "",
    text: (run) =>
      run.jobId &&
      `${run.jobId} by ${run.backend}${run.attempt > 1 ? `, attempt ${run.attempt}` : ""}, ${Math.round(100 * run.progress)} %`,
    hint: ({ jobId, runId }) => jobId && `tributary train logs ${runId}`,
  },
  {
    name: "candidate",
    phases: ["PACKING", "PUSHING"],
    isReached: ({ candidateVersion }) => candidateVersion !== "",
    text: (run) => {
      if (run.phase === "SUCCEEDED" && run.candidateVersion === "") return "none: it gives nothing";
      return run.candidateVersion && `${run.model} ${run.candidateVersion}, from ${run.parentVersion}`;
    },
    hint: () => "",
  },
  {
    name: "gate",
    phases: ["GATE"],
    isReached: ({ rolloutUid }) => rolloutUid !== "",
    text: () => "",
    hint: (run) => run.candidateVersion && `tributary models describe ${run.model}@${run.candidateVersion}`,
  },
  {
    name: "rollout",
    phases: ["ROLLOUT"],
    isReached: isPromoted,
    text: (run) => run.rolloutUid,
    hint: ({ rolloutUid }) => rolloutUid && `tributary rollout status ${rolloutUid}`,
  },
];

/** Index of the stage at which it is, or at which it ended. */
function placeOf(run: TrainingDetail): number {
  const at = stages.findIndex(({ phases }) => phases.includes(run.phase));
  if (at >= 0) return at;
  const reached = stages.findLastIndex(({ isReached }) => isReached(run));
  return Math.min(reached + 1, stages.length - 1);
}

/** With `now`, times are ages; without it times, so that an unchanged training gives the same text. */
export function trainingTree(run: TrainingDetail, now: number | null, style: Styled): string {
  const place = placeOf(run);
  const mark = markOf(run);
  const line = (name: string, text: string) => `${style("dim", name.padEnd(11))}${printable(text)}`;
  const since = (time: string) => (now === null ? `at ${time}` : `${ago(time, now)} ago`);
  const rows = stages.map((stage, i) => {
    const isHere = i === place && !isPromoted(run);
    const own = isHere ? mark : i < place || isPromoted(run) ? marks.done : marks.waiting;
    const branch = i === stages.length - 1 ? "└─" : "├─";
    const text = stage.text(run) || (isHere ? run.phase.toLowerCase() : "");
    const hint = stage.hint(run, isHere);
    const shown = `${stage.name.padEnd(11)}${printable(text)}`;
    return `${branch} ${style(own.style, own.icon)} ${hint === "" ? shown : `${shown.padEnd(48)}  ${style("dim", printable(hint))}`}`.trimEnd();
  });
  return [
    line("Training:", run.runId),
    line("Model:", `${run.model}, ${run.slice}`),
    `${style("dim", "Status:".padEnd(11))}${style(mark.style, `${mark.icon} ${run.phase}`)} ${since(run.endedAt ?? run.changedAt)}`,
    ...(run.message === "" ? [] : [line("Message:", run.message)]),
    line("Asked for:", `${since(run.requestedAt)} by ${run.requestedBy}: ${run.reason}`),
    "",
    ...rows,
    ...(run.phase === "HELD" ? ["", `A person decides: tributary train resume ${run.runId}, or train cancel.`] : []),
  ].join("\n");
}
