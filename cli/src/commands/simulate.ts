/** `tributary router simulate`: the effect of another policy on the frames that were logged. */
import { createWriteStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { policyKey, type RoutingPolicy } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import { parsePolicy, points } from "@tributary/routing";
import { Command, InvalidArgumentError, Option } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Output, short, shown, type View } from "../output.ts";
import type { LoggedLine } from "../simulation/logged-line.ts";
import {
  LoggedFrames,
  type SimulatedBy,
  type Simulation,
  type SimulationPoint,
  simulate,
} from "../simulation/simulate.ts";
import { oneModel, readLogged, type SourceOptions, withSource } from "../simulation/source.ts";

type Options = SourceOptions & {
  readonly policy?: string;
  readonly arm?: string;
  readonly shares: readonly number[];
  readonly plot?: string;
  readonly export?: string;
};

const SHARES: readonly number[] = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1];

const DETAILS = `
Frames come from edge.predictions.v1, cloud.results.v1, classifications.v1 and ground-truth.v1, or with --from from a file that --export wrote.
The estimate uses the random sample alone: frames that were drawn with a logged propensity, answered by the cloud and
labelled ("tributary labels next"). The interval is the 95 % one for frames like these; it narrows with the labelled
draws. At the policy's own threshold it is compared with the edge alone, the cloud alone and as many frames sent by confidence,
margin and entropy. The policy is the one in force, or a file: a package's policy.json, or what
"tributary describe policy KEY -o json" prints, with what you change in it.

Examples:
  tributary router simulate --brokers 127.0.0.1:9092 --since 7d
  tributary router simulate --brokers 127.0.0.1:9092 --policy stricter.json --plot frontier.svg
  tributary router simulate --brokers 127.0.0.1:9092 --export frames.jsonl -o json
  tributary router simulate --from frames.jsonl --policy policy.json`;

export const simulateCommand = (io: Io): Command =>
  withSource(new Command("simulate"))
    .description("escalation share against accuracy of a policy, estimated from logged frames")
    .option("--policy <FILE>", "the policy to simulate (default: the current one)")
    .option("--arm <NAME>", "only frames of this experiment arm")
    .addOption(
      new Option("--shares <LIST>", "shares of frames sent, 0 to 1")
        .argParser(sharesOf)
        .default(SHARES, SHARES.join(",")),
    )
    .option("--plot <FILE>", "also draw the frontier, as SVG")
    .option("--export <FILE>", "also write the logged frames, as JSON lines")
    .addHelpText("after", DETAILS)
    .action(async (options: Options, command: Command) => {
      const output = outputOf(command, io);
      const isWanted = ({ arm }: LoggedLine) => options.arm === undefined || arm === options.arm;
      const { lines, policies } = await readLogged(
        options,
        io,
        options.policy === undefined ? "in force" : "none",
        isWanted,
      );
      const { modelDigest, ofModel } = oneModel(lines, options, policies);
      const policy =
        options.policy === undefined
          ? inForce(policies, modelDigest, options.target)
          : await policyFile(options.policy, options.target);
      const logged = new LoggedFrames(policy.labels, policies);
      for (const line of ofModel) logged.add(line);
      const simulation = simulate(logged, policy, modelDigest, options.shares);
      if (options.export !== undefined) await exportLines(options.export, ofModel);
      if (simulation.points.length === 0) throw nothingKnown(simulation);
      if (options.plot !== undefined) {
        const { simulationPicture } = await import("../simulation/picture.ts");
        await writeFile(options.plot, simulationPicture(simulation));
      }
      output.one(simulation, modelDigest, () => show(simulation, output));
    });

function inForce(policies: readonly RoutingPolicy[], modelDigest: string, target: string): SimulatedBy {
  const found = policies.find((policy) => policy.modelDigest === modelDigest && policy.cloudTarget === target);
  if (found !== undefined) return found;
  const key = policyKey(short(modelDigest), target);
  throw new CliError(exitCodes.notFound, `There is no policy for ${key}. Give one with --policy FILE.`);
}

