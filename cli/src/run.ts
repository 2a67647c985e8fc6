/** Runs one command line and returns its exit code. Never throws, never shows a stack trace. */
import { createRequire } from "node:module";
import { Failure, reasonOf } from "@tributary/kernel";
import { CommanderError } from "commander";
import type { Io } from "./context.ts";
import { CliError, type ExitCode, exitCodes } from "./exit-codes.ts";
import { printableLines } from "./output.ts";
import { inheritAll, programOf } from "./program.ts";

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

/** Failures caused by a file or folder of the command line, before the command did anything. */
const filesThatCannotBeUsed: ReadonlySet<string> = new Set([
  "gate-labels-differ",
  "gate-margins-invalid",
  "keys-missing",
  "model-external-data",
  "model-unfit",
  "model-unloadable",
  "pack-labels-differ",
  "pack-source-invalid",
  "passphrase-unreadable",
  "policy-settings-invalid",
  "tuf-key-unreadable",
  "validation-frames-invalid",
]);
/** Of a package, or of one of its documents: `package-file-missing`, `package-preprocessor-invalid`, … */
const blamesPackage = (code: string): boolean => code.startsWith("package-");

export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  // Not an option of the program: `models pack` has a --version of its own.
  if (argv[0] === "--version" || argv[0] === "-V") {
    io.stdout(`${version}\n`);
    return exitCodes.ok;
  }
  try {
    const program = await programOf(argv, io);
    inheritAll(program, (command) => {
      command.exitOverride().configureOutput({ writeOut: io.stdout, writeErr: io.stderr });
      command.configureHelp({ showGlobalOptions: true });
    });
    await program.parseAsync([...argv], { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage; // printed already
    io.stderr(`tributary: ${printableLines(reasonOf(error))}\n`);
    if (error instanceof CliError) return error.exitCode;
    if (!(error instanceof Failure)) io.stderr("This is a bug; please report it.\n");
    else if (filesThatCannotBeUsed.has(error.code) || blamesPackage(error.code)) return exitCodes.usage;
    return exitCodes.failed;
  }
}
