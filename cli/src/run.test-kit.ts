/** The CLI within the test's process: what a command line writes, and with which code it exits. */
import { run } from "./run.ts";

export type Ran = {
  readonly code: number;
  /** Both outputs, as a terminal shows them. */
  readonly text: string;
  readonly stdout: string;
};

export async function runHere(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  let text = "";
  let stdout = "";
  // commander reads options from the process's environment.
  Object.assign(process.env, env);
  const code = await run(argv, {
    stdout: (piece) => {
      text += piece;
      stdout += piece;
    },
    stderr: (piece) => {
      text += piece;
    },
    color: false,
    isOutputTerminal: false,
    isTerminal: false,
    env: { USER: "ada", ...env },
    now: Date.now,
    signal: new AbortController().signal,
  });
  return { code, text: text.trimEnd(), stdout };
}
