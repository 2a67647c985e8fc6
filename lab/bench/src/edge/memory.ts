/** Memory of a few processes as if they were alone on the machine. */
import { readFileSync } from "node:fs";

/** Their PSS, were no other process to share their pages: a file's resident pages count once, as often as the process that
 * holds most of them has; anonymous pages count in each. */
export function megabytesAlone(pids: readonly number[]): number {
  const files = new Map<string, number>();
  let kilobytes = 0;
  for (const pid of pids) {
    for (const [mapping, resident] of residentOf(pid)) {
      if (mapping === "") kilobytes += resident;
      else files.set(mapping, Math.max(files.get(mapping) ?? 0, resident));
    }
  }
  for (const resident of files.values()) kilobytes += resident;
  return kilobytes / 1_024;
}

/** Resident kilobytes by mapped file; private pages of a mapping are anonymous, under "". */
function residentOf(pid: number): ReadonlyMap<string, number> {
  const resident = new Map<string, number>([["", 0]]);
  const add = (mapping: string, kilobytes: number) => resident.set(mapping, (resident.get(mapping) ?? 0) + kilobytes);
  let mapping = "";
  let rss = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const head = /^[0-9a-f]+-[0-9a-f]+ \S+ (\S+) (\S+) \d+ *(.*)$/.exec(line);
    if (head !== null) {
      mapping = head[3]?.startsWith("/") ? `${head[3]} ${head[1]}` : "";
      continue;
    }
    const [, key, value] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
    if (key === "Rss") rss = Number(value);
    // Written pages of a file's mapping are this process's own.
    if (key === "Anonymous") {
      add("", mapping === "" ? rss : Number(value));
      if (mapping !== "") add(mapping, rss - Number(value));
    }
  }
  return resident;
}
