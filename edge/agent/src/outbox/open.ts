/**
 * Opens the outbox, also when its file is damaged.
 *
 * A damaged file is renamed with its -wal and -shm, for examination, and a new one takes its place: a device must not stop
 * answering for the sake of its pending records (G4). These are lost, and the event names the file. On a full disk the reserve
 * is given up: a boot that cannot be written could send none of its pending records.
 *
 * D2. The boot count is lost with the file. Services take a lower count for an older boot, whose reports were sent already, so a
 *     count is never below the hours since 2024: after the loss of its disk a device continues with a higher one, unless it
 *     booted more than once an hour all its life, or its clock is not set yet. Then its reports count again once it boots with
 *     a clock that is set. Acknowledgements of the old file have no effect (outbox.ts X2).
 * D3. Only the newest damaged files are kept: a failing disk must not fill itself with them (G9). */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { reasonOf } from "@tributary/kernel";
import type { DeviceTime } from "./age.ts";
import { troubleOf } from "./disk.ts";
import { OutboxEngine } from "./engine.ts";
import { Reserve } from "./reserve.ts";
import type { FromOutbox, OpenOptions } from "./rows.ts";

const ASIDE = ".damaged-";
const ASIDE_KEPT = 2;

export function openOutbox(
  options: OpenOptions,
  now: () => DeviceTime,
  wallTime: () => Date,
  post: (message: FromOutbox) => void,
): OutboxEngine {
  const setAside = (reason: string) => post({ kind: "setAside", file: setFileAside(options.file, wallTime()), reason });
  const reserve = new Reserve(options.file);
  const open = () => new OutboxEngine(options, now, post, { reserve });
  if (options.isDamaged && existsSync(options.file)) setAside("found damaged while open");
  try {
    return open();
  } catch (error) {
    const trouble = troubleOf(error);
    if (trouble === "full" && reserve.release()) return open();
    if (trouble !== "damaged") throw error;
    setAside(reasonOf(error));
    return open();
  }
}

/** Its new name. */
function setFileAside(file: string, at: Date): string {
  const kept = keptOf(file);
  const date = at.toISOString().replace(/[-:]|\.\d+/g, "");
  // Numbered, too: some clocks start at 1970 each time.
  const aside = `${file}${ASIDE}${(kept.at(-1)?.number ?? 0) + 1}-${date}`;
  for (const end of ["-wal", "-shm"]) if (existsSync(file + end)) renameSync(file + end, aside + end);
  renameSync(file, aside);
  for (const old of kept.slice(0, 1 - ASIDE_KEPT)) {
    for (const end of ["", "-wal", "-shm"]) rmSync(old.path + end, { force: true });
  }
  return aside;
}

/** Oldest first. */
function keptOf(file: string): readonly { readonly number: number; readonly path: string }[] {
  const start = `${basename(file)}${ASIDE}`;
  return readdirSync(dirname(file))
    .filter((name) => name.startsWith(start) && !/-(wal|shm)$/.test(name))
    .map((name) => ({ number: Number.parseInt(name.slice(start.length), 10) || 0, path: join(dirname(file), name) }))
    .sort((a, b) => a.number - b.number);
}
