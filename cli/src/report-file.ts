/** Where what a command makes is written: a file, or stdout. */
import { writeFileSync } from "node:fs";
import { reasonOf } from "@tributary/kernel";
import { Command } from "commander";
import type { Context } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";

export const reportOption = (command: Command, fileName: string): Command =>
  command.option(
    "-o, --output <FILE>",
    `where to write it; - is stdout. Default: ${fileName}, or stdout if that is not a terminal`,
  );

/** `file`: as it was given; `usual`: its name if stdout is a terminal. */
export function writeReport({ io, output }: Context, page: Uint8Array, file: string | undefined, usual: string): void {
  const target = file ?? (io.isOutputTerminal ? usual : "-");
  if (target === "-") {
    io.stdout(Buffer.from(page).toString("utf8"));
    return;
  }
  writeFile(target, page);
  output.line(`Wrote ${target}; open it in a browser.`);
}

export function writeFile(file: string, content: Uint8Array | string): void {
  try {
    writeFileSync(file, content);
  } catch (error) {
    throw new CliError(exitCodes.failed, `Cannot write ${file}: ${reasonOf(error)}`);
  }
}
