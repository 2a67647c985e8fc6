/** `tributary validation`: the frames on which a model's challengers are evaluated. */
import type { ValidationDetail, ValidationView } from "@tributary/api";
import { slicesOf } from "@tributary/model-packaging";
import { Command } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { labelledFolder } from "../labelled-folder.ts";
import { type Output, short, type View } from "../output.ts";
import { megabytes, uploadMissing } from "../upload.ts";
import { modelRegistryOf, withBy, withModelRegistry } from "./model-api.ts";

const view: View<ValidationView> = {
  name: ({ model }) => model,
  columns: [
    { head: "MODEL", of: ({ model }) => model },
    { head: "SOURCE", of: ({ source }) => source },
    { head: "SET", of: ({ digest }) => digest && short(digest) },
    { head: "FRAMES", of: ({ frames }) => frames },
    { head: "PUSHED", of: ({ pushedAt, pushedBy }) => pushedAt && `${pushedAt} by ${pushedBy}` },
    { head: "DIGEST", of: ({ digest }) => digest, wide: true },
  ],
};

export const validationPushCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("push")), io)
    .description("upload the frames on which challengers of a model are evaluated from now on")
    .argument("<model>", "the model's name; a version of it must be in the registry")
    .argument("<folder>", "JPEGs with labels.json (file -> class), or a folder for each class, as for models pack")
    .addHelpText(
      "after",
      "\nAt least 100 frames that no version of the model was trained on. The set is identified by its digest; the registry keeps it until\nanother is pushed. Pushing the same again changes nothing; frames that the registry has are not sent again.\nslices.json in the folder (file -> KEY=VALUE, e.g. site=north) names frames that retrained candidates are also judged on by themselves;\ndevices.json (file -> device) the devices that frames are from: frames of one device are not independent.\nA challenger that was judged before is judged on the new set by: tributary models judge",
    )
    .action(async (model: string, folder: string, options: { by: string }, command: Command) => {
      const output = outputOf(command, io);
      const registry = modelRegistryOf(command, io);
      const described = await labelledFolder(folder, io);
      const { items: versions } = await registry.models.list();
      if (!versions.some(({ name }) => name === model)) {
        const message = `There is no model ${model}: push a version of it first. See: tributary models list`;
        throw new CliError(exitCodes.notFound, message);
      }
      const { digest, manifest, parts } = described;
      const sent = await uploadMissing(registry, parts, io);
      const pushed = await registry.validation.push({ model, body: { manifestDigest: digest, by: options.by } });
      output.one({ ...pushed, sent }, model, () => {
        output.line(`${model} is evaluated on ${pushed.frames} frames: ${classesText(pushed)}`);
        const slices = Object.entries(slicesOf(manifest)).map(([slice, count]) => `${slice} ${count}`);
        if (slices.length > 1)
          output.line(`Slices, each of which a retrained candidate must keep: ${slices.join(", ")}`);
        output.line(`Set ${pushed.digest}; sent ${sent.files} of ${parts.length} files, ${megabytes(sent.bytes)} MB.`);
      });
    });

export const validationListCommand = (io: Io): Command =>
  withModelRegistry(new Command("list"))
    .description("the validation set of each model")
    .action(async (_options: object, command: Command) => {
      const { items } = await modelRegistryOf(command, io).validation.list();
      const nothing = "No model has validation frames. Push them: tributary validation push MODEL FOLDER";
      outputOf(command, io).list(items, view, nothing);
    });

export const validationDescribeCommand = (io: Io): Command =>
  withModelRegistry(new Command("describe"))
    .description("a model's validation frames: their digest, how many of each class, and who pushed them")
    .argument("<model>", "the model's name")
    .action(async (model: string, _options: object, command: Command) => {
      const found = await modelRegistryOf(command, io).validation.describe({ model });
      const output = outputOf(command, io);
      output.one(found, model, () => show(found, output));
    });

function show(found: ValidationDetail, output: Output): void {
  output.pairs([
    ["Model", found.model],
    ["Source", found.source === "pushed" ? "pushed" : "a folder in the registry's configuration"],
    ["Set", found.digest],
    ["Frames", found.frames],
    ["Classes", classesText(found)],
    ["MB", found.bytes && megabytes(found.bytes)],
    ["Pushed", found.pushedAt && `${found.pushedAt} by ${found.pushedBy}`],
  ]);
}

const classesText = ({ classes }: ValidationDetail): string =>
  Object.entries(classes ?? {})
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
