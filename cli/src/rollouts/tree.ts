/**
 * A rollout as a tree, as Argo Rollouts' kubectl plugin draws it: steps, analyses with their numbers, and devices. Pure.
 *
 * With `now`, times are shown as ages; without it as times, so that an unchanged rollout gives the same text.
 */
import type { NamedPackage, RolloutDetail, RolloutDevice, RolloutDevices, RolloutView } from "@tributary/api";
import {
  type AnalysisEvidence,
  analysisEvidenceOf,
  crossCheckWords,
  type PauseReason,
  type PublishedChange,
  type RolloutStep,
  rolloutSpec,
  stepWords,
  worstSegmentWords,
} from "@tributary/rollouts";
import { ago, printable, type Style } from "../output.ts";

/** What happened to a rollout beside when it was, and by whom; fields of other kinds are absent. */
export type Event = PublishedChange & {
  readonly version: number;
  readonly at: string;
  readonly by: string;
  readonly reason?: PauseReason;
};

export type TreeInput = {
  readonly rollout: RolloutDetail;
  readonly events: readonly Event[];
  /** Those of the canary, some of them. */
  readonly canary: RolloutDevices;
  /** Null: show times. */
  readonly now: number | null;
  readonly style: (style: Style, text: string) => string;
  /** All devices that were fetched, and all numbers. */
  readonly wide: boolean;
};

const DEVICES_SHOWN = 10;

type Mark = { readonly icon: string; readonly style: Style };
const marks = {
  done: { icon: "✔", style: "green" },
  bad: { icon: "✖", style: "red" },
  paused: { icon: "॥", style: "yellow" },
  running: { icon: "◌", style: "cyan" },
  waiting: { icon: "·", style: "dim" },
  unsure: { icon: "⚠", style: "yellow" },
} as const satisfies Record<string, Mark>;

type Row = {
  readonly depth: readonly boolean[];
  readonly isLast: boolean;
  readonly icon: string;
  readonly name: string;
  readonly kind: string;
  readonly status: string;
  readonly mark: Mark;
  readonly age: string;
  readonly info: string;
};

type Node = Omit<Row, "depth" | "isLast"> & { readonly children: readonly Node[] };

export function treeOf(input: TreeInput): string {
  return [...headOf(input), "", ...bodyOf(input)].join("\n");
}

export function markOf({ phase, analysis }: Pick<RolloutView, "phase" | "analysis">): Mark {
  switch (phase) {
    case "Healthy":
      return marks.done;
    case "Degraded":
      return marks.bad;
    case "Paused":
      return marks.paused;
    case "Progressing":
      return analysis === "Failed" ? marks.bad : marks.running;
    case "Unknown":
      return marks.unsure;
    default:
      return phase satisfies never;
  }
}

/** "Degraded, rolled back" */
export function phaseWords({ phase, isBack, abandoned, pausedUntil }: RolloutView): string {
  if (phase === "Degraded" && abandoned != null) return `Degraded, abandoned on ${abandoned.devices} devices`;
  if (phase === "Degraded") return isBack ? "Degraded, rolled back" : "Degraded, rolling back";
  return phase === "Paused" && pausedUntil !== null ? `Paused until ${clock(pausedUntil)}` : phase;
}

export const packageWords = ({ digest, name, version }: NamedPackage): string =>
  name === null ? digest.slice(0, 12) : `${name} ${version ?? ""}`.trim();

function headOf({ rollout, style }: TreeInput): string[] {
  const { icon, style: color } = markOf(rollout);
  const line = (name: string, text: string) =>
    text === "" ? style("dim", name) : `${style("dim", name.padEnd(17))}${printable(text)}`;
  return [
    line("Name:", rollout.name),
    line("UID:", rollout.uid),
    `${style("dim", "Status:".padEnd(17))}${style(color, `${icon} ${phaseWords(rollout)}`)}`,
    ...(rollout.message === "" ? [] : [line("Message:", rollout.message)]),
    line("Strategy:", "Canary"),
    line("  Step:", `${Math.min(rollout.step, rollout.steps)}/${rollout.steps}`),
    line("  SetWeight:", percent(rollout.weight)),
    line("  ActualWeight:", percent(rollout.actualWeight)),
    line("Models:", `${packageWords(rollout.model)} (canary) in slot ${rollout.slot}`),
    line("", `${packageWords(rollout.stable)} (stable)`),
    line("Devices:", ""),
    line("  All:", `${rollout.devices}`),
    line("  Reached:", `${rollout.reached}`),
    line("  Updated:", `${rollout.updated}`),
    line("  Refused:", `${rollout.refused}`),
  ];
}

