/** `tributary models pack`: makes a model package from an ONNX file and validation frames. */

import { type PackOptions, packModel } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { Command, Option } from "commander";
import { type Io, outputOf } from "../context.ts";
import { numberFrom, wholeFrom } from "../numbers.ts";

export function modelsPackCommand(io: Io): Command {
  return new Command("pack")
    .description("make a model package from an ONNX file, measured on validation frames")
    .argument("<dir>", "folder of the package; it is replaced")
    .requiredOption("--model <FILE>", "the ONNX file: one float32 picture tensor in, logits out, weights inside")
    .requiredOption("--labels <FILE>", "the classes in the order of the logits: one a line, or a JSON array")
    .requiredOption("--preprocess <FILE>", "preprocessor_config.json in Hugging Face's vocabulary")
    .requiredOption(
      "--validation <DIR>",
      "JPEG frames the model was not trained on: labels.json (file -> class), or a folder for each class",
    )
    .option(
      "--golden <DIR>",
      "JPEGs with the trainer's input tensors beside them (NAME.jpg, NAME.npy: float32 as the model takes it, without the batch): the golden frames; a preprocessing that makes other tensors is refused, with its fault named",
    )
    .option("--name <NAME>", "name of the model (default: the folder's)")
    .option("--version <VERSION>", "its version", "1.0.0")
    .option("--input <TENSOR>", "the picture's tensor (default: the only one)")
    .option("--logits <TENSOR>", "the output with the logits (default: found by name or size)")
    .option("--features <TENSOR>", 'the output with penultimate features (default: "features", if there is one)')
    .addOption(
      new Option("--preprocessed-by <WHO>", "input of a model server: the JPEG, or a tensor that we preprocess")
        .choices(["jpeg", "tensor"])
        .default("jpeg"),
    )
    .option("--hardware-class <CLASS>", "the devices it is made for; generic and any: all", "generic")
    .option("--latency-budget-ms <MS>", "latency budget of one frame there", numberFrom(1), 50)
    .option("--threads <N>", "threads for measuring", wholeFrom(1), 1)
    .option("--lineage <FILE>", "JSON object of strings: data set, training command, ...")
    .option("--cloud <DIR>", "package of the cloud model: also learns the first routing policy against it")
    .option("--policy <FILE>", "settings of that policy as JSON: budget, deadline, priority labels, guarantee, ...")
    .action(async (dir: string, options: PackOptions, command: Command) => {
      const output = outputOf(command, io);
      await packModel(dir, options, (line) => io.stderr(`${line}\n`));
      const { manifest, digest } = await loadPackage(dir);
      const { name, version, metrics } = manifest;
      io.stderr(
        `made ${name} ${version} in ${dir}; push it with models push, or run it in a clone with npm start (--help)\n`,
      );
      output.one({ dir, name, version, modelDigest: digest, metrics }, digest, () => output.line(digest));
    });
}
