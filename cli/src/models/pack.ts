/** `tributary models pack`: makes a model package from an ONNX file and validation frames. */

import { type PackOptions, packModel } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { Command, Option } from "commander";
import { type Io, outputOf } from "../context.ts";
import { numberFrom, wholeFrom } from "../numbers.ts";

export function modelsPackCommand(io: Io): Command {
  return new Command("pack")
    .description("make a model package from an ONNX file, measured on validation frames")
    .argument("<dir>", "where the package goes; replaced as a whole")
    .requiredOption("--model <FILE>", "the ONNX file: one float32 picture tensor in, logits out, weights inside")
    .requiredOption("--labels <FILE>", "the classes in the order of the logits: one a line, or a JSON array")
    .requiredOption("--preprocess <FILE>", "preprocessor_config.json in Hugging Face's vocabulary")
    .requiredOption(
      "--validation <DIR>",
      "JPEG frames the model was not trained on: labels.json (file -> class), or a folder for each class",
    )
    .option("--name <NAME>", "name of the model; the folder's, unless told")
    .option("--version <VERSION>", "its version", "1.0.0")
    .option("--input <TENSOR>", "the picture's tensor; the only one, unless told")
    .option("--logits <TENSOR>", "the output with the logits; found by name or size, unless told")
    .option("--features <TENSOR>", 'the output with penultimate features; "features" if there is one, unless told')
    .addOption(
      new Option("--preprocessed-by <WHO>", "what a model server is sent: the JPEG, or the tensor made by us")
        .choices(["jpeg", "tensor"])
        .default("jpeg"),
    )
    .option("--hardware-class <CLASS>", "the devices it is made for; generic and any: all", "generic")
    .option("--latency-budget-ms <MS>", "time it may take for one frame there", numberFrom(1), 50)
    .option("--threads <N>", "threads for measuring", wholeFrom(1), 1)
    .option("--lineage <FILE>", "JSON object of texts: data set, training command, ...")
    .option("--cloud <DIR>", "package of the cloud model: also learn the first routing policy against it")
    .option("--policy <FILE>", "settings of that policy as JSON: budget, deadline, priority labels, guarantee, ...")
    .action(async (dir: string, options: PackOptions, command: Command) => {
      const output = outputOf(command, io);
      await packModel(dir, options, (line) => io.stderr(`${line}\n`));
      const { manifest, digest } = await loadPackage(dir);
      const { name, version, metrics } = manifest;
      io.stderr(`made ${name} ${version} in ${dir}; models push registers it, npm start in a clone runs it (--help)\n`);
      output.one({ dir, name, version, modelDigest: digest, metrics }, digest, () => output.line(digest));
    });
}
