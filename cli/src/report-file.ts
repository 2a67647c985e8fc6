/** Where a page for people is written: a file, or stdout. */
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
  try {
    writeFileSync(target, page);
  } catch (error) {
    throw new CliError(exitCodes.failed, `Cannot write the report: ${reasonOf(error)}`);
  }
  output.line(`Wrote ${target}; open it in a browser.`);
}
