/** `tributary models push`: uploads the files of a package that the registry lacks, and lists it. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { packageFiles } from "@tributary/inference";
import { checkPackage } from "@tributary/model-store";
import { Command, InvalidArgumentError } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { megabytes, type Part, uploadMissing } from "../upload.ts";
import { WAIT, waitForGate } from "./gate-wait.ts";
import { modelRegistryOf, referenceOf, registryApi, withBy, withModelRegistry } from "./model-api.ts";

type Options = { readonly alias?: string; readonly by: string; readonly wait?: true };

export const modelsPushCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("push")), io)
    .description("upload a package to the registry, which validates, signs and lists it")
    .argument("<dir>", "folder of the package, as models pack makes it")
    .option("--alias <ALIAS>", "also give it an alias, e.g. challenger: then it is evaluated and rolled out", aliasName)
    .option("--wait", `with --alias challenger: ${WAIT}`)
    .addHelpText(
      "after",
      "\nPushing the same package again changes nothing; files that the registry has are not sent again.",
    )
    .action(async (dir: string, options: Options, command: Command) => {
      const output = outputOf(command, io);
      const registry = modelRegistryOf(command, io);
      if (options.wait && options.alias !== "challenger") {
        throw new CliError(exitCodes.usage, "--wait requires --alias challenger: only a challenger has a gate.");
      }
      const { manifest, digest } = await checkPackage(dir);
      const { size } = await stat(join(dir, packageFiles.manifest));
      const parts: Part[] = [
        ...Object.entries(manifest.files).map(([path, file]) => ({
          from: join(dir, path),
          digest: file.sha256,
          bytes: file.bytes,
        })),
        { from: join(dir, packageFiles.manifest), digest, bytes: size },
      ];
      const sent = await uploadMissing(registry, parts, io);
      const { alias, by } = options;
      const pushed = await registry.models.push({ body: { manifestDigest: digest, by } });
      const { name, version } = pushed;
      if (alias !== undefined) await registry.models.alias({ name, alias, body: { version, by } });
      const aliases = [...new Set([...pushed.aliases, ...(alias === undefined ? [] : [alias])])].sort();
      output.one({ ...pushed, aliases, sent }, referenceOf(pushed), () => {
        const { examination } = pushed;
        const known = examination === null ? ", already" : "";
        output.line(`${referenceOf(pushed)} is listed${known}: ${pushed.modelDigest}`);
        output.line(`Sent ${sent.files} of ${parts.length} files, ${megabytes(sent.bytes)} MB.`);
        if (examination !== null && "cells" in examination) {
          output.line(`Validated: a world model of ${examination.cells} contexts.`);
        } else if (examination !== null) {
          const { golden, latency, opset } = examination;
          output.line(
            `Validated: opset ${opset}; ${golden.frames} golden frames reproduced, ${golden.equal} of them to the bit; ${latency.p95Ms.toFixed(1)} ms a frame (p95), its budget is ${latency.budgetMs} ms.`,
          );
        }
        if (aliases.length > 0) output.line(`Aliases: ${aliases.join(", ")}.`);
      });
      if (options.wait) await waitForGate(registryApi(registry), pushed, { output, io });
    });

/** As the registry wants one, which sees it only once everything is uploaded and listed. */
function aliasName(text: string): string {
  if (/^[a-z][a-z0-9-]{0,31}$/.test(text)) return text;
  throw new InvalidArgumentError("expected at most 32 lower-case letters, digits and dashes, starting with a letter.");
}
