/** Where simulations take logged frames from: Kafka, or a file that `router simulate --export` wrote. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { type RoutingPolicy, topics } from "@tributary/contracts";
import { reasonOf } from "@tributary/kernel";
import { type Command, InvalidArgumentError, Option } from "commander";
import { positive } from "../commands/options.ts";
import type { Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "../kafka-options.ts";
import { Progress } from "../progress.ts";
import type { LoggedLine } from "./logged-line.ts";

export type SourceOptions = KafkaOptions & {
  readonly from?: string;
  readonly model?: string;
  readonly target: string;
  readonly since: number;
  readonly framesMax: number;
};

/** The options that choose the frames. */
export const withSource = (command: Command): Command =>
  withKafka(command)
    .option("--from <FILE>", "logged frames as JSON lines, instead of Kafka")
    .option("--model <DIGEST>", "edge model, or the prefix of its digest; required if several have a policy")
    .option("--target <NAME>", "cloud target", "default")
    .addOption(
      new Option("--since <AGE>", "how far to look back, e.g. 30m, 24h or 7d")
        .argParser(ageOf)
        .default(24 * 3_600_000, "24h"),
    )
    .option("--frames-max <N>", "read at most this many frames", positive, 500_000);

export type Logged = {
  readonly lines: readonly LoggedLine[];
  /** In force. */
  readonly policies: readonly RoutingPolicy[];
  /** Those that experiments may name. */
  readonly versions: readonly RoutingPolicy[];
};

/** Reads the frames that `isWanted`, and of the same source the policies that are needed: `versions` beside those in force. */
export async function readLogged(
  options: SourceOptions,
  io: Io,
  needed: "none" | "in force" | "versions",
  isWanted: (line: LoggedLine) => boolean = () => true,
): Promise<Logged> {
  const log = options.from === undefined ? await kafkaLog(options, io) : fileLog(options.from);
  let read = 0;
  const progress = new Progress(io, () => `${read} frames read`);
  try {
    const policies = needed === "none" ? [] : await log.policies();
    const versions = needed === "versions" ? await log.versions() : [];
    const lines: LoggedLine[] = [];
    for await (const line of log.lines) {
      if (!isWanted(line)) continue;
      if (options.model !== undefined && !line.modelDigest.startsWith(options.model)) continue;
      lines.push(line);
      read++;
      if (read >= options.framesMax) break;
    }
    if (read >= options.framesMax) {
      io.stderr(`Only ${options.framesMax} frames were read: raise --frames-max, or shorten --since.\n`);
    }
    return { lines, policies, versions };
  } catch (error) {
    throw options.from === undefined ? kafkaFailed(options.brokers ?? [], error) : error;
  } finally {
    progress.end();
    await log.close();
  }
}

type Log = {
  readonly lines: AsyncIterable<LoggedLine>;
  readonly policies: () => Promise<readonly RoutingPolicy[]>;
  readonly versions: () => Promise<readonly RoutingPolicy[]>;
  readonly close: () => Promise<void>;
};

async function kafkaLog(options: SourceOptions, io: Io): Promise<Log> {
  const connection = connectionOf(options);
  const [{ KafkaReader }, { loggedFrames }, { standingPolicies }] = await Promise.all([
    import("@tributary/kafka"),
    import("./kafka-log.ts"),
    import("./standing-policies.ts"),
  ]);
  const reader = new KafkaReader({ ...connection, unavailableMsMax: 15_000 });
  let unreadable = 0;
  const range = { target: options.target, since: io.now() - options.since, signal: io.signal };
  return {
    lines: loggedFrames(reader, { ...range, unreadable: () => unreadable++ }),
    policies: () => standingPolicies(reader, topics.policies, io.signal),
    versions: () => standingPolicies(reader, topics.policyVersions, io.signal),
    close: async () => {
      await reader.close();
      if (unreadable > 0) io.stderr(`${unreadable} records or frames are invalid and were skipped.\n`);
    },
  };
}

function fileLog(path: string): Log {
  return {
    lines: (async function* () {
      const { parseLine } = await import("./logged-line.ts");
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
      throw new CliError(exitCodes.usage, "--from has no policies: give --policy.");
    },
    versions: async () => [],
    close: async () => {},
  };
}

/** Of several models, the one that has a policy for the target. */
export function oneModel(
  lines: readonly LoggedLine[],
  { model, target }: SourceOptions,
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

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function ageOf(text: string): number {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (number === undefined || unit === undefined)
    throw new InvalidArgumentError("expected a duration such as 30m, 24h or 7d.");
  return Number(number) * (UNITS[unit] ?? 0);
}