function bodyOf(input: TreeInput): string[] {
  const { rollout, canary, style } = input;
  const root: Node = {
    ...leaf("⟳", rollout.name, "Rollout", phaseWords(rollout), markOf(rollout)),
    age: ageOf(input, rollout.createdAt),
    children: [
      { ...leaf("#", "steps", "Steps", "", marks.waiting), children: stepNodes(input) },
      armNode(input, "canary", rollout.model),
      ...(canary.arms.control.devices === 0 ? [] : [armNode(input, "control", rollout.stable)]),
    ],
  };
  const rows = flatten(root, [], true, true);
  const names = rows.map((row) => `${branches(row)}${row.icon} ${printable(row.name)}`);
  const states = rows.map(({ mark, status }) => (status === "" ? "" : `${mark.icon} ${status}`));
  const width = (texts: readonly string[], head: string) =>
    Math.max(head.length, ...texts.map((text) => text.length)) + 2;
  const [nameWidth, stateWidth] = [width(names, "NAME"), width(states, "STATUS")];
  const ageWidth = width(rows.map(({ age }) => age), "AGE"); // biome-ignore format: one line
  const head = `${"NAME".padEnd(nameWidth)}${"KIND".padEnd(11)}${"STATUS".padEnd(stateWidth)}${"AGE".padEnd(ageWidth)}INFO`;
  return [
    style("bold", head),
    ...rows.map((row, i) =>
      [
        (names[i] ?? "").padEnd(nameWidth),
        row.kind.padEnd(11),
        style(row.mark.style, (states[i] ?? "").padEnd(stateWidth)),
        row.age.padEnd(ageWidth),
        printable(row.info),
      ]
        .join("")
        .trimEnd(),
    ),
  ];
}

const leaf = (icon: string, name: string, kind: string, status: string, mark: Mark): Node => ({
  icon,
  name,
  kind,
  status,
  mark,
  age: "",
  info: "",
  children: [],
});

function flatten(node: Node, depth: readonly boolean[], isLast: boolean, isRoot: boolean): Row[] {
  const { children, ...own } = node;
  const below = isRoot ? [] : [...depth, isLast];
  return [
    { ...own, depth: isRoot ? [] : [...depth, isLast], isLast },
    ...children.flatMap((child, i) => flatten(child, below, i === children.length - 1, false)),
  ];
}

const branches = ({ depth }: Row): string =>
  depth.map((isLast, i) => (i < depth.length - 1 ? (isLast ? "   " : "│  ") : isLast ? "└──" : "├──")).join("");

function stepNodes(input: TreeInput): Node[] {
  const { rollout, events } = input;
  const steps = stepsOf(rollout.spec);
  const current = sinceLastStart(events);
  return steps.map((step, i) => {
    const isAnalysis = "analysis" in step;
    const started = current.find((event) => event.kind === "step-started" && event.step === i);
    const ended = current.findLast((event) => event.kind === "analysed" && event.step === i);
    const [status, mark] = stepStatus(rollout, i, ended?.kind === "analysed" ? ended.verdict : null);
    const live = i === rollout.step && rollout.analysis === "Running" ? analysisEvidenceOf(rollout.evidence) : null;
    const evidence = live ?? (ended?.kind === "analysed" ? analysisEvidenceOf(ended.evidence) : null);
    return {
      ...leaf(`${i + 1}`, stepWords(step), isAnalysis ? "Analysis" : "Step", status, mark),
      age: started === undefined ? "" : ageOf(input, started.at),
      info: isAnalysis && evidence !== null ? evidence.why : "",
      children: isAnalysis && evidence !== null ? evidenceNodes(evidence) : [],
    };
  });
}

/** None where the specification is one that this version does not know. */
export function stepsOf(spec: unknown): readonly RolloutStep[] {
  const read = rolloutSpec.safeParse(spec);
  return read.success ? read.data.spec.strategy.canary.steps : [];
}

/** The events since the rollout was created or retried. */
function sinceLastStart(events: readonly Event[]): readonly Event[] {
  return events.slice(
    Math.max(
      0,
      events.findLastIndex(({ kind }) => kind === "created" || kind === "retried"),
    ),
  );
}

function stepStatus(rollout: RolloutView, step: number, verdict: string | null): [status: string, mark: Mark] {
  if (verdict === "Successful") return ["Successful", marks.done];
  if (verdict === "Failed") return ["Failed", marks.bad];
  if (verdict !== null) return [verdict, marks.unsure];
  if (step < rollout.step) return ["Done", marks.done];
  if (step > rollout.step || rollout.phase === "Healthy") return ["", marks.waiting];
  if (rollout.phase === "Progressing") return [rollout.analysis === "Running" ? "Running" : "Running", marks.running];
  return [rollout.phase, markOf(rollout)];
}

