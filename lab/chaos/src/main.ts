#!/usr/bin/env node
/** `npm run chaos -- NAME`: progress on standard error, a Markdown report on standard output, exit 1 when a check fails. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { reasonOf } from "@tributary/kernel";
import { Command, InvalidArgumentError } from "commander";
import { drills, scenarios } from "./index.ts";
import { type Drill, type Findings, markdownOf, passedAll, type Scenario } from "./scenario.ts";

type ReportFlags = { readonly json?: string; readonly keep?: true };
type Flags = ReportFlags & {
  readonly long?: true;
  readonly devices?: number;
  readonly fps?: number;
  readonly seconds?: number;
};

type DrillFlags = ReportFlags & { readonly [name: string]: number | boolean | readonly string[] };

const someOf =
  (among: readonly string[]) =>
  (text: string): readonly string[] => {
    const names = text.split(",");
    const unknown = names.find((name) => !among.includes(name));
    if (unknown === undefined) return names;
    throw new InvalidArgumentError(`"${unknown}" is not one of ${among.join(", ")}`);
  };

const whole = (text: string): number => {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("expected a whole number from 1");
};

const program = new Command("chaos")
  .description(
    "Breaks a running system on purpose; a verifier compares what the cameras produced with what Kafka holds.",
  )
  .showHelpAfterError()
  .configureOutput({ writeErr: (text) => process.stderr.write(text) });

for (const scenario of scenarios) {
  const { short, long } = scenario.settings;
  program
    .command(scenario.name)
    .description(scenario.summary)
    .option("--devices <N>", `agents (${short.devices}, long ${long.devices})`, whole)
    .option("--fps <N>", `frames per second of a device (${short.fps}, long ${long.fps})`, whole)
    .option("--seconds <N>", `how long cameras run (${short.seconds}, long ${long.seconds})`, whole)
    .option("--long", "the thorough run, minutes instead of seconds")
    .option("--json <FILE>", "also write all results as JSON")
    .option("--keep", "keep data and logs, and print their folder")
    .addHelpText("after", `\n${scenario.details}`)
    .action((flags: Flags) => run(scenario, flags));
}
for (const drill of drills) {
  const command = program.command(drill.name).description(drill.summary);
  for (const { name, about, value } of drill.options)
    command.option(`--${name} <N>`, value === 0 ? about : `${about} (${value})`, whole);
  for (const { name, about, among } of drill.choices ?? []) {
    command.option(`--${name} <NAMES>`, `${about}: some of ${among.join(",")}`, someOf(among));
  }
  for (const { name, about } of drill.flags ?? []) command.option(`--${name}`, about);
  command
    .option("--json <FILE>", "also write all results as JSON")
    .option("--keep", "keep data and logs, and print their folder")
    .addHelpText("after", `\n${drill.details}`)
    .action((flags: DrillFlags) => runDrill(drill, flags));
}
program.action(() => program.help({ error: true }));

// Child processes end with this process; see P2 of libs/testing/src/process.ts.
for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
  process.once(signal, () => process.exit(code));
}

await program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`chaos: ${reasonOf(error)}\n`);
  process.exitCode = 1;
});
process.exit();

function run(scenario: Scenario, flags: Flags): Promise<void> {
  const settings = { ...(flags.long ? scenario.settings.long : scenario.settings.short), ...given(flags) };
  return reported(scenario.name, flags, settings, (dir, log) => {
    log(`${settings.devices} devices, ${settings.fps} frames/s each, ${settings.seconds} s`);
    return scenario.run({ ...settings, dir, log });
  });
}

function runDrill(drill: Drill, flags: DrillFlags): Promise<void> {
  const options = Object.fromEntries(drill.options.map(({ name, value }) => [name, (flags[name] as number) ?? value]));
  const choices = Object.fromEntries(
    (drill.choices ?? []).map(({ name, among }) => [name, (flags[name] as readonly string[]) ?? among]),
  );
  const switched = Object.fromEntries((drill.flags ?? []).map(({ name }) => [name, flags[name] === true]));
  const settings = { ...options, ...choices, ...switched };
  return reported(drill.name, flags, settings, (dir, log) =>
    drill.run({ options, choices, flags: switched, dir, log }),
  );
}

async function reported(
  name: string,
  flags: ReportFlags,
  settings: object,
  work: (dir: string, log: (line: string) => void) => Promise<readonly Findings[]>,
): Promise<void> {
  const startedMs = performance.now();
  const dir = mkdtempSync(join(tmpdir(), `tributary-chaos-${name}-`));
  const log = (line: string) =>
    void process.stderr.write(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s  ${line}\n`);
  const tidy = () => {
    if (flags.keep) log(`data and logs: ${dir}`);
    else rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once("exit", tidy);
  try {
    const outcomes = await work(dir, log);
    process.stdout.write(`# chaos ${name}\n\n${markdownOf(outcomes)}`);
    if (flags.json !== undefined) {
      const document = { chaos: name, passed: passedAll(outcomes), settings, outcomes };
      writeFileSync(resolve(process.env.INIT_CWD ?? ".", flags.json), `${JSON.stringify(document, null, 2)}\n`);
    }
    if (!passedAll(outcomes)) process.exitCode = 1;
  } finally {
    process.off("exit", tidy);
    tidy();
  }
}

function given({ devices, fps, seconds }: Flags) {
  return { ...(devices && { devices }), ...(fps && { fps }), ...(seconds && { seconds }) };
}
