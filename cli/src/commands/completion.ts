import { Argument, Command } from "commander";
import { candidates, type Shell, shells } from "../completion.ts";
import type { Io } from "../context.ts";

export function completionCommand(io: Io): Command {
  return new Command("completion")
    .addArgument(new Argument("<shell>", "whose script").choices(Object.keys(shells)))
    .description("a script that completes commands, options and their choices")
    .addHelpText("after", "\nFor example: source <(tributary completion bash)")
    .action((shell: Shell) => io.stdout(shells[shell]));
}

/** The command that completion scripts call. */
export const completeCommand = (program: Command, io: Io): Command =>
  new Command("__complete")
    .argument("[words...]")
    .allowUnknownOption()
    .helpOption(false)
    .action((words: readonly string[]) => {
      for (const { word, about } of candidates(program, words)) {
        io.stdout(about === "" ? `${word}\n` : `${word}\t${about.replaceAll(/\s+/g, " ")}\n`);
      }
    });