function evidenceNodes(evidence: AnalysisEvidence): Node[] {
  const metrics = evidence.metrics.map((metric): Node => {
    const { name, alpha, beta, margin, canary, control } = metric;
    const look = evidence.looks.findLast((one) => one.metric === name);
    const [back, on] = [-Math.log(alpha), -Math.log(beta)];
    const counted = `canary ${canary.devices} devices, ${canary.frames} frames; control ${control.devices}, ${control.frames}`;
    const arms = metric.note === null ? counted : `${counted}; ${metric.note}`;
    if (look === undefined) return { ...leaf("•", name, "Metric", "Not evaluated yet", marks.waiting), info: arms };
    const [status, mark]: [string, Mark] =
      look.logHarm >= back
        ? ["Harmful", marks.bad]
        : look.logSafe !== null && look.logSafe >= on
          ? ["Safe", marks.done]
          : ["Undecided", marks.running];
    const numbers = [
      `harm ${points(look.harm)} pp (${points(look.low, "-inf")} to ${points(look.high, "inf")})`,
      `ln e ${number(look.logHarm)}/${number(back)} back`,
      ...(margin === null || look.logSafe === null ? [] : [`${number(look.logSafe)}/${number(on)} on`]),
    ];
    const checked = crossCheckWords(metric.crossCheck);
    const worst = worstSegmentWords(metric);
    const parts = [numbers.join(", "), ...[worst, checked].filter((words) => words !== null), arms];
    return { ...leaf("•", name, "Metric", status, mark), info: parts.join("; ") };
  });
  const { crashes } = evidence;
  if (crashes === null) return metrics;
  const isBad = crashes.logHarm >= -Math.log(crashes.alpha);
  const info = `${crashes.canary} in the canary, ${crashes.control} in the control; ln e ${number(crashes.logHarm)}/${number(-Math.log(crashes.alpha))} back`;
  return [
    ...metrics,
    {
      ...leaf("•", "crashes", "Metric", isBad ? "Harmful" : "Below its threshold", isBad ? marks.bad : marks.done),
      info,
    },
  ];
}

function armNode(input: TreeInput, arm: "canary" | "control", model: NamedPackage): Node {
  const { canary, rollout, wide } = input;
  const { devices, onModel, phases } = canary.arms[arm];
  const counts = arm === "canary" ? Object.entries(phases).map(([phase, count]) => `${count} ${phase}`) : [];
  const status = arm === "canary" ? `${onModel} of ${devices} run it` : "";
  const goal = rollout.phase === "Degraded" ? 0 : devices;
  const mark = onModel === goal ? marks.done : marks.running;
  const own = arm === "canary" ? [...canary.items].sort((a, b) => trouble(b) - trouble(a)) : [];
  const shown = own.slice(0, wide ? own.length : DEVICES_SHOWN);
  const rest = devices - shown.length;
  const nodes = shown.map((device) => deviceNode(input, device));
  const unseen = canary.total - canary.items.length;
  const info = unseen > 0 ? `${unseen} of them, the last to be reached, were not checked for problems` : "";
  const more: Node[] =
    arm === "canary" && rest > 0 ? [{ ...leaf("…", `${rest} more`, "Devices", "", marks.waiting), info }] : [];
  return {
    ...leaf("Σ", `${arm} ${packageWords(model)}`, "Arm", devices === 0 ? "" : status, mark),
    info: devices === 0 ? "no devices yet" : [`${devices} devices`, ...counts].join(", "),
    children: [...nodes, ...more],
  };
}

/** Sorts devices that refused or reverted first, then those in progress. */
function trouble({ update, goldenPassed, runs }: RolloutDevice): number {
  if (update?.phase === "REFUSED" || update?.phase === "REVERTED" || goldenPassed === false) return 3;
  if (runs === "unknown") return 2;
  return update === null || update.phase === "COMMITTED" ? 0 : 1;
}

function deviceNode(input: TreeInput, device: RolloutDevice): Node {
  const { update, goldenPassed, runs, reportedAt } = device;
  const details = [
    ...(update === null || update.reason === "" ? [] : [`${update.code}: ${update.reason}`]),
    ...(update?.phase === "DOWNLOADING" && update.bytesAll > 0
      ? [`${Math.floor((100 * update.bytesDone) / update.bytesAll)} % of ${update.bytesAll} bytes`]
      : []),
    ...(goldenPassed === false ? ["does not reproduce its golden frames"] : []),
  ];
  const runsWords = {
    model: "runs the model",
    stable: "runs the stable model",
    other: "runs another model",
    unknown: "model unknown",
  }[runs];
  const mark = [marks.done, marks.running, marks.unsure, marks.bad][trouble(device)] ?? marks.unsure;
  return {
    ...leaf("□", device.deviceId, "Device", update?.phase ?? (runs === "unknown" ? "Silent" : "No update"), mark),
    age: reportedAt === null ? "" : ageOf(input, reportedAt),
    info: [runsWords, ...details].join("; "),
  };
}

const percent = (value: number): string => number(value);
const number = (value: number): string => String(Number(value.toFixed(2)));
const points = (share: number | null, none = "-"): string => (share === null ? none : number(100 * share));
const clock = (time: string): string => time.slice(0, 19).replace("T", " ");
const ageOf = ({ now }: TreeInput, time: string): string => (now === null ? clock(time) : ago(time, now));
