/**
 * `tributary labels`: ground truth of frames, into ground-truth.v1 through the gateway.
 *
 * Importing a file again is safe: a label that exists is not written again. Every rejected line is reported with its number
 * and the reason; the exit code shows that there were some.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { NextLabel, NextLabelQuery } from "@tributary/api";
import { formatFrameId, parseFrameId, reasonOf } from "@tributary/kernel";
import { Command, InvalidArgumentError, Option } from "commander";
import { type Context, contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { pictureNameOf } from "../labels/frame-names.ts";
import { type ImportOptions, importLabels, stdinMark } from "../labels/import.ts";
import { labellingConfigOf, tasksOf } from "../labels/label-studio-tasks.ts";
import { labelFormats } from "../labels/read-labels.ts";
import type { View } from "../output.ts";
import { writeFile } from "../report-file.ts";
import { positive } from "./options.ts";

export function labelsCommand(io: Io): Command {
  const command = new Command("labels").description("ground truth of frames: from people, files, measurements");
  return command.addCommand(importCommand(io)).addCommand(nextCommand(io)).addCommand(setCommand(io));
}

const SOURCES = ["import", "person", "measurement"];

function importCommand(io: Io): Command {
  return new Command("import")
    .argument("<file>", `CSV, JSONL or a Label Studio export; ${stdinMark} is standard input`)
    .description("import labels from a file; rejects single bad lines by name; importing again is safe")
    .addOption(new Option("--format <FORMAT>", "format of the file (default: detected)").choices(labelFormats))
    .addOption(new Option("--source <SOURCE>", "where the labels come from").choices(SOURCES).default("import"))
    .option("--frame-field <NAME>", "column or field of the frame's id (default: frameId, frame_id or frame)")
    .option("--label-field <NAME>", "column, field or control of the label (default: label, choice or class)")
    .option("--by <NAME>", "who labelled, unless the file names it")
    .option("--label-set <NAME>", "name of the labelling project, unless the file names it")
    .option("--from <LINE>", "start at this line, to continue an import that stopped", positive, 1)
    .option("--allow-unknown", "import labels of frames that Kafka does not retain")
    .option("--dry-run", "check everything, write nothing")
    .action(async (file: string, _options: object, command: Command) => {
      const context = contextOf(command, io);
      const summary = await importLabels(context, { ...command.opts<Omit<ImportOptions, "file">>(), file });
      context.output.one(summary, `${summary.accepted}`, () => {
        const parts = [
          `${summary.accepted} ${summary.dryRun ? "would be imported" : "imported"}`,
          `${summary.repeated} stored already`,
          ...(summary.unchecked > 0 ? [`${summary.unchecked} of unknown frames among them`] : []),
          `${summary.skipped} without a label`,
          `${summary.bad} bad`,
        ];
        context.output.line(parts.join(", "));
      });
      if (summary.bad > 0) {
        const codes = Object.entries(summary.badByCode).map(([code, count]) => `${code} ${count}`);
        throw new CliError(exitCodes.inPart, `${summary.bad} lines were rejected: ${codes.join(", ")}.`);
      }
    });
}

const nextView: View<NextLabel & { picture: string }> = {
  name: (item) => item.frameId,
  columns: [
    { head: "FRAME", of: (item) => item.frameId },
    { head: "WHY", of: (item) => item.why },
    { head: "EDGE", of: ({ answer }) => answerText(answer.edgeLabel, answer.edgeConfidence) },
    { head: "CLOUD", of: ({ answer }) => answer.cloudLabel },
    { head: "FINAL", of: ({ answer }) => answer.label },
    { head: "PICTURE", of: (item) => item.picture },
    { head: "ANSWERED", of: ({ answer }) => answer.answeredAt, wide: true },
    { head: "CLASSES", of: ({ classes }) => classes.join(","), wide: true },
  ],
};

const answerText = (label: string, confidence: number): string => `${label} ${confidence.toFixed(2)}`;

const GONE = "gone";
type NextOptions = {
  limit: number;
  device?: string;
  why?: string;
  training?: string;
  by?: string;
  save?: string;
  format?: "label-studio";
};

function nextCommand(io: Io): Command {
  return new Command("next")
    .description(
      "the next frames to label: those that a training waits for, those of the random sample, then those on which edge and cloud disagree",
    )
    .option("--limit <N>", "at most this many", positive, 20)
    .option("--device <ID>", "only those of this device")
    .addOption(new Option("--why <WHY>", "only of this kind").choices(["training", "sample", "disagreement"]))
    .option("--training <ID>", "only those that this training waits for")
    .option("--by <NAME>", "who labels: some frames that somebody else labelled are listed a second time")
    .option("--save <FOLDER>", "save the pictures there, named after their frames")
    .addOption(
      new Option("--format <FORMAT>", "with --save: also tasks.json and config.xml to import there").choices([
        "label-studio",
      ]),
    )
    .action(async (options: NextOptions, command: Command) => {
      if (options.format !== undefined && options.save === undefined) {
        throw new CliError(exitCodes.usage, "--format writes beside the pictures: give --save FOLDER too.");
      }
      const context = contextOf(command, io);
      const why = options.why?.toUpperCase() as NextLabelQuery["why"];
      const { limit, device: deviceId, training, by } = options;
      const { items } = await context.gateway.labels.next({ limit, deviceId, why, training, by });
      const shown: (NextLabel & { picture: string })[] = [];
      for (const item of items) {
        const url = context.gateway.urlOf(item.image);
        shown.push({ ...item, picture: options.save === undefined ? url : await save(context, item, options.save) });
      }
      if (options.format !== undefined && options.save !== undefined) saveTasks(shown, options.save);
      context.output.list(shown, nextView, "No frames to label.");
    });
}

/** Files that Label Studio imports: tasks of the saved pictures, and its labelling interface. */
function saveTasks(shown: readonly (NextLabel & { picture: string })[], folder: string): void {
  const saved = shown.filter(({ picture }) => picture !== GONE);
  mkdirSync(folder, { recursive: true });
  writeFile(join(folder, "tasks.json"), tasksOf(saved, basename(resolve(folder))));
  writeFile(join(folder, "config.xml"), labellingConfigOf([...new Set(saved.flatMap(({ classes }) => classes))]));
}

/** Kafka keeps pictures for hours only; a frame without its picture can still be labelled. */
async function save({ gateway }: Context, item: NextLabel, folder: string): Promise<string> {
  const file = join(folder, pictureNameOf(item.frameId));
  let picture: Uint8Array;
  try {
    picture = await gateway.frames.image({ frameId: item.frameId });
  } catch (error) {
    if (error instanceof CliError && error.exitCode === exitCodes.notFound) return GONE;
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
    .option("--none", "it cannot be labelled: it is not listed again, and nothing is learned from it")
    .option("--by <NAME>", "who labelled it (default: $USER)")
    .option("--comment <TEXT>", "stored with the label")
    .option("--allow-unknown", "also if Kafka does not retain the frame")
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
      const done = result.repeated > 0 ? "was stored already" : "is stored";
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
