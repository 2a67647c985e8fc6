// Processes of one run: every child inherits the run's mark in its environment, whatever group or session it moves to.
import { readdirSync, readFileSync } from "node:fs";

/** The other processes whose environment has `variable=value`; none where there is no /proc. */
export function marked(variable, value) {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      if (!environment.includes(`${variable}=${value}`)) return [];
      return [{ pid, command: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 200) }];
    } catch {
      return [];
    }
  });
}

/** Kills all of them with SIGKILL; gives those that it found. */
export function killMarked(variable, value) {
  const found = marked(variable, value);
  for (const { pid } of found) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {}
  }
  return found;
}
