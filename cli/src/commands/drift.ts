/** `drift`: what changed on the fleet, where, why, and what to do. */
import { type DriftQuery, type DriftVerdictDetail, driftCauses } from "@tributary/api";
import { Command, Option } from "commander";
import { type Context, contextOf, type Io } from "../context.ts";
import { type References, referencesOf, withEdges } from "../drift/export.ts";
import { find, named } from "../drift/named.ts";
import {
  deviceView,
  explanationOf,
  featureView,
  isKnown,
  mixOf,
  mixView,
  verdictPairs,
  verdictView,
} from "../drift/verdict.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { GatewayRefusal } from "../gateway.ts";
import { modelApiOf, withModelRegistry } from "../models/model-api.ts";
import type { Output, View } from "../output.ts";
import { reportOption, writeFile, writeReport } from "../report-file.ts";
import { watchable, watched } from "../watch.ts";
import { addReviews } from "./drift-reviews.ts";

/** The gateway's limit. */
const LISTED_MAX = 1_000;
const NONE = "No verdicts: nothing that was compared has drifted. Closed ones: tributary drift list --state all";

type ListOptions = { state: DriftQuery["state"]; cause?: string; exitCode?: boolean };

export function driftCommand(io: Io): Command {
  const command = new Command("drift").description("what changed on the fleet, where, why, and what to do");
  watchable(command.command("list"))
    .description("verdicts, those that opened last first")
    .addOption(new Option("--state <STATE>", "which ones").choices(["open", "closed", "all"]).default("open"))
    .option("--cause <CAUSE>", `only of this cause: ${driftCauses.join(", ").toLowerCase()}`)
    .option(
      "--exit-code",
      `exit ${exitCodes.degraded} when there are any that nobody knows of; with --watch, exit as soon as there is one`,
    )
    .action((options: ListOptions, own: Command) => list(own, io, options));
  watchable(named(command.command("describe")))
    .description("one verdict in full: devices, features, classes")
    .action((id: string, _options: object, own: Command) =>
      watched(own, io, async (context) => {
        const verdict = await find(context, id);
        context.output.one(verdict, verdict.verdictId, () => describe(verdict, context));
      }),
    );
  watchable(named(command.command("explain")))
    .description("how its cause was found, and what to do now")
    .action((id: string, _options: object, own: Command) =>
      watched(own, io, async (context) => {
        const { output } = context;
        const verdict = await find(context, id);
        output.one(verdict, verdict.verdictId, () => output.line(explanationOf(verdict, output.style.bind(output))));
      }),
    );
  reportOption(named(command.command("report")), "drift-ID.html")
    .description("a page with the evidence: heat map over time, histograms, cause")
    .action(async (id: string, { output: file }: { output?: string }, own: Command) => {
      const context = contextOf(own, io);
      const { verdictId } = await find(context, id);
      const page = await context.gateway.drift.report({ verdictId });
      writeReport(context, page, file, `drift-${verdictId}.html`);
    });
  addReviews(command, io);
  addExport(command, io);
  return command;
}

function addExport(command: Command, io: Io): void {
  withModelRegistry(command.command("export"))
    .description("a day's sketches, merged by group, as JSON lines, for pandas and other tools")
    .requiredOption("--day <DAY>", "in UTC, e.g. 2026-11-28")
    .option("--by <GROUP>", "site, hardware, agentVersion, model, device or label:KEY", "site")
    .option("-o, --output <FILE>", "where to write them; - is stdout", "-")
    .action(async ({ day, by, output: file }: { day: string; by: string; output: string }, own: Command) => {
      const { gateway, models } = modelApiOf(own, io);
      const { items, sketches, malformed } = await gateway.drift.profiles({ day, by });
      if (malformed > 0) io.stderr(`${malformed} sketches of that day cannot be read, and are left out.\n`);
      const { registry } = models;
      const references = new Map<string, References>();
      if (registry === undefined) io.stderr(`${NO_EDGES}\n`);
      else {
        const digests = new Set(items.map(({ modelDigest }) => modelDigest));
        for (const digest of digests) {
          references.set(digest, await referencesOf(registry, digest).catch(withoutEdges(digest, io)));
        }
      }
      const text = items.map((one) => `${JSON.stringify(withEdges(one, references.get(one.modelDigest)))}\n`).join("");
      if (file === "-") {
        io.stdout(text);
        return;
      }
      writeFile(file, text);
      io.stderr(`${file}: ${items.length} profiles of ${sketches} sketches of ${day}, by ${by}.\n`);
    });
}

/** A package that the registry does not have any more: its counts are worth having all the same. */
const withoutEdges =
  (digest: string, io: Io) =>
  (error: unknown): References => {
    if (!(error instanceof GatewayRefusal)) throw error;
    io.stderr(`Profiles of package ${digest} have no edges of bins: ${error.message}\n`);
    return new Map();
  };

const NO_EDGES =
  "Without the model registry, profiles have no edges of bins: give --registry URL or set TRIBUTARY_MODEL_REGISTRY.";

async function list(command: Command, io: Io, { state, cause, exitCode }: ListOptions): Promise<void> {
  let count = 0;
  await watched(command, io, async ({ gateway, output }) => {
    // The gateway validates the cause.
    const wanted = cause?.toUpperCase().replaceAll("-", "_") as DriftQuery["cause"];
    const { items } = await gateway.drift.list({ state, cause: wanted, limit: LISTED_MAX });
    output.list(items, verdictView(io.now()), NONE);
    count = items.filter((one) => !isKnown(one, io.now())).length;
    return exitCode === true && count > 0;
  });
  if (exitCode === true && count > 0) {
    const counted = count === 1 ? "1 verdict" : `${count} verdicts`;
    throw new CliError(exitCodes.degraded, `${counted}. See: tributary drift explain ID`);
  }
}

function describe(verdict: DriftVerdictDetail, { output, io }: Context): void {
  output.line(output.style("bold", verdict.summary));
  output.pairs(verdictPairs(verdict, io.now()));
  section(output, "Devices", verdict.devices, deviceView(io.now()));
  const left = verdict.devicesAffected - verdict.devices.length;
  if (left > 0) output.line(`${left} more are not listed.`);
  section(output, "Features, strongest evidence first", verdict.features, featureView);
  section(output, "Classes", mixOf(verdict), mixView);
  output.line();
  output.line(`How its cause was found, and what to do: tributary drift explain ${verdict.verdictId}`);
}

function section<T>(output: Output, title: string, items: readonly T[], view: View<T>): void {
  if (items.length === 0) return;
  output.line();
  output.line(output.style("bold", title));
  output.list(items, view, "");
}
