/** `experiment`: whether another routing policy is worth more, within the latency SLA. Plans, starts, shows and stops experiments. */
import type { ExperimentQuery, ExperimentView } from "@tributary/api";
import { Command, Option } from "commander";
import { type Context, contextOf, type Io, personOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { experimentEventView, experimentView, isEnded, phaseWords, showExperiment } from "../experiments/status.ts";
import { reportOption, writeReport } from "../report-file.ts";
import { watchable, watched } from "../watch.ts";
import { addPlan, lintExperiment } from "./experiment-plan.ts";
import { addLint } from "./lint.ts";
import { createFrom, findNewest, listNewest, named } from "./named.ts";

const DETAILS = `
For example, from a pushed policy to a decision:
  tributary policy push -f stricter.json --model edge@2.1.0
  tributary get policies --versions
  tributary experiment plan -f experiment.yaml --brokers 127.0.0.1:9092 --since 7d
  tributary experiment create -f experiment.yaml
  tributary experiment status cloud-or-not -w`;

const STATUS_DETAILS = `
LABELLED counts the labelled frames of the random sample, weighted by 1/propensity. Evidence is shown as ln e, of what a verdict
needs: an arm is adopted if it is worth more and its late share is within the margin.

Examples:
  tributary experiment status cloud-or-not
  tributary experiment status cloud-or-not -w --exit-code && tributary experiment report cloud-or-not`;

export function experimentCommand(io: Io): Command {
  const command = new Command("experiment")
    .alias("experiments")
    .description("compare routing policies in money: right answers, cloud calls, late answers")
    .addHelpText("after", DETAILS);
  addLint(command, io, lintExperiment, ({ spec }) => `${spec.arms.length} arms`);
  addPlan(command, io);
  command
    .command("create")
    .description("start an experiment; its file is checked first")
    .requiredOption("-f, --file <FILE>", "specification in YAML; - reads stdin")
    .addHelpText("after", "\nFor example: tributary experiment create -f experiment.yaml")
    .action(async ({ file }: { file: string }, own: Command) => {
      const context = contextOf(own, io);
      const { experiments } = context.gateway;
      await createFrom(context, file, "experiment", lintExperiment, (body) => experiments.create({ body }));
    });
  addList(command, io);
  addStatus(command, io);
  addStop(command, io);
  addHistory(command, io);
  addReport(command, io);
  return command;
}

function addList(command: Command, io: Io): void {
  watchable(command.command("list"))
    .description("experiments, newest first, and whether a decision is due for review")
    .option("--name <NAME>", "only experiments of this name")
    .addOption(new Option("--phase <PHASE>", "only in this phase").choices(["Running", "Decided", "Stopped"]))
    .addHelpText("after", "\nFor example: tributary experiment list --phase Decided")
    .action(({ name, phase }: Pick<ExperimentQuery, "name" | "phase">, own: Command) =>
      watched(own, io, (context) =>
        listNewest(
          context,
          (limit) => context.gateway.experiments.list({ name, phase, limit }),
          experimentView(io.now()),
          {
            nothing: "No experiments. Start one: tributary experiment create -f FILE",
            filters: "--name and --phase",
          },
        ),
      ),
    );
}

function addStatus(command: Command, io: Io): void {
  watchable(named(command.command("status"), "experiment"))
    .description(
      "what its arms are worth, how far the evidence is, and what is missing; the verdict, and what would flip it",
    )
    .option(
      "--exit-code",
      `exit ${exitCodes.degraded} when it ended without a verdict (held or stopped); with --watch, exit when it ended`,
    )
    .addHelpText("after", STATUS_DETAILS)
    .action(async (name: string, { exitCode, watch }: { exitCode?: boolean; watch?: boolean }, own: Command) => {
      // Resolved once: while it is watched, a newer experiment may get the name.
      const { uid } = await find(contextOf(own, io), name);
      let last: ExperimentView | undefined;
      await watched(own, io, async ({ gateway, output }) => {
        const experiment = await gateway.experiments.one({ uid });
        last = experiment;
        const now = watch && !io.isOutputTerminal ? null : io.now();
        output.one(experiment, uid, () => showExperiment(experiment, output, now));
        return exitCode === true && isEnded(experiment);
      });
      if (exitCode !== true || last === undefined || !isEnded(last)) return;
      if (last.phase === "Decided" && last.verdict !== "hold") return;
      const why = last.message === "" ? "." : `: ${last.message}`;
      throw new CliError(exitCodes.degraded, `Experiment ${last.name} is ${phaseWords(last)}${why}`);
    });
}

function addStop(command: Command, io: Io): void {
  named(command.command("stop"), "experiment")
    .description("end it without a verdict: its devices have the policy in force again")
    .option("--why <TEXT>", "stands in its history")
    .addHelpText(
      "after",
      '\nFor example: tributary experiment stop cloud-or-not --why "the fleet moves to another target"',
    )
    .action(async (name: string, { why }: { why?: string }, own: Command) => {
      const context = contextOf(own, io);
      const { uid, name: called } = await find(context, name);
      const answer = await context.gateway.experiments.stop({ uid, body: { by: personOf(io), why } });
      context.output.one(answer, uid, () =>
        context.output.line(`Experiment ${called} is stopped: its devices have the policy in force again.`),
      );
    });
}

function addHistory(command: Command, io: Io): void {
  named(command.command("history"), "experiment")
    .description("its events in order, with their authors")
    .addHelpText("after", "\nFor example: tributary experiment history cloud-or-not -o json")
    .action(async (name: string, _options: object, own: Command) => {
      const context = contextOf(own, io);
      const { uid } = await find(context, name);
      const { items } = await context.gateway.experiments.events({ uid });
      context.output.list(items, experimentEventView(uid), "No events.");
    });
}

function addReport(command: Command, io: Io): void {
  reportOption(named(command.command("report"), "experiment"), "experiment-NAME.html")
    .description("a page with the evidence, the decision and what would flip it")
    .addHelpText("after", "\nFor example: tributary experiment report cloud-or-not -o decision.html")
    .action(async (name: string, { output: file }: { output?: string }, own: Command) => {
      const context = contextOf(own, io);
      const { uid, name: called } = await find(context, name);
      const page = await context.gateway.experiments.report({ uid });
      writeReport(context, page, file, `experiment-${called}.html`);
    });
}

const find = (context: Context, wanted: string): Promise<ExperimentView> =>
  findNewest(context, "experiment", wanted, context.gateway.experiments);
