/**
 * Folders for what is made on the way, below a folder that instances may share: each is of one process. What killed processes left
 * is removed when another one starts; of another machine, where nobody can be asked for, after a day.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { identify, isAlive, placeOfProcesses } from "@tributary/kernel/processes";

const ELSEWHERE_MS_MAX = 86_400_000;
const NAME = /^(?<place>[0-9a-f]{12})-(?<pid>\d+)-(?<startedAt>\d*)$/;

/** Makes the folder of this process below `dir`, empty. */
export async function openWorkFolder(dir: string): Promise<string> {
  const { startedAt = "" } = identify(process.pid) ?? {};
  const own = join(dir, `${placeName()}-${process.pid}-${startedAt}`);
  await mkdir(dir, { recursive: true });
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    if (path === own || !(await isInUse(path, name))) await rm(path, { recursive: true, force: true });
  }
  await mkdir(own, { recursive: true });
  return own;
}

async function isInUse(path: string, name: string): Promise<boolean> {
  const { place, pid, startedAt = "" } = NAME.exec(name)?.groups ?? {};
  if (place === undefined) return false;
  if (place === placeName()) return isAlive({ pid: Number(pid), startedAt });
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs < ELSEWHERE_MS_MAX;
}

const placeName = (): string => createHash("sha256").update(placeOfProcesses()).digest("hex").slice(0, 12);
