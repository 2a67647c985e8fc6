/**
 * `tributary labels`: what frames truly show, into ground-truth.v1 through the gateway.
 *
 * L1. Importing a file again is safe: what is said already is not written twice.
 * L2. Every line that is not taken is named with its number and the reason; the exit code tells that there were some.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NextLabel, NextLabelQuery } from "@tributary/api";
import { formatFrameId, parseFrameId, reasonOf } from "@tributary/kernel";
import { Command, InvalidArgumentError, Option } from "commander";
import { type Context, contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { pictureNameOf } from "../labels/frame-names.ts";
import { type ImportOptions, importLabels, stdinMark } from "../labels/import.ts";
import { labelFormats } from "../labels/read-labels.ts";
import type { View } from "../output.ts";
import { positive } from "./options.ts";

export function labelsCommand(io: Io): Command {
  const command = new Command("labels").description("what frames truly show: by people, files, measurements");
  return command.addCommand(importCommand(io)).addCommand(nextCommand(io)).addCommand(setCommand(io));
}

const SOURCES = ["import", "person", "measurement"];

function importCommand(io: Io): Command {
  return new Command("import")
    .argument("<file>", `CSV, JSONL or a Label Studio export; ${stdinMark} is standard input`)
    .description("labels of a file; each bad line is named and the others are taken; importing again is safe")
    .addOption(new Option("--format <FORMAT>", "found out by the content unless told").choices(labelFormats))
    .addOption(new Option("--source <SOURCE>", "where the labels come from").choices(SOURCES).default("import"))
    .option("--frame-field <NAME>", "column or field of the frame's id (default: frameId, frame_id or frame)")
    .option("--label-field <NAME>", "column, field or control of the label (default: label, choice or class)")
    .option("--by <NAME>", "who labelled, where the file does not say")
    .option("--label-set <NAME>", "name of the labelling project, where the file does not say")
    .option("--from <LINE>", "begin at this line, to go on where an import stopped", positive, 1)
    .option("--allow-unknown", "take labels of frames that Kafka does not hold (any more)")
    .option("--dry-run", "check everything, write nothing")
    .action(async (file: string, _options: object, command: Command) => {
      const context = contextOf(command, io);
      const summary = await importLabels(context, { ...command.opts<Omit<ImportOptions, "file">>(), file });
      context.output.one(summary, `${summary.accepted}`, () => {
        const parts = [
          `${summary.accepted} ${summary.dryRun ? "would be taken" : "taken"}`,
          `${summary.repeated} said already`,
          ...(summary.unchecked > 0 ? [`${summary.unchecked} of unknown frames among them`] : []),
          `${summary.skipped} without a label`,
          `${summary.bad} bad`,
        ];
        context.output.line(parts.join(", "));
      });
      if (summary.bad > 0) {
        const codes = Object.entries(summary.badByCode).map(([code, count]) => `${code} ${count}`);
        throw new CliError(exitCodes.inPart, `${summary.bad} lines were not taken: ${codes.join(", ")}.`); // L2
      }
    });
}

const nextView: View<NextLabel & { picture: string }> = {
  name: (item) => item.frameId,
  columns: [
    { head: "FRAME", of: (item) => item.frameId },
    { head: "WHY", of: (item) => item.why },
    { head: "EDGE", of: ({ answer }) => said(answer.edgeLabel, answer.edgeConfidence) },
    { head: "CLOUD", of: ({ answer }) => answer.cloudLabel },
    { head: "FINAL", of: ({ answer }) => answer.label },
    { head: "PICTURE", of: (item) => item.picture },
    { head: "ANSWERED", of: ({ answer }) => answer.answeredAt, wide: true },
    { head: "CLASSES", of: ({ classes }) => classes.join(","), wide: true },
  ],
};

const said = (label: string, confidence: number): string => `${label} ${confidence.toFixed(2)}`;

function nextCommand(io: Io): Command {
  return new Command("next")
    .description("the next frames worth a person's label: drawn samples first, then where edge and cloud disagree")
    .option("--limit <N>", "how many at most", positive, 20)
    .option("--device <ID>", "only of this device")
    .addOption(new Option("--why <WHY>", "only of this kind").choices(["sample", "disagreement"]))
    .option("--save <FOLDER>", "put the pictures there, named after their frames")
    .action(async (options: { limit: number; device?: string; why?: string; save?: string }, command: Command) => {
      const context = contextOf(command, io);
      const why = options.why?.toUpperCase() as NextLabelQuery["why"];
      const { items } = await context.gateway.labels.next({ limit: options.limit, deviceId: options.device, why });
      const shown: (NextLabel & { picture: string })[] = [];
      for (const item of items) {
        const url = context.gateway.urlOf(item.image);
        shown.push({ ...item, picture: options.save === undefined ? url : await save(context, item, options.save) });
      }
      context.output.list(shown, nextView, "No frame waits for a label.");
    });
}

/** Kafka keeps pictures for hours only: one that is gone leaves a frame that can still be labelled, by other means. */
async function save({ gateway }: Context, item: NextLabel, folder: string): Promise<string> {
  const file = join(folder, pictureNameOf(item.frameId));
  let picture: Uint8Array;
  try {
    picture = await gateway.frames.image({ frameId: item.frameId });
  } catch (error) {
    if (error instanceof CliError && error.exitCode === exitCodes.notFound) return "gone";
    throw error;
  }
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, picture);
  } catch (error) {
    throw new CliError(exitCodes.failed, `--save: ${reasonOf(error)}`, { cause: error });
  }
  return file;
}

function setCommand(io: Io): Command {
  return new Command("set")
    .argument("<frame>", "deviceId:bootId:cameraId:frameSeq, or its picture's name", frameOf)
    .argument("[label]", "the true class")
    .description("the label of one frame")
    .option("--none", "it cannot be labelled: nobody is asked again, nothing is learned from it")
    .option("--by <NAME>", "who says so (default: $USER)")
    .option("--comment <TEXT>", "kept with the label")
    .option("--allow-unknown", "also if Kafka does not hold the frame (any more)")
    .action(async (frameId: string, label: string | undefined, _options: object, command: Command) => {
      const options = command.opts<{ none?: boolean; by?: string; comment?: string; allowUnknown?: boolean }>();
      if ((label === undefined) !== (options.none === true)) {
        throw new CliError(exitCodes.usage, "Give a label, or --none if the frame cannot be labelled.");
      }
      const { gateway, output } = contextOf(command, io);
      const labelledBy = options.by ?? io.env.USER ?? "";
      const source = "PERSON" as const;
      const one = { frameId, label: label ?? null, source, labelledBy, comment: options.comment ?? null };
      const result = await gateway.labels.take({
        body: { labels: [one], allowUnknown: options.allowUnknown === true },
      });
      const [refused] = result.refused;
      if (refused !== undefined) {
        const code = refused.code === "frame-unknown" ? exitCodes.notFound : exitCodes.failed;
        throw new CliError(code, `${refused.message} (${refused.code})`);
      }
      const done = result.repeated > 0 ? "was said already" : "is stored";
      output.one({ ...one, stored: result.accepted > 0 }, frameId, () =>
        output.line(`${frameId}: ${label ?? "cannot be labelled"} ${done}.`),
      );
    });
}

function frameOf(text: string): string {
  const id = /^[^:]+\.jpg$/i.test(text) ? text.slice(0, -4).replaceAll(".", ":") : text;
  try {
    return formatFrameId(parseFrameId(id));
  } catch (error) {
    throw new InvalidArgumentError(`${reasonOf(error)}.`);
  }
}
