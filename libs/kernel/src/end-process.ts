import { existsSync } from "node:fs";

/**
 * Ends this process with `code`, at once. `process.exit()` waits for every thread of it: a DNS lookup that no server answers holds one for 20 s
 * with usual settings, and a process that had stopped cleanly was killed meanwhile. execve() ends them all, and what takes its place only has
 * the code to give. No listener of `exit` is called. Where execve() is not possible, as on Windows, it is `process.exit()`.
 */
export function endProcess(code: number): never {
  try {
    // Where execve() fails, Node 24 aborts.
    if (existsSync(process.execPath))
      process.execve?.(process.execPath, [process.execPath, "-e", `process.exitCode = ${code}`], {});
  } catch {
    // Not on this platform.
  }
  process.exit(code);
}
