/** `lint` of a kind of specification, and what its other commands need to read one. */
import { readFileSync } from "node:fs";
import { text as textOf } from "node:stream/consumers";
import { reasonOf } from "@tributary/kernel";
import type { Command } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Linted, lineOf } from "../rollouts/lint.ts";

/** `parts`: what a specification without problems says of itself, e.g. "3 steps". */
export function addLint<Spec extends { readonly metadata: { readonly name: string } }>(
  command: Command,
  io: Io,
  lint: (text: string) => Linted<Spec>,
  parts: (spec: Spec) => string,
): void {
  command
    .command("lint")
    .argument("<file>", "specification in YAML; - reads stdin")
    .description("check a specification without a server: prints file, line, column and fix of each problem")
    .action(async (file: string, _options: object, own: Command) => {
      const output = outputOf(own, io);
      const { problems, spec } = lint(await readSpecFile(file));
      output.one({ file, problems }, file, () => {
        for (const problem of problems) output.line(lineOf(file, problem));
        if (spec !== null) output.line(`${file} is fine: ${spec.metadata.name}, ${parts(spec)}.`);
      });
      if (problems.length > 0) throw new CliError(exitCodes.failed, `${file}: ${problemsCounted(problems.length)}.`);
    });
}

export async function readSpecFile(file: string): Promise<string> {
  try {
    return file === "-" ? await textOf(process.stdin) : readFileSync(file, "utf8");
  } catch (error) {
    throw new CliError(exitCodes.usage, `${file} cannot be read: ${reasonOf(error)}`);
  }
}

export const problemsCounted = (problems: number): string => (problems === 1 ? "1 problem" : `${problems} problems`);
