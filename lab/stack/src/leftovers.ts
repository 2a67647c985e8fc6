/** The state that a run leaves in its folder for the next: Kafka's data, the registry, kept frames and trainings, the devices and their
 * models. A run of another task must not use it: devices would continue with its models, and answers to its frames would arrive. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LEFT = ["kafka", "registry", "root-keys", "frame-archive", "trainer", "devices", "devices.json", "logs"];
const CLASSES = "classes.json";
export const EARLIER = "earlier";

export function forget(dir: string): void {
  for (const name of [...LEFT, CLASSES]) rmSync(join(dir, name), { recursive: true, force: true });
}

/** Moves what a run of other classes left to `earlier`, in place of what was put there before. Returns whether there was any. */
export function putAside(dir: string, classes: readonly string[]): boolean {
  const file = join(dir, CLASSES);
  const now = JSON.stringify(classes);
  const isOther = existsSync(file) && readFileSync(file, "utf8") !== now;
  if (isOther) {
    const earlier = join(dir, EARLIER);
    rmSync(earlier, { recursive: true, force: true });
    mkdirSync(earlier, { mode: 0o700 });
    for (const name of [...LEFT, CLASSES])
      if (existsSync(join(dir, name))) renameSync(join(dir, name), join(earlier, name));
  }
  writeFileSync(file, now);
  return isOther;
}
