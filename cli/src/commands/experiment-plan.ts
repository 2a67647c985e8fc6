/** `experiment plan`: what an experiment is likely to find, from logged frames. */
import { readFile, writeFile } from "node:fs/promises";
import type { RoutingPolicy } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import { type ExperimentSpec, readExperiment } from "@tributary/rollouts/experiment";
import { PLAN_DEVICES_MIN, type PolicyLead, parsePolicy } from "@tributary/routing";
import { type Command, InvalidArgumentError } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { ExperimentForecast, PlannedArm } from "../experiments/plan.ts";
import { type Output, short, type View } from "../output.ts";
import { lineOf, lintAs } from "../rollouts/lint.ts";
import { LoggedFrames } from "../simulation/simulate.ts";
import { oneModel, readLogged, type SourceOptions, withSource } from "../simulation/source.ts";
import { readSpecFile } from "./lint.ts";
import { positive } from "./options.ts";

const GUIDE = "docs/guides/is-the-cloud-worth-it.md";

type PolicyFile = { readonly arm: string; readonly file: string };
type PlanOptions = SourceOptions & {
  readonly file: string;
  readonly policy: readonly PolicyFile[];
  readonly devices?: number;
  readonly labelsPerDay?: number;
  readonly plot?: string;
};

const DETAILS = `
Every arm's policy is replayed on frames that were logged, as "tributary router simulate" does: which frames it would have sent, what the
system would have answered, and what that costs. The first arm is the control. Late answers are those whose deadline passed, or that the router
did not ask for since it would have, or that the cloud failed to give. The time to decide is that of an experiment in which all goes as foreseen; half of such experiments take longer.
The device is the unit of the intervals: fewer than 8 have none. Frames of priority are sent by an arm as its own policy has it, or where something else asked for them.

Policies are those in force, and those that were pushed, by their version ("tributary get policies --versions"), or files: a package's
policy.json, or what "tributary describe policy KEY -o json" prints, with what you change in it.

Examples:
  tributary experiment plan -f experiment.yaml --brokers 127.0.0.1:9092 --since 7d --plot frontier.svg
  tributary experiment plan -f experiment.yaml --from frames.jsonl --policy hybrid=now.json --policy edge-heavy=stricter.json`;

export function addPlan(command: Command, io: Io): void {
  withSource(command.command("plan"))
    .description("what an experiment is likely to find, and how long it would take, from logged frames")
    .requiredOption("-f, --file <FILE>", "specification in YAML; - reads stdin")
    .option("--policy <ARM=FILE>", "the policy of an arm, from a file; once for each arm", policyFile, [])
    .option("--devices <N>", "devices of the experiment (default: those that logged frames)", positive)
    .option("--labels-per-day <N>", "labels of one device and day (default: as logged)", positive)
    .option("--plot <FILE>", "also draw the arms on the frontier of accuracy and escalation, as SVG")
    .addHelpText("after", DETAILS)
    .action((options: PlanOptions, own: Command) => plan(options, own, io));
}

export const lintExperiment = (text: string) => lintAs(readExperiment, text, GUIDE);

async function plan(options: PlanOptions, own: Command, io: Io): Promise<void> {
  const output = outputOf(own, io);
  const spec = await specOf(options.file);
  const { arms } = spec.spec;
  for (const { arm } of options.policy) {
    if (arms.some(({ name }) => name === arm)) continue;
    const names = arms.map(({ name }) => name).join(", ");
    throw new CliError(exitCodes.usage, `--policy ${arm}=...: the experiment has no such arm, but ${names}.`);
  }
  const isFiled = ({ name }: { readonly name: string }) => options.policy.some(({ arm }) => arm === name);
  const { lines, policies, versions } = await readLogged(options, io, arms.every(isFiled) ? "none" : "versions");
  const { modelDigest, ofModel } = oneModel(lines, options, policies);
  const chosen = await Promise.all(
    arms.map(({ name, policy: version }) => {
      const filed = options.policy.find(({ arm }) => arm === name);
      return filed === undefined
        ? byVersion([...policies, ...versions], version, name, { modelDigest, cloudTarget: options.target })
        : fromFile(filed.file);
    }),
  );
  refuseDifferent(chosen, arms);
  if (ofModel.every(({ at }) => at === null))
    io.stderr("The frames have no times, as files of earlier versions: they count as those of one hour.\n");
  const { labels } = chosen[0] as ArmPolicy;
  const logged = new LoggedFrames(labels, [...policies, ...versions]);
  for (const line of ofModel) logged.add(line);
  const { forecastOf } = await import("../experiments/plan.ts");
  const forecast = forecastOf({
    spec,
    policies: chosen,
    lines: ofModel,
    frames: logged.frames,
    costPerCall: logged.costPerCall,
    devices: options.devices ?? null,
    labelsPerDay: options.labelsPerDay ?? null,
  });
  if (forecast === null) {
    const why = "no frame was drawn by the random sample, answered by the cloud, and labelled";
    throw new CliError(exitCodes.failed, `Too little data: ${why}. Label some: tributary labels next`);
  }
  if (options.plot !== undefined) await plot(options.plot, logged, chosen[0] as ArmPolicy, modelDigest, forecast);
  output.one(forecast, forecast.name, () => show(forecast, output));
}

