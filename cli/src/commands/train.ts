/** `train`: asks for, shows and controls trainings. */
import type { TrainingDetail, TrainingPhaseName, TrainingQuery } from "@tributary/api";
import { trainingPhases } from "@tributary/api";
import { Command, InvalidArgumentError, Option } from "commander";
import { type Context, contextOf, type Io, personOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { reportOption, writeReport } from "../report-file.ts";
import { withPictures } from "../trainings/embedded-pictures.ts";
import { isEnded, trainingEventView, trainingTree, trainingView } from "../trainings/tree.ts";
import { watchable, watched } from "../watch.ts";
import { positive } from "./options.ts";

/** The gateway's limit. */
const LISTED_MAX = 1_000;
const LOG_LINES = 200;

type StartOptions = { reason: string; slice?: string; since?: string };
type ListOptions = { state: TrainingQuery["state"]; phase?: string; model?: string };

export function trainCommand(io: Io): Command {
  const command = new Command("train").description("retrain models on frames of the fleet");
  command
    .command("start")
    .argument("<model>", "name of the model")
    .requiredOption("--reason <TEXT>", "why; stands in its history and its report")
    .option("--slice <SLICE>", "the frames that it is to learn: KEY=VALUE as site=north, or fleet (default: fleet)")
    .option(
      "--since <TIME>",
      "frames received from then on: 36h, 7d or an RFC 3339 time (default: the trainer's, 90d)",
      timeOf(io),
    )
    .description("ask for a training")
    .action(async (model: string, options: StartOptions, own: Command) => {
      const { gateway, output } = contextOf(own, io);
      const run = await gateway.trainings.start({ body: { model, ...options, by: personOf(io) } });
      output.one(run, run.runId, () => {
        output.line(`Training ${run.runId} is asked for.`);
        output.line(`Watch it: tributary train status ${run.runId} -w`);
      });
    });
  addList(command, io);
  addStatus(command, io);
  named(command.command("cancel"))
    .requiredOption("--reason <TEXT>", "why; stands in its history")
    .description("cancel it; its job is ended")
    .action(async (id: string, { reason }: { reason: string }, own: Command) => {
      const context = contextOf(own, io);
      const { runId } = await find(context, id);
      const answer = await context.gateway.trainings.cancel({ runId, body: { by: personOf(io), reason } });
      context.output.one(answer, runId, () => context.output.line(`Training ${runId} is cancelled.`));
    });
  named(command.command("resume"))
    .description("continue one that waits for a person")
    .action(async (id: string, _options: object, own: Command) => {
      const context = contextOf(own, io);
      const { runId } = await find(context, id);
      const answer = await context.gateway.trainings.resume({ runId, body: { by: personOf(io) } });
      context.output.one(answer, runId, () => context.output.line(`Training ${runId} continues.`));
    });
  addDetails(command, io);
  return command;
}

function addList(command: Command, io: Io): void {
  watchable(command.command("list"))
    .description("trainings, newest first")
    .addOption(new Option("--state <STATE>", "which ones").choices(["open", "ended", "all"]).default("all"))
    .addOption(
      new Option("--phase <PHASE>", "only in this phase").choices(trainingPhases.map((phase) => phase.toLowerCase())),
    )
    .option("--model <MODEL>", "only of this model")
    .action(({ state, phase, model }: ListOptions, own: Command) =>
      watched(own, io, async ({ gateway, output }) => {
        const wanted = phase?.toUpperCase() as TrainingPhaseName | undefined;
        const { items } = await gateway.trainings.list({ state, phase: wanted, model, limit: LISTED_MAX });
        output.list(
          items,
          trainingView(io.now()),
          "No trainings. Ask for one: tributary train start MODEL --reason TEXT",
        );
      }),
    );
}

function addStatus(command: Command, io: Io): void {
  watchable(named(command.command("status")))
    .description(
      `where it stands: cause, labels, dataset, job, gate, rollout; with --watch until it ends, then exit ${exitCodes.degraded} unless its model is champion`,
    )
    .action(async (id: string, { watch }: { watch?: boolean }, own: Command) => {
      const { runId } = await find(contextOf(own, io), id);
      let last: TrainingDetail | undefined;
      await watched(own, io, async ({ gateway, output }) => {
        const run = await gateway.trainings.one({ runId });
        last = run;
        const now = watch && !io.isOutputTerminal ? null : io.now();
        output.one(run, runId, () => output.line(trainingTree(run, now, output.style.bind(output))));
        return isEnded(run);
      });
      if (watch && last !== undefined && isEnded(last) && last.phase !== "SUCCEEDED") {
        throw new CliError(
          exitCodes.degraded,
          `Training ${runId} is ${last.phase}${last.message === "" ? "." : `: ${last.message}`}`,
        );
      }
    });
}

function addDetails(command: Command, io: Io): void {
  watchable(named(command.command("logs")))
    .option("--lines <N>", "at most so many of the newest", positive, LOG_LINES)
    .description("the newest lines of its job")
    .action(async (id: string, { lines }: { lines: number }, own: Command) => {
      const { runId } = await find(contextOf(own, io), id);
      await watched(own, io, async ({ gateway, output }) => {
        const log = await gateway.trainings.logs({ runId, lines });
        output.one(log, log.jobId, () => {
          if (log.lines.length === 0) output.line("No lines: its job has not started, or its backend keeps none.");
          for (const line of log.lines) output.line(line);
        });
      });
    });
  named(command.command("history"))
    .description("its events in order, with their authors")
    .action(async (id: string, _options: object, own: Command) => {
      const context = contextOf(own, io);
      const { runId } = await find(context, id);
      const { items } = await context.gateway.trainings.events({ runId });
      context.output.list(items, trainingEventView, "No events.");
    });
  reportOption(named(command.command("report")), "training-ID.html")
    .description("a page with its frames, accuracies before and after, the gate and the cost")
    .action(async (id: string, { output: file }: { output?: string }, own: Command) => {
      const context = contextOf(own, io);
      const { runId } = await find(context, id);
      const page = await withPictures(context, await context.gateway.trainings.report({ runId }));
      writeReport(context, page, file, `training-${runId}.html`);
    });
}

const named = (command: Command): Command => command.argument("<training>", "its id, or the beginning of it");

/** By id, or by the beginning of one. */
async function find({ gateway }: Context, id: string): Promise<TrainingDetail> {
  const { items } = await gateway.trainings.list({ limit: LISTED_MAX });
  const [found, ...others] = items.filter(({ runId }) => runId.startsWith(id));
  if (found !== undefined && others.length > 0 && found.runId !== id) {
    const ids = [found, ...others].slice(0, 5).map(({ runId }) => runId);
    throw new CliError(exitCodes.usage, `${others.length + 1} trainings begin with ${id}: ${ids.join(", ")}`);
  }
  return gateway.trainings.one({ runId: found?.runId ?? id });
}

const MS_OF = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** An age, or a time. */
const timeOf =
  (io: Io) =>
  (text: string): string => {
    const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
    if (unit !== undefined) return new Date(io.now() - Number(count) * MS_OF[unit as keyof typeof MS_OF]).toISOString();
    const at = Date.parse(text);
    if (Number.isNaN(at)) throw new InvalidArgumentError("expected 90m, 36h, 7d or an RFC 3339 time.");
    return new Date(at).toISOString();
  };
