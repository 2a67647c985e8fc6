/** `tributary world`: world models, tables of how often each class is seen in a context. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "@tributary/kernel";
import { loadPackage, loadWorld, type WorldPackage, writeWorld } from "@tributary/model-store";
import { parseWorldTable, trainWorld, type WorldFrame, type WorldTable } from "@tributary/world";
import { Command } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "../kafka-options.ts";
import { fetchPackage, withScratch } from "../models/fetched.ts";
import { modelApiOf, modelRegistryOf, versionIn, withModelRegistry } from "../models/model-api.ts";
import { numberFrom } from "../numbers.ts";
import { waitingFor } from "../progress.ts";
import type { LoggedLine } from "../simulation/logged-line.ts";

const DAY_MS = 86_400_000;
const STRENGTH = 20;

type InitOptions = {
  readonly like: string;
  readonly factors: string;
  readonly name: string;
  readonly strength: number;
};
type TrainOptions = KafkaOptions & {
  readonly from: string;
  readonly days: number;
  readonly target: string;
  readonly version?: string;
};

export function worldCommand(io: Io): Command {
  const command = new Command("world").description("world models: how often each class is seen in a context");
  command
    .command("init")
    .description("make the first one, without counts: every context has the classes that the model was measured on")
    .argument("<dir>", "folder of the package; it is replaced")
    .requiredOption("--like <DIR>", "package of the model whose answers it is for: its classes, and how often each is")
    .requiredOption("--factors <FILE>", "what a context is made of, as JSON (below)")
    .option("--name <NAME>", "name of the world model", "world")
    .option("--strength <FRAMES>", "frames that a cell takes over from the one above it", numberFrom(1), STRENGTH)
    .addHelpText("after", FACTORS_HELP)
    .action((dir: string, options: InitOptions, own: Command) => init(dir, options, outputOf(own, io)));
  withModelRegistry(withKafka(command.command("train")))
    .description("make the next version from the frames of the last days whose class is known")
    .argument("<dir>", "folder of the new package; it is replaced")
    .requiredOption("--from <MODEL>", "the present one, whose factors, classes and name it keeps: folder or NAME@ALIAS")
    .option("--version <VERSION>", "of the new one; by default the time, as 2026.11.29-0600")
    .option("--days <N>", "how far back", numberFrom(0), 7)
    .option("--target <NAME>", "the cloud model whose answers count", "default")
    .addHelpText("after", TRAIN_HELP)
    .action((dir: string, options: TrainOptions, own: Command) => train(dir, options, own, io));
  return command;
}

const FACTORS_HELP = `
The factors, in the order in which they refine each other:

  [
    { "name": "place", "kind": "text" },
    { "name": "hour", "kind": "number", "min": 0, "max": 24, "edges": [6, 10, 16, 20] },
    { "name": "weather", "kind": "text", "values": ["clear", "rain", "snow"] }
  ]

Devices name the package in world.package of their configuration, and where contexts come from in world.context.`;

const TRAIN_HELP = `
Frames of the random sample count, each by the inverse of its propensity, with the label of a person or, without one, the
cloud's answer. Weekly, as a CronJob: k8s/base/world-training.yaml. Push it with: tributary models push DIR --alias challenger`;

async function init(
  dir: string,
  { like, factors, name, strength }: InitOptions,
  output: ReturnType<typeof outputOf>,
): Promise<void> {
  const { labels, confusion, digest } = await loadPackage(like);
  const counts = labels.map((_, i) => 1 + (confusion?.counts[i] ?? []).reduce((sum, n) => sum + n, 0));
  const total = counts.reduce((sum, n) => sum + n, 0);
  const prior = counts.map((n) => n / total);
  const table = parseWorldTable({
    formatVersion: 1,
    labels,
    factors: await jsonOf(factors),
    prior,
    strength,
    cells: {},
  });
  await written(
    dir,
    { table, name, version: "0.0.0", lineage: { perception: digest, training: "none" }, metrics: {} },
    output,
  );
}

async function train(dir: string, options: TrainOptions, command: Command, io: Io): Promise<void> {
  const output = outputOf(command, io);
  const { manifest, table: before, digest: parent } = await presentOf(options.from, command, io);
  const connection = connectionOf(options);
  const since = io.now() - options.days * DAY_MS;
  const frames = await waitingFor(io)("reading frames", framesSince(connection, options.target, since, io)).catch(
    (error: unknown) => {
      throw kafkaFailed(connection.brokers, error);
    },
  );
  const { table, frames: used, leftOut, cellsLeftOut } = trainedOf(before, frames);
  const lineage = {
    parent,
    training: `tributary world train, ${used} frames since ${new Date(since).toISOString()}`,
    ...Object.fromEntries(Object.entries(leftOut).map(([why, count]) => [`left out, ${why}`, String(count)])),
  };
  for (const [why, count] of Object.entries(leftOut)) io.stderr(`left out ${count} frames: ${why}\n`);
  if (cellsLeftOut > 0) io.stderr(`left out ${cellsLeftOut} cells that a device names alone: too many for one\n`);
  const metrics = { frames: used, cells: Object.keys(table.cells).length };
  await written(
    dir,
    { table, name: manifest.name, version: options.version ?? versionAt(io.now()), lineage, metrics },
    output,
  );
}

async function presentOf(reference: string, command: Command, io: Io): Promise<WorldPackage> {
  const isFolder = await stat(reference).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) return loadWorld(reference);
  return withScratch(async (scratch) => {
    const { models } = modelApiOf(command, io);
    const { modelDigest: digest } = versionIn(await models.versions(), reference);
    const dir = join(scratch, "package");
    await fetchPackage(modelRegistryOf(command, io), digest, dir, io);
    return loadWorld(dir, { digest });
  });
}

/** 2026.11.29-0600, of UTC. */
export function versionAt(now: number): string {
  const [date = "", time = ""] = new Date(now).toISOString().split("T");
  return `${date.replaceAll("-", ".")}-${time.slice(0, 5).replace(":", "")}`;
}

