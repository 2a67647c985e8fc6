/** `datasets`: what models are trained on, version by version. */
import type { DatasetDetail, DatasetQuery, DatasetView } from "@tributary/api";
import { type DatasetDifference, datasetDifference, parseDatasetManifest } from "@tributary/training/dataset";
import { Command, Option } from "commander";
import { type Context, contextOf, type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Gateway, trainerAt } from "../gateway.ts";
import { url, withBy } from "../models/model-api.ts";
import type { Output, View } from "../output.ts";
import { waitingFor } from "../progress.ts";
import { megabytes } from "../upload.ts";

/** The gateway's limit. */
const LISTED_MAX = 1_000;
const NONE =
  "No datasets: nothing was trained yet. Push what a model was trained on: tributary datasets push MODEL FOLDER";
const NOTHING = "The same frames with the same labels.";

export function datasetsCommand(io: Io): Command {
  const command = new Command("datasets").description("what models are trained on, version by version");
  command
    .command("list")
    .description("versions, the newest first")
    .option("--model <NAME>", "only of this model")
    .addOption(new Option("--kind <KIND>", "only of this kind").choices(["base", "retraining"]))
    .action(async ({ model, kind }: { model?: string; kind?: string }, own: Command) => {
      const { gateway, output } = contextOf(own, io);
      const wanted = kind?.toUpperCase() as DatasetQuery["kind"];
      const { items } = await gateway.datasets.list({ model, kind: wanted, limit: LISTED_MAX });
      output.list(items, datasetView, NONE);
    });
  named(command.command("describe"))
    .description("one version: its parts, where its labels come from, and what was left out")
    .option("--dvc", "only its .dvc file, by which dvc pull gets its frames")
    .action(async (reference: string, { dvc }: { dvc?: boolean }, own: Command) => {
      const context = contextOf(own, io);
      const dataset = await find(context.gateway, reference);
      if (dvc) io.stdout(Buffer.from(await context.gateway.datasets.dvc(dataset)).toString());
      else context.output.one(dataset, nameOf(dataset), () => describe(dataset, context));
    });
  command
    .command("diff")
    .argument("<before>", REFERENCE)
    .argument("<after>", REFERENCE)
    .description("frames added, removed and relabelled between two versions, by class and slice")
    .action(async (before: string, after: string, _options: object, own: Command) => {
      const { gateway, output } = contextOf(own, io);
      const [old, now] = [await find(gateway, before), await find(gateway, after)];
      const difference = datasetDifference(await framesOf(gateway, old), await framesOf(gateway, now));
      output.one(difference, nameOf(now), () => show(difference, output));
    });
  addPush(command, io);
  return command;
}

type PushOptions = { readonly by: string; readonly trainer?: string; readonly trainerToken?: string };

function addPush(command: Command, io: Io): void {
  withBy(command.command("push"), io)
    .argument("<model>", "the model's name; it must have a champion")
    .argument("<folder>", "JPEGs with labels.json (file -> class), or a folder for each class, as for validation push")
    .description("upload a model's base set: labelled photos as it was first trained on, replayed in each training")
    .addOption(new Option("--trainer <URL>", "the trainer").argParser(url).env("TRIBUTARY_TRAINER"))
    .addOption(new Option("--trainer-token <TOKEN>", "its bearer token").env("TRIBUTARY_TRAINER_TOKEN"))
    .addHelpText(
      "after",
      "\nBetween 100 and 60,000 photos. Pushing the same again changes nothing. None of them should be among the validation frames.",
    )
    .action(async (model: string, folder: string, options: PushOptions, own: Command) => {
      const { trainer, trainerToken, by } = options;
      if (trainer === undefined) {
        const message = "This speaks to the trainer itself: give --trainer URL or set TRIBUTARY_TRAINER.";
        throw new CliError(exitCodes.usage, message);
      }
      const { pushBaseSet } = await import("../datasets/push.ts");
      const client = trainerAt({ url: trainer, token: trainerToken, waiting: waitingFor(io) });
      const pushed = await pushBaseSet(client, { model, folder, by }, io);
      const output = outputOf(own, io);
      output.one(pushed, nameOf(pushed), () => {
        const { sent } = pushed;
        output.line(`${nameOf(pushed)} is the base set of ${model}: ${pushed.frames} photos, ${splitsOf(pushed)}`);
        output.line(`Sent ${sent.files} of ${sent.of} files, ${megabytes(sent.bytes)} MB.`);
      });
    });
}

const REFERENCE = "MODEL/VERSION or the beginning of it; MODEL is its newest one";
const named = (command: Command): Command => command.argument("<dataset>", REFERENCE);
const nameOf = ({ model, version }: DatasetView): string => `${model}/${version}`;

const countsText = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");