type ArmPolicy = Omit<RoutingPolicy, "modelDigest" | "createdAt">;

async function byVersion(
  policies: readonly RoutingPolicy[],
  version: string,
  arm: string,
  { modelDigest, cloudTarget }: Pick<RoutingPolicy, "modelDigest" | "cloudTarget">,
): Promise<ArmPolicy> {
  const found = policies.filter(({ policyVersion }) => policyVersion.startsWith(version));
  const [policy] = found;
  const count = new Set(found.map(({ policyVersion }) => policyVersion)).size;
  if (count > 1)
    throw new CliError(exitCodes.usage, `Arm ${arm}: ${count} policies start with ${version}; give more digits.`);
  if (policy === undefined)
    throw new CliError(
      exitCodes.notFound,
      `Arm ${arm}: there is no policy ${version}. See: tributary get policies --versions; or give its file: --policy ${arm}=FILE`,
    );
  if (policy.modelDigest !== modelDigest) {
    const what = `is for model ${short(policy.modelDigest)}, and the frames are of ${short(modelDigest)}`;
    throw new CliError(
      exitCodes.usage,
      `Arm ${arm}: policy ${version} ${what}. What another model would answer is in no log.`,
    );
  }
  if (policy.cloudTarget !== cloudTarget) {
    const what = `is for target ${policy.cloudTarget}, and the answers are of ${cloudTarget}`;
    throw new CliError(
      exitCodes.usage,
      `Arm ${arm}: policy ${version} ${what}. Choose others with --target; of two targets each has a plan of its own.`,
    );
  }
  return policy;
}

async function fromFile(file: string): Promise<ArmPolicy> {
  try {
    return { ...parsePolicy(JSON.parse(await readFile(file, "utf8"))), policyVersion: "" };
  } catch (error) {
    const reason = error instanceof Failure ? error.message : reasonOf(error);
    throw new CliError(exitCodes.failed, `${file}: ${reason}`, { cause: error });
  }
}

/** An answer that is late by one deadline and not by the other cannot be compared, nor can policies of other classes. */
function refuseDifferent(policies: readonly ArmPolicy[], arms: ExperimentSpec["spec"]["arms"]): void {
  const deadlines = policies.map(({ deadlineMs }) => deadlineMs);
  if (new Set(deadlines).size > 1) {
    const list = arms.map(({ name }, i) => `${name} ${deadlines[i]} ms`).join(", ");
    throw new CliError(exitCodes.usage, `The arms must have one deadline, the SLA: ${list}.`);
  }
  const labels = policies.map((policy) => policy.labels.join(", "));
  if (new Set(labels).size === 1) return;
  const list = arms.map(({ name }, i) => `  ${name}: ${labels[i]}`).join("\n");
  throw new CliError(exitCodes.usage, `The policies must be for the same classes, in one order:\n${list}`);
}

async function plot(
  file: string,
  logged: LoggedFrames,
  control: ArmPolicy,
  modelDigest: string,
  { arms }: ExperimentForecast,
): Promise<void> {
  const [{ simulate }, { simulationPicture }] = await Promise.all([
    import("../simulation/simulate.ts"),
    import("../simulation/picture.ts"),
  ]);
  const shares = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1];
  const { points } = simulate(logged, control, modelDigest, shares);
  const marks = arms.map(({ name, escalated, accuracy, p99Ms }) => ({
    name: p99Ms === null ? name : `${name}, p99 ${p99Ms.toFixed(0)} ms`,
    share: escalated,
    accuracy,
  }));
  await writeFile(file, simulationPicture({ points, own: null }, marks));
}