function trainedOf(before: WorldTable, frames: readonly WorldFrame[]) {
  try {
    return trainWorld(before, frames);
  } catch (error) {
    throw new CliError(exitCodes.failed, `${reasonOf(error)}. Do devices have world.context, and a random sample?`);
  }
}

type Written = Omit<Parameters<typeof writeWorld>[1], "hardwareClass">;

async function written(dir: string, parts: Written, output: ReturnType<typeof outputOf>): Promise<void> {
  const modelDigest = await writeWorld(dir, { hardwareClass: "generic", ...parts });
  const { name, version, metrics } = parts;
  output.one({ dir, name, version, modelDigest, metrics }, modelDigest, () => output.line(modelDigest));
}

async function framesSince(
  connection: ReturnType<typeof connectionOf>,
  target: string,
  since: number,
  { signal }: Io,
): Promise<readonly WorldFrame[]> {
  const [{ KafkaReader }, { loggedFrames }] = await Promise.all([
    import("@tributary/kafka"),
    import("../simulation/kafka-log.ts"),
  ]);
  const reader = new KafkaReader(connection);
  try {
    const frames: WorldFrame[] = [];
    for await (const line of loggedFrames(reader, { target, since, signal, unreadable: () => undefined })) {
      const frame = frameOf(line);
      if (frame !== null) frames.push(frame);
    }
    return frames;
  } finally {
    await reader.close();
  }
}

/** Null: its class or its context is not known, or the random sample did not draw it. */
export function frameOf({ frameId, drawn, propensity, context, truth, cloudLabel }: LoggedLine): WorldFrame | null {
  const label = truth ?? cloudLabel;
  if (!drawn || context === null || label === null) return null;
  return {
    context: contextOf(context),
    label,
    weight: 1 / propensity,
    deviceId: frameId.slice(0, frameId.indexOf(":")),
  };
}

/** Null: what a device sent is none. */
function contextOf(text: string): WorldFrame["context"] {
  try {
    const json: unknown = JSON.parse(text);
    return json !== null && typeof json === "object" && !Array.isArray(json) ? { ...json } : null;
  } catch {
    return null;
  }
}

async function jsonOf(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new CliError(exitCodes.usage, `${file}: ${reasonOf(error)}`);
  }
}
