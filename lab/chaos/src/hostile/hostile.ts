/**
 * Hostile registered devices attack the system beside benign ones, one attack after the other.
 *
 * Each attack is compared with the same devices alone, in alternating periods, with the rogue stopped in between (SIGSTOP):
 * both have the same machine, and the same effects of the previous attack. Each attack has its own rogue device, so that it
 * is listed for this attack only. Listing throttled devices starts a process: that happens once the benign devices have sent
 * everything, during the attack. The rogue is a separate process; it, the cloud's model and the gateway of people have the
 * lowest priority: in a deployment they have their own processors, and the measurement is about what devices share.
 *
 * Attacks of one world share a stack. A control has one of its own, from which the protection was removed (../control.ts).
 */
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { controlFindings, missingModules } from "../control.ts";
import type { Drill, Findings } from "../scenario.ts";
import { beside } from "./beside.ts";
import { openStage, type Stage, type StageOptions } from "./stage.ts";
import type { Way } from "./way.ts";
import { ways } from "./ways.ts";
import { withoutRouters } from "./without-routers.ts";

export const hostile: Drill = {
  name: "hostile",
  summary: "hostile registered devices, in several attacks, beside benign ones",
  details: `Each attack: the benign devices alone, then with the hostile one, in turns. Their cloud answers stay at 98 % of those without it, and their
PUBACK's p99 may double; labels of their frames are accepted, and each acknowledged frame is answered; what the attack writes stays
within its limits. Those that exceed a limit are listed by metrics and \`tributary get devices\`.

${ways.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join("\n")}`,
  options: [{ name: "seconds", about: "duration of each attack, and of the benign devices alone before", value: 40 }],
  choices: [{ name: "ways", about: "attacks of the hostile device", among: ways.map(({ name }) => name) }],
  flags: [{ name: "control", about: "remove the protection against each attack: its control, which has to fail" }],
  async run({ dir, log, options: { seconds = 40 }, choices, flags }) {
    // The benign devices are in this process: its garbage collections must not count as latency (the bridge's
    // small-heap.ts).
    for (const flag of ["--semi-space-growth-factor=1", "--no-parallel-scavenge"]) setFlagsFromString(flag);
    const chosen = ways.filter(({ name }) => choices?.ways?.includes(name) ?? true);
    if (flags?.control) return controls(chosen, { dir, seconds, log });
    const findings: Findings[] = [];
    for (const [world, some] of Map.groupBy(chosen, ({ world }) => world)) {
      const settings = { dir: join(dir, some[0]?.name ?? ""), world, seconds, log };
      await onStage(settings, async (stage) => {
        for (const way of some) findings.push(...(await attacked(way, stage)));
      });
    }
    return findings;
  },
};

async function controls(chosen: readonly Way[], settings: Omit<StageOptions, "world">): Promise<readonly Findings[]> {
  const findings: Findings[] = [];
  for (const way of chosen) {
    const missing = missingModules(way.control.sabotage);
    const [{ world, control, name }, dir] = [way, join(settings.dir, way.name)];
    settings.log(`control of ${name}${missing.length > 0 ? `: there is no ${missing.join(", ")}` : ""}`);
    const found: Findings[] = [];
    if (missing.length === 0) {
      await onStage({ ...settings, dir, world, control }, async (stage) => {
        found.push(...(await attacked(way, stage)));
      });
    }
    findings.push(...controlFindings(name, found, missing));
  }
  return findings;
}

async function onStage(options: StageOptions, act: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = await openStage(options);
  try {
    await act(stage);
  } finally {
    await stage.close();
  }
}

async function attacked(way: Way, stage: Stage): Promise<readonly Findings[]> {
  if (way.isWithoutRouters) return [await withoutRouters(way, stage)];
  const findings: Findings[] = [];
  for (const count of way.rogues ?? [1]) findings.push(await beside(way, stage, count));
  return findings;
}