async function policyFile(path: string, target: string): Promise<SimulatedBy> {
  try {
    const content = parsePolicy(JSON.parse(await readFile(path, "utf8")));
    return { ...content, cloudTarget: target, policyVersion: null };
  } catch (error) {
    const reason = error instanceof Failure ? error.message : reasonOf(error);
    throw new CliError(exitCodes.failed, `${path}: ${reason}`, { cause: error });
  }
}

async function exportLines(path: string, lines: readonly LoggedLine[]): Promise<void> {
  await pipeline(function* () {
    for (const line of lines) yield `${JSON.stringify(line)}\n`;
  }, createWriteStream(path));
}

const nothingKnown = ({ frames, drawn, labelled }: Simulation): CliError =>
  new CliError(
    exitCodes.failed,
    `Too little data: of ${frames} frames ${drawn} were drawn, ${labelled} of these have a label. Label some: tributary labels next`,
  );

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const view: View<SimulationPoint> = {
  name: ({ share }) => String(share),
  columns: [
    { head: "SENT", of: ({ share }) => percent(share) },
    { head: "SCORE ABOVE", of: ({ scoreMin }) => Number(scoreMin.toFixed(4)) },
    { head: "ACCURACY", of: ({ accuracy }) => percent(accuracy) },
    { head: "95 % INTERVAL", of: ({ lower, upper }) => `${percent(lower)} - ${percent(upper)}` },
    { head: "COST OF 1000", of: ({ costPer1000 }) => costPer1000 },
    { head: "KNOWN", of: ({ known }) => known, wide: true },
    { head: "STD ERROR", of: ({ standardError }) => standardError, wide: true },
  ],
};

const alternativesView: View<Simulation["alternatives"][number]> = {
  name: ({ name }) => name,
  columns: [
    { head: "INSTEAD", of: ({ name }) => INSTEAD[name] ?? `as many, by ${name}` },
    { head: "SENT", of: ({ share }) => percent(share) },
    { head: "ACCURACY", of: ({ accuracy }) => percent(accuracy) },
    { head: "95 % INTERVAL", of: ({ lower, upper }) => `${percent(lower)} - ${percent(upper)}` },
    { head: "THE POLICY HAS", of: ({ lead }) => points(lead) },
  ],
};

const INSTEAD: Readonly<Record<string, string>> = { edge: "the edge alone", cloud: "the cloud alone" };

/** With fewer labels the intervals are rough. */
const LABELS_FEW = 50;

function show(simulation: Simulation, output: Output): void {
  const { own, frames, drawn, labelled, sampleShare, costPerCall } = simulation;
  output.pairs([
    ["Model", simulation.modelDigest],
    ["Policy", simulation.policyVersion ?? "from file"],
    ["Frames", frames],
    ["Random sample", `${drawn} drawn (${percent(sampleShare)} expected), ${labelled} of them labelled`],
    ["Cost of a call", shown(costPerCall)],
  ]);
  output.line();
  output.list(simulation.points, view, "");
  if (own !== null) {
    output.line();
    output.line(
      `The policy's own threshold ${shown(own.scoreMin)} sends ${percent(own.share)}: accuracy ${percent(own.accuracy)}, from ${percent(own.lower)} to ${percent(own.upper)}.`,
    );
  }
  if (simulation.alternatives.length > 0) {
    output.line();
    output.list(simulation.alternatives, alternativesView, "");
  }
  for (const warning of simulation.warnings) output.line(`Warning: ${warning}.`);
  if (labelled < LABELS_FEW) output.line(`Only ${labelled} labelled draws: the intervals are rough.`);
  if (simulation.leftOut > 0) output.line(`${simulation.leftOut} frames of classes that the policy does not know.`);
}

function sharesOf(text: string): number[] {
  const shares = text.split(",").map(Number);
  if (shares.length > 0 && shares.every((share) => share >= 0 && share <= 1)) return shares.sort((a, b) => a - b);
  throw new InvalidArgumentError("expected numbers from 0 to 1, separated by commas.");
}
