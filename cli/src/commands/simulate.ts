/** `tributary router simulate`: the effect of another policy on the frames that were logged. */
import { createReadStream, createWriteStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { policyKey, type RoutingPolicy } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import { parsePolicy, points } from "@tributary/routing";
import { Command, InvalidArgumentError, Option } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "../kafka-options.ts";
import { type Output, short, shown, type View } from "../output.ts";
import { Progress } from "../progress.ts";
import type { LoggedLine } from "../simulation/logged-line.ts";
import {
  LoggedFrames,
  type SimulatedBy,
  type Simulation,
  type SimulationPoint,
  simulate,
} from "../simulation/simulate.ts";
import { positive } from "./options.ts";

type Options = KafkaOptions & {
  readonly from?: string;
  readonly policy?: string;
  readonly model?: string;
  readonly target: string;
  readonly arm?: string;
  readonly since: number;
  readonly shares: readonly number[];
  readonly framesMax: number;
  readonly plot?: string;
  readonly export?: string;
};

/** The input: logged frames, and the policies of the same source. */
type Log = {
  readonly lines: AsyncIterable<LoggedLine>;
  readonly policies: () => Promise<readonly RoutingPolicy[]>;
  readonly close: () => Promise<void>;
};

const SHARES: readonly number[] = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1];

const DETAILS = `
Frames come from edge.predictions.v1, cloud.results.v1 and ground-truth.v1, or with --from from a file that --export wrote.
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
  withKafka(new Command("simulate"))
    .description("escalation share against accuracy of a policy, estimated from logged frames")
    .option("--from <FILE>", "logged frames as JSON lines, instead of Kafka")
    .option("--policy <FILE>", "the policy to simulate (default: the current one)")
    .option("--model <DIGEST>", "edge model, or the prefix of its digest; required if several have a policy")
    .option("--target <NAME>", "cloud target", "default")
    .option("--arm <NAME>", "only frames of this experiment arm")
    .addOption(
      new Option("--since <AGE>", "how far to look back, e.g. 30m, 24h or 7d")
        .argParser(ageOf)
        .default(24 * 3_600_000, "24h"),
    )
    .addOption(
      new Option("--shares <LIST>", "shares of frames sent, 0 to 1")
        .argParser(sharesOf)
        .default(SHARES, SHARES.join(",")),
    )
    .option("--frames-max <N>", "read at most this many frames", positive, 500_000)
    .option("--plot <FILE>", "also draw the frontier, as SVG")
    .option("--export <FILE>", "also write the logged frames, as JSON lines")
    .addHelpText("after", DETAILS)
    .action(async (options: Options, command: Command) => {
      const output = outputOf(command, io);
      const log = options.from === undefined ? await kafkaLog(options, io) : fileLog(options.from);
      let read = 0;
      const progress = new Progress(io, () => `${read} frames read`);
      let lines: LoggedLine[];
      let policies: readonly RoutingPolicy[];
      try {
        policies = options.policy === undefined ? await log.policies() : [];
        lines = await collect(log.lines, options, () => read++);
      } catch (error) {
        throw options.from === undefined ? kafkaFailed(options.brokers ?? [], error) : error;
      } finally {
        progress.end();
        await log.close();
      }
      const { modelDigest, ofModel } = oneModel(lines, options, policies);
      const policy =
        options.policy === undefined
          ? inForce(policies, modelDigest, options.target)
          : await policyFile(options.policy, options.target);
      if (lines.length >= options.framesMax) {
        io.stderr(`Only ${options.framesMax} frames were read: raise --frames-max, or shorten --since.\n`);
      }
      const logged = new LoggedFrames(policy.labels);
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

async function collect(lines: AsyncIterable<LoggedLine>, options: Options, seen: () => void): Promise<LoggedLine[]> {
  const taken: LoggedLine[] = [];
  for await (const line of lines) {
    if (options.arm !== undefined && line.arm !== options.arm) continue;
    if (options.model !== undefined && !line.modelDigest.startsWith(options.model)) continue;
    taken.push(line);
    seen();
    if (taken.length >= options.framesMax) break;
  }
  return taken;
}

async function kafkaLog(options: Options, io: Io): Promise<Log> {
  const connection = connectionOf(options);
  const [{ KafkaReader }, { loggedFrames }, { standingPolicies }] = await Promise.all([
    import("@tributary/kafka"),
    import("../simulation/kafka-log.ts"),
    import("../simulation/standing-policies.ts"),
  ]);
  const reader = new KafkaReader({ ...connection, unavailableMsMax: 15_000 });
  let unreadable = 0;
  const range = { target: options.target, since: io.now() - options.since, signal: io.signal };
  return {
    lines: loggedFrames(reader, { ...range, unreadable: () => unreadable++ }),
    policies: () => standingPolicies(reader, io.signal),
    close: async () => {
      await reader.close();
      if (unreadable > 0) io.stderr(`${unreadable} records or frames are invalid and were skipped.\n`);
    },
  };
}

function fileLog(path: string): Log {
  return {
    lines: (async function* () {
      const { parseLine } = await import("../simulation/logged-line.ts");
      let number = 0;
      try {
        for await (const text of createInterface({
          input: createReadStream(path),
          crlfDelay: Number.POSITIVE_INFINITY,
        })) {
          number++;
          if (text.trim() !== "") yield parseLine(text, number);
        }
      } catch (error) {
        throw new CliError(exitCodes.failed, `${path}: ${reasonOf(error)}`, { cause: error });
      }
    })(),
    policies: async () => {
      throw new CliError(exitCodes.usage, "--from has no policy: give --policy FILE.");
    },
    close: async () => {},
  };
}

/** Of several models, the one that has a policy for the target. */
function oneModel(
  lines: readonly LoggedLine[],
  { model, target }: Options,
  policies: readonly RoutingPolicy[],
): { readonly modelDigest: string; readonly ofModel: readonly LoggedLine[] } {
  const models = new Map<string, number>();
  for (const { modelDigest } of lines) models.set(modelDigest, (models.get(modelDigest) ?? 0) + 1);
  if (models.size === 0) {
    const of = model === undefined ? "" : ` of model ${model}`;
    throw new CliError(exitCodes.notFound, `No logged frame${of}. Look further back with --since, e.g. --since 7d.`);
  }
  const routed = [...models.keys()].filter((digest) =>
    policies.some(({ modelDigest, cloudTarget }) => modelDigest === digest && cloudTarget === target),
  );
  const [only, ...others] = routed.length === 1 ? routed : models.keys();
  if (only === undefined || others.length > 0) {
    const list = [...models].map(([digest, frames]) => `  ${digest || "(none)"} (${frames} frames)`).join("\n");
    throw new CliError(exitCodes.usage, `Frames of several models; choose one with --model:\n${list}`);
  }
  return { modelDigest: only, ofModel: lines.filter(({ modelDigest }) => modelDigest === only) };
}

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

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function ageOf(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (number === undefined || unit === undefined)
    throw new InvalidArgumentError("expected a duration such as 30m, 24h or 7d.");
  return Number(number) * (UNITS[unit] ?? 0);
}
