/** Whether a fault has its effect once the protection against it was removed. That a device is listed or not is no effect. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { repositoryRoot } from "@tributary/testing";
import { check, type Findings } from "./scenario.ts";

/** By the process's name: the module of lab/sabotage. */
export type Sabotage = { readonly [process: string]: string };

export const missingModules = (sabotage: Sabotage = {}): readonly string[] =>
  Object.values(sabotage)
    .map((name) => `lab/sabotage/${name}.mjs`)
    .filter((file) => !existsSync(join(repositoryRoot, file)));

/** Of each run without the protection, or of its absence. */
export function controlFindings(
  name: string,
  found: readonly Findings[],
  missing: readonly string[],
): readonly Findings[] {
  const what = "without its protection the fault is found";
  if (missing.length > 0) {
    const checks = [check(what, false, `there is no ${missing.join(", ")}`)];
    return [{ title: `control of ${name}`, checks, figures: {} }];
  }
  return found.map(({ title, checks, figures }) => {
    const failed = checks.filter((one) => !one.passed && !one.name.includes("list"));
    const names = failed.map((one) => `${one.name}: ${one.found}`).join("; ");
    return {
      title: `control of ${title}`,
      checks: [check(what, failed.length > 0, names || "nothing failed")],
      figures,
    };
  });
}
