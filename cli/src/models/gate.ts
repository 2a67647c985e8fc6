/**
 * `tributary models gate`: whether a package can replace the champion. Both run on the same validation frames, with this machine's
 * runtime; libs/core/models/src/gate has the checks.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import {
  CORRUPTIONS,
  type CorruptionName,
  describeFolder,
  htmlOf,
  marginsSchema,
  measure,
  readSettings,
  seenOf,
} from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { type GateReport, judgeGate, type Margins, marginDefaults } from "@tributary/models/gate";
import { Command, InvalidArgumentError } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { wholeFrom } from "../numbers.ts";
import type { View } from "../output.ts";

type Options = {
  readonly champion: string;
  readonly validation: string;
  readonly margins?: string;
  readonly html?: string;
  readonly latencySlaMs?: number;
  readonly threads: number;
  readonly corrupted: number;
  readonly robustness?: readonly CorruptionName[];
  readonly driftedFrames?: string;
};

const view: View<GateReport["lines"][number]> = {
  name: ({ kind, name }) => `${kind}/${name}`,
  columns: [
    { head: "KIND", of: ({ kind }) => kind },
    { head: "LINE", of: ({ name }) => name },
    { head: "VERDICT", of: ({ verdict }) => (verdict === "failed" ? "FAILED" : verdict) },
    { head: "FOUND", of: ({ found }) => found },
  ],
};

export function modelsGateCommand(io: Io): Command {
  return new Command("gate")
    .description("evaluate whether a package can replace the champion")
    .argument("<candidate>", "folder of the package")
    .requiredOption("--champion <DIR>", "folder of the current package")
    .requiredOption("--validation <DIR>", "frames that neither was trained on, as for models pack")
    .option("--margins <FILE>", `JSON with other margins than ${JSON.stringify(marginDefaults)}`)
    .option("--html <FILE>", "also write the report with its plots")
    .option(
      "--latency-sla-ms <MS>",
      "latency SLA of a frame (p99) in ms; default: 1.5 times the champion's",
      wholeFrom(1),
    )
    .option("--threads <N>", "threads of each model", wholeFrom(1), 1)
    .option("--corrupted <N>", "frames per kind of damage; 0: none", wholeFrom(0), 500)
    .option(
      "--robustness <KINDS>",
      `kinds of damage, with commas: ${CORRUPTIONS.join(", ")}; default: by the light of the frames`,
      kindsOf,
    )
    .option(
      "--drifted-frames <DIR>",
      "judge by slices, as what a program trained: frames of the slice it was trained for, as --validation",
    )
    .addHelpText(
      "after",
      "\nExit code 1: a check failed. `unsure`: the loss is not significant, or there are too few frames; or the champion\nfails the check as well.",
    )
    .action(async (candidate: string, options: Options, command: Command) => {
      const output = outputOf(command, io);
      const margins = await marginsOf(options.margins);
      const { driftedFrames, ...shown } = options;
      const drifted = driftedFrames === undefined ? {} : { drifted: await driftedSlice(candidate, driftedFrames) };
      const input = await measure({ candidate, ...shown, ...drifted }, (line) => io.stderr(`${line}\n`));
      const report = judgeGate(input, margins);
      const seen = await seenOf({ validation: options.validation, ...drifted }, null);
      const { champion } = options;
      if (options.html !== undefined) {
        await mkdir(dirname(options.html), { recursive: true });
        await writeFile(options.html, htmlOf(report, input, { candidate, champion, seen }));
      }
      if (output.isForPeople || output.format === "name") output.list(report.lines, view, "nothing was evaluated");
      if (output.isForPeople) for (const { name, why } of report.untested) output.line(`Not shown: ${name}; ${why}.`);
      else
        output.one({ candidate, champion, validationSet: seen.validationSet, margins, ...report }, candidate, () => {});
      if (report.passed) return;
      const failed = report.lines
        .filter(({ verdict }) => verdict === "failed")
        .map(({ kind, name }) => `${kind} (${name})`);
      throw new CliError(exitCodes.failed, `${candidate} did not pass the gate: ${failed.join(", ")}`);
    });
}

/** Its lineage names the slice where the trainer made it. */
async function driftedSlice(candidate: string, frames: string) {
  const [{ manifest }, { digest }] = await Promise.all([loadPackage(candidate), describeFolder(frames)]);
  return { name: manifest.lineage.slice ?? "drifted", frames, digest };
}

function kindsOf(text: string): readonly CorruptionName[] {
  const kinds = text.split(",").map((one) => one.trim());
  const unknown = kinds.filter((kind) => !(CORRUPTIONS as readonly string[]).includes(kind));
  if (unknown.length === 0) return kinds as CorruptionName[];
  throw new InvalidArgumentError(
    `"${unknown.join(", ")}" is not one of ${CORRUPTIONS.join(", ")}; --corrupted 0 turns it off.`,
  );
}

async function marginsOf(path: string | undefined): Promise<Margins> {
  if (path === undefined) return marginDefaults;
  return readSettings({ option: "--margins", path, code: "gate-margins-invalid" }, marginsSchema);
}