const splitsOf = ({ parts }: DatasetView): string => {
  const counts = new Map<string, number>();
  for (const { split, frames } of parts) counts.set(split, (counts.get(split) ?? 0) + frames);
  return countsText(Object.fromEntries(counts));
};

const datasetView: View<DatasetView> = {
  name: nameOf,
  columns: [
    { head: "DATASET", of: nameOf },
    { head: "KIND", of: ({ kind }) => kind.toLowerCase() },
    { head: "SLICES", of: ({ parts }) => [...new Set(parts.map(({ slice }) => slice))].join(",") },
    { head: "FRAMES", of: ({ frames }) => frames },
    { head: "SPLITS", of: splitsOf },
    { head: "DEVICES", of: ({ devices }) => devices },
    { head: "CREATED", of: ({ createdAt }) => createdAt },
    { head: "LABELS", of: ({ labelSources }) => countsText(labelSources), wide: true },
    { head: "TRAINING", of: ({ runId }) => runId, wide: true },
    { head: "BY", of: ({ createdBy }) => createdBy, wide: true },
    { head: "MD5", of: ({ md5 }) => md5, wide: true },
  ],
};

/** By MODEL/VERSION, where the version may be its beginning, or by MODEL. */
async function find(gateway: Gateway, reference: string): Promise<DatasetDetail> {
  const [model = "", beginning = ""] = reference.split("/");
  const { items } = await gateway.datasets.list({ model, limit: LISTED_MAX });
  const found = items.filter(({ version }) => version.startsWith(beginning));
  const [first, second] = found;
  if (first === undefined) {
    const message = `There is no dataset "${reference}": expected MODEL/VERSION. See: tributary datasets list`;
    throw new CliError(exitCodes.notFound, message);
  }
  if (beginning !== "" && second !== undefined) {
    const names = found.slice(0, 5).map(nameOf).join(", ");
    throw new CliError(exitCodes.usage, `"${reference}" is the beginning of several: ${names}`);
  }
  return gateway.datasets.one({ model, version: first.version });
}

const framesOf = async (gateway: Gateway, { model, version }: DatasetView) =>
  parseDatasetManifest(Buffer.from(await gateway.datasets.manifest({ model, version })).toString());

type Part = DatasetView["parts"][number];
const partView: View<Part> = {
  name: ({ slice, split }) => `${slice} ${split}`,
  columns: [
    { head: "SLICE", of: ({ slice }) => slice },
    { head: "SPLIT", of: ({ split }) => split },
    { head: "FRAMES", of: ({ frames }) => frames },
    { head: "CLASSES", of: ({ classes }) => countsText(classes) },
  ],
};

function describe(dataset: DatasetDetail, { output }: Context): void {
  output.pairs([
    ["Dataset", nameOf(dataset)],
    ["Kind", dataset.kind.toLowerCase()],
    ["Frames", dataset.frames],
    ["MB", megabytes(dataset.bytes)],
    ["Devices", dataset.devices],
    ["Labels by", countsText(dataset.labelSources)],
    ["Left out", countsText(dataset.leftOut)],
    ["Training", dataset.runId],
    ["Verdict", dataset.verdictId],
    ["Base set", dataset.baseVersion && `${dataset.model}/${dataset.baseVersion}`],
    ["Created", `${dataset.createdAt} by ${dataset.createdBy}`],
    ["MD5", dataset.md5],
    ...Object.entries(dataset.query).map(([name, value]) => [`Query ${name}`, value] as const),
  ]);
  output.line();
  output.list(dataset.parts, partView, "");
  output.line();
  output.line(`For dvc pull: tributary datasets describe ${nameOf(dataset)} --dvc > ${dataset.model}.dvc`);
}

type Row = DatasetDifference["classes"][string] & { readonly name: string };
const changesView = (head: string): View<Row> => ({
  name: ({ name }) => name,
  columns: [
    { head, of: ({ name }) => name },
    { head: "ADDED", of: ({ added }) => added },
    { head: "REMOVED", of: ({ removed }) => removed },
    { head: "RELABELLED", of: ({ relabelled }) => relabelled },
  ],
});

function show(difference: DatasetDifference, output: Output): void {
  const { added, removed, relabelled, same, moved } = difference;
  const inAll = `${added} added, ${removed} removed, ${relabelled} relabelled, ${same} the same`;
  output.line(added + removed + relabelled === 0 ? NOTHING : inAll);
  if (moved > 0) output.line(`${moved} of both are in another split.`);
  for (const [head, changes] of [
    ["CLASS", difference.classes],
    ["SLICE", difference.slices],
  ] as const) {
    const rows = Object.entries(changes).map(([name, counts]): Row => ({ name, ...counts }));
    if (rows.length === 0) continue;
    output.line();
    output.list(rows, changesView(head), "");
  }
}
