/** Whether an attack has its effect once the protection against it was removed. That a device is listed or not is no effect. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "@tributary/testing";
import { check, type Findings } from "../scenario.ts";
import type { Way } from "./way.ts";

export const missingModules = ({ control }: Way): readonly string[] =>
  Object.values(control.sabotage ?? {})
    .map((name) => `lab/sabotage/${name}.mjs`)
    .filter((file) => !existsSync(join(repositoryRoot, file)));

/** Of each run of the attack, or of its absence. */
export function controlFindings(
  way: Way,
  found: readonly Findings[],
  missing: readonly string[],
): readonly Findings[] {
  const name = "without its protection the attack is found";
  if (missing.length > 0) {
    const checks = [check(name, false, `there is no ${missing.join(", ")}`)];
    return [{ title: `control of ${way.name}`, checks, figures: {} }];
  }
  return found.map(({ title, checks, figures }) => {
    const failed = checks.filter((one) => !one.passed && !one.name.includes("list"));
    const what = failed.map((one) => `${one.name}: ${one.found}`).join("; ");
    return { title: `control of ${title}`, checks: [check(name, failed.length > 0, what || "nothing failed")], figures };
  });
}