async function specOf(file: string): Promise<ExperimentSpec> {
  const { problems, spec } = lintExperiment(await readSpecFile(file));
  if (spec !== null) return spec;
  throw new CliError(exitCodes.failed, problems.map((problem) => lineOf(file, problem)).join("\n"));
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const ms = (value: number | null): string => (value === null ? "-" : `${value.toFixed(0)} ms`);
const per1000 = (value: number): string => (1_000 * value).toFixed(2);

function view(currency: string): View<PlannedArm> {
  return {
    name: ({ name }) => name,
    columns: [
      { head: "ARM", of: ({ name }) => name },
      { head: "SENT", of: ({ escalated }) => percent(escalated) },
      { head: "LATE", of: ({ late }) => percent(late) },
      { head: "P50", of: ({ p50Ms }) => ms(p50Ms) },
      { head: "P99", of: ({ p99Ms }) => ms(p99Ms) },
      { head: "ACCURACY", of: ({ accuracy }) => percent(accuracy) },
      { head: "CALLS FOR 1000", of: ({ costPer1000 }) => costPer1000 },
      { head: `WORTH OF 1000 (${currency})`, of: ({ utility }) => per1000(utility) },
      {
        head: "MORE THAN THE CONTROL",
        of: ({ lead }) => (lead === null ? "-" : `${per1000(lead.difference)}${intervalWords(lead)}`),
      },
      { head: "EXPERIMENT", of: ({ lead, experiment }) => (lead === null ? "control" : experimentWords(experiment)) },
    ],
  };
}

const intervalWords = ({ lower, upper }: PolicyLead): string =>
  lower === null || upper === null ? "" : ` (${per1000(lower)} to ${per1000(upper)})`;

const experimentWords = (experiment: PlannedArm["experiment"]): string => {
  if (experiment === null) return "undecided after a year";
  const { hours, verdict } = experiment;
  const [count, unit] = hours < 48 ? [Math.ceil(hours), "hour"] : [Math.ceil(hours / 24), "day"];
  return `${verdict}, about ${count} ${unit}${count === 1 ? "" : "s"}`;
};

function show(forecast: ExperimentForecast, output: Output): void {
  const { frames, labelled, devices, framesPerHour, labelsPerHour, arms, winner, currency } = forecast;
  output.pairs([
    ["Experiment", forecast.name],
    ["Frames", `${frames}, ${labelled} of them drawn and labelled`],
    ["Devices", devices],
    ["Of one device", `${framesPerHour.toFixed(0)} frames an hour, ${(24 * labelsPerHour).toFixed(1)} labels a day`],
  ]);
  output.line();
  output.list(arms, view(currency), "");
  output.line();
  if (forecast.sent === 0) output.line("Warning: no frame of this log was sent to the cloud: none counts as late.");
  const { loggedDevices } = forecast;
  const hasFew = loggedDevices < PLAN_DEVICES_MIN;
  if (hasFew)
    output.line(
      `The frames are of ${loggedDevices} device${loggedDevices === 1 ? "" : "s"}: too few for an interval, which needs ${PLAN_DEVICES_MIN}. Devices differ, and their frames are not independent.`,
    );
  const how = winner.isShown ? "the labels show it" : `${hasFew ? "so few devices" : "the labels"} leave it open`;
  output.line(`Expected winner: ${winner.name} (${how}).`);
  for (const name of winner.tooLate) {
    const rise = (arms.find((arm) => arm.name === name)?.late ?? 0) - (arms[0]?.late ?? 0);
    output.line(
      `${name} is worth more, but its late share would rise by ${(100 * rise).toFixed(2)} points; lateMargin allows less than ${(100 * forecast.lateMargin).toFixed(2)}.`,
    );
  }
}

function policyFile(text: string, before: readonly PolicyFile[]): readonly PolicyFile[] {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError("expected ARM=FILE.");
  return [...before, { arm: text.slice(0, at), file: text.slice(at + 1) }];
}
