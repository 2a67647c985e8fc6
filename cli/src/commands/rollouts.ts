/** `rollout`: starts, shows and controls rollouts. */
import type { RolloutCommand, RolloutDevices, RolloutQuery, RolloutView } from "@tributary/api";
import { changeWords } from "@tributary/rollouts";
import { Command, Option } from "commander";
import { type Context, contextOf, type Io, personOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { GatewayRefusal } from "../gateway.ts";
import { ago, type View } from "../output.ts";
import { reportOption, writeReport } from "../report-file.ts";
import { lint } from "../rollouts/lint.ts";
import { type Event, markOf, packageWords, phaseWords, stepsOf, treeOf } from "../rollouts/tree.ts";
import { watchable, watched } from "../watch.ts";
import { addLint } from "./lint.ts";
import { createFrom, findNewest, listNewest, named } from "./named.ts";

/** Devices of the canary that a status fetches, the gateway's limit; those with problems are shown first. */
const DEVICES_FETCHED = 10_000;

const viewOf = (now: number): View<RolloutView> => ({
  name: (rollout) => rollout.uid,
  columns: [
    { head: "NAME", of: (r) => r.name },
    { head: "PHASE", of: (r) => `${markOf(r).icon} ${phaseWords(r)}` },
    { head: "MODEL", of: (r) => packageWords(r.model) },
    { head: "STEP", of: (r) => `${r.step}/${r.steps}` },
    { head: "WEIGHT", of: (r) => `${r.weight}` },
    { head: "ANALYSIS", of: (r) => r.analysis },
    { head: "UPDATED", of: (r) => `${r.updated}/${r.reached}` },
    { head: "AGE", of: (r) => ago(r.createdAt, now) },
    { head: "UID", of: (r) => r.uid, wide: true },
    { head: "STABLE", of: (r) => packageWords(r.stable), wide: true },
    { head: "DEVICES", of: (r) => r.devices, wide: true },
    { head: "REFUSED", of: (r) => r.refused, wide: true },
    { head: "MESSAGE", of: (r) => r.message, wide: true },
  ],
});

export function rolloutCommand(io: Io): Command {
  const command = new Command("rollout")
    .alias("rollouts")
    .description("roll a new model out to the fleet, with canary analysis and rollback");
  command
    .command("create")
    .description("start a rollout; its file is checked first")
    .requiredOption("-f, --file <FILE>", "specification in YAML; - reads stdin")
    .action(async ({ file }: { file: string }, own: Command) => {
      const context = contextOf(own, io);
      await createFrom(context, file, "rollout", lint, (body) => context.gateway.rollouts.create({ body }));
    });
  addLint(command, io, lint, ({ spec }) => `${spec.strategy.canary.steps.length} steps`);
  addList(command, io);
  watchable(named(command.command("status"), "rollout"))
    .description("the state of a rollout: steps, analyses with their numbers, canary devices")
    .option(
      "--exit-code",
      `exit ${exitCodes.degraded} when it is Degraded; with --watch, exit when the rollout is finished`,
    )
    .action((name: string, options: { exitCode?: boolean; watch?: boolean }, own: Command) =>
      status(own, io, name, options),
    );
  for (const [word, about] of [
    ["pause", "pause it; its devices keep their models"],
    ["resume", "continue; an analysis restarts its duration"],
    ["abort", "roll its devices back to the stable model"],
    ["retry", "restart one that was rolled back or abandoned"],
    ["undo", "roll back a finished one"],
  ] as const) {
    named(command.command(word), "rollout")
      .description(about)
      .action((name: string, _options: object, own: Command) => control(contextOf(own, io), name, word));
  }
  named(command.command("promote"), "rollout")
    .description("skip the current step, without evidence; the history records your name")
    .option("--full", "skip all steps: every device gets the model")
    .action((name: string, { full }: { full?: boolean }, own: Command) =>
      control(contextOf(own, io), name, full ? "promote-full" : "promote"),
    );
  addHistory(command, io);
  addReport(command, io);
  return command;
}

function addList(command: Command, io: Io): void {
  watchable(command.command("list"))
    .description("rollouts, newest first")
    .option("--name <NAME>", "only rollouts of this name")
    .option("--model <MODEL>", "only rollouts of this model")
    .addOption(
      new Option("--phase <PHASE>", "only in this phase").choices(["Progressing", "Paused", "Healthy", "Degraded"]),
    )
    .action(({ name, model, phase }: Pick<RolloutQuery, "name" | "model" | "phase">, own: Command) =>
      watched(own, io, (context) =>
        listNewest(context, (limit) => context.gateway.rollouts.list({ name, model, phase, limit }), viewOf(io.now()), {
          nothing: "No rollouts. Start one: tributary rollout create -f FILE",
          filters: "--name, --model and --phase",
        }),
      ),
    );
}

function addHistory(command: Command, io: Io): void {
  named(command.command("history"), "rollout")
    .description("its events in order, with their authors")
    .action(async (name: string, _options: object, own: Command) => {
      const context = contextOf(own, io);
      const { uid } = await find(context, name);
      const items = await eventsOf(context, uid);
      const created = items.find(({ kind }) => kind === "created") as { readonly spec?: unknown } | undefined;
      const steps = stepsOf(created?.spec);
      const view: View<Event> = {
        name: (event) => `${uid}/${event.version}`,
        columns: [
          { head: "VERSION", of: (e) => e.version },
          { head: "AT", of: (e) => e.at },
          { head: "BY", of: (e) => e.by },
          { head: "WHAT", of: (e) => changeWords(e, steps) },
          { head: "EVIDENCE", of: (e) => evidenceWords(e), wide: true },
        ],
      };
      context.output.list(items, view, "No events.");
    });
}

function addReport(command: Command, io: Io): void {
  reportOption(named(command.command("report"), "rollout"), "rollout-NAME.html")
    .description("a page with the evidence and the decisions")
    .action(async (name: string, { output: file }: { output?: string }, own: Command) => {
      const context = contextOf(own, io);
      const rollout = await find(context, name);
      const page = await context.gateway.rollouts.report({ uid: rollout.uid });
      writeReport(context, page, file, `rollout-${rollout.name}.html`);
    });
}

const find = (context: Context, wanted: string): Promise<RolloutView> =>
  findNewest(context, "rollout", wanted, context.gateway.rollouts);

async function status(
  command: Command,
  io: Io,
  name: string,
  { exitCode, watch }: { readonly exitCode?: boolean; readonly watch?: boolean },
): Promise<void> {
  // Resolved once: while it is watched, a newer rollout may get the name.
  const { uid } = await find(contextOf(command, io), name);
  let last: RolloutView | undefined;
  await watched(command, io, async (context) => {
    const { gateway, output } = context;
    const rollout = await gateway.rollouts.one({ uid });
    last = rollout;
    const ends = exitCode === true && (rollout.phase === "Healthy" || rollout.isBack || rollout.abandoned != null);
    if (!output.isForPeople) {
      output.one(rollout, uid, () => {});
      return ends;
    }
    const [events, canary] = await Promise.all([
      eventsOf(context, uid).catch(without([])),
      gateway.rollouts.devicesOf({ uid, arm: "canary", limit: DEVICES_FETCHED }).catch(without(NO_DEVICES)),
    ]);
    const now = watch && !io.isOutputTerminal ? null : io.now();
    const style = output.style.bind(output);
    output.line(treeOf({ rollout, events, canary, now, style, wide: output.format === "wide" }));
    return ends;
  });
  if (exitCode === true && last?.phase === "Degraded") {
    throw new CliError(
      exitCodes.degraded,
      `Rollout ${last.name} is ${phaseWords(last)}${last.message === "" ? "." : `: ${last.message}`}`,
    );
  }
}

const eventsOf = async ({ gateway }: Context, uid: string): Promise<readonly Event[]> =>
  (await gateway.rollouts.events({ uid })).items as readonly object[] as readonly Event[];

const NO_ARM = { devices: 0, onModel: 0, phases: {} };
const NO_DEVICES: RolloutDevices = { items: [], total: 0, arms: { canary: NO_ARM, control: NO_ARM, rest: NO_ARM } };

/** The status is shown even if its history is no longer available. */
const without =
  <T>(nothing: T) =>
  (error: unknown): T => {
    if (error instanceof GatewayRefusal) return nothing;
    throw error;
  };

async function control(context: Context, name: string, command: RolloutCommand): Promise<void> {
  const { gateway, output, io } = context;
  const { uid, name: called, step } = await find(context, name);
  // Repeated after a lost response, they do not skip another step.
  const body = { command, by: personOf(io), ...(["promote", "resume"].includes(command) && { step }) };
  const answer = await gateway.rollouts.command({ uid, body });
  output.one(answer, uid, () =>
    output.line(`Rollout ${called}: ${command} was accepted. See: tributary rollout status ${uid}`),
  );
}

/** In short: the reason of an analysis, or the numbers of another transition. */
function evidenceWords(event: Event): string {
  if (!("evidence" in event)) return "";
  const { why, looks: _looks, ...rest } = event.evidence;
  // A rollback's own column has the reason.
  if (typeof why === "string") return "why" in event && event.why === why ? "" : why;
  const numbers = Object.entries(rest).filter(([, value]) => typeof value !== "object");
  return numbers.map(([name, value]) => `${name} ${String(value)}`).join(", ");
}
