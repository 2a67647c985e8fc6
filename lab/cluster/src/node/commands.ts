/** Programs of this machine, run to their end. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { Failure } from "@tributary/kernel";

/** Debian's programs for root are not on everybody's PATH. */
const SBIN = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
export const pathWith = (...first: readonly string[]): string =>
  [...first, ...(process.env.PATH ?? "").split(delimiter), ...SBIN].join(delimiter);

export function hasProgram(program: string): boolean {
  if (isAbsolute(program)) return existsSync(program);
  return pathWith()
    .split(delimiter)
    .some((folder) => existsSync(join(folder, program)));
}

/** Its standard output; throws a Failure with its error output when it does not end with 0. */
export function run(program: string, args: readonly string[], options: { readonly path?: string } = {}): string {
  const env = { ...process.env, PATH: options.path ?? pathWith() };
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", env });
  if (status === 0) return stdout;
  const why = error?.message ?? (stderr.trim() || stdout.trim() || `ended with ${status ?? signal}`);
  throw new Failure("command-failed", "ask-a-person", `${program} ${args.join(" ")}: ${why}`);
}

/** Whether it ended with 0. */
export function succeeds(program: string, args: readonly string[], options: { readonly path?: string } = {}): boolean {
  try {
    run(program, args, options);
    return true;
  } catch {
    return false;
  }
}
