/** `get|describe topics`: the contract's topics and, with brokers, their state in a cluster. */
import { dlqOf, type Topic, topics } from "@tributary/contracts";
import { Command } from "commander";
import type { Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "../kafka-options.ts";
import type { View } from "../output.ts";
import { waitingFor } from "../progress.ts";
import { watchable, watched } from "../watch.ts";

type Live = { readonly partitions: number; readonly records: number; readonly leaderless: number };
type Row = {
  readonly name: string;
  readonly key: string;
  readonly kind: string;
  readonly retentionMs: number | null;
  readonly public: boolean;
  readonly writtenBy: string;
  readonly holds: string;
  readonly record: string;
  readonly schemaVersion: number;
  readonly schemaId: number;
  /** Absent without brokers, null where the cluster lacks the topic. */
  readonly live?: Live | null;
};

const KEYS: Readonly<Record<Topic["key"], string>> = {
  device: "device",
  policy: "model|target",
  "policy-version": "version",
  model: "name[/version]",
  rollout: "uid",
  experiment: "uid",
  verdict: "verdict id",
  training: "run id",
  checkpoint: "slot/part",
};

const rowOf = (topic: Topic): Row => ({
  name: topic.name,
  key: KEYS[topic.key],
  kind: topic.kind,
  retentionMs: topic.kind === "events" ? topic.retentionMs : null,
  public: topic.public,
  writtenBy: topic.writtenBy,
  holds: topic.holds,
  record: topic.codec.name,
  schemaVersion: topic.codec.current.version,
  schemaId: topic.codec.current.id,
});

const HOUR = 3_600_000;
const kept = ({ retentionMs }: Row): string => {
  if (retentionMs === null) return "newest of each key";
  if (retentionMs === Number.POSITIVE_INFINITY) return "unlimited";
  const hours = retentionMs / HOUR;
  return hours % 24 === 0 ? `${hours / 24} d` : `${hours} h`;
};
const liveOf = (row: Row, of: (live: Live) => unknown): unknown =>
  row.live === undefined ? undefined : row.live === null ? "missing" : of(row.live);

const view: View<Row> = {
  name: (row) => row.name,
  columns: [
    { head: "TOPIC", of: (row) => row.name },
    { head: "KEY", of: (row) => row.key },
    { head: "KEPT", of: kept },
    { head: "PUBLIC", of: (row) => (row.public ? "yes" : "no") },
    { head: "RECORD", of: (row) => `${row.record} v${row.schemaVersion}` },
    { head: "PARTITIONS", of: (row) => liveOf(row, ({ partitions }) => partitions) },
    { head: "RECORDS", of: (row) => liveOf(row, ({ records }) => records) },
    { head: "WRITTEN BY", of: (row) => row.writtenBy, wide: true },
    { head: "SCHEMA ID", of: (row) => row.schemaId, wide: true },
    { head: "HOLDS", of: (row) => row.holds, wide: true },
  ],
};

export const getTopics = (io: Io): Command =>
  withKafka(watchable(new Command("topics")))
    .alias("topic")
    .description("Tributary's topics; with --brokers also their state in the cluster")
    .action((_options: object, command: Command) =>
      watched(command, io, async ({ output }) => {
        const rows = Object.values(topics).map((topic) => rowOf(topic as Topic));
        output.list(await withLive(rows, command.opts<KafkaOptions>(), io), view, "");
      }),
    );

export const describeTopic = (io: Io): Command =>
  withKafka(watchable(new Command("topic")))
    .alias("topics")
    .argument("<name>", "with or without the deployment's prefix")
    .description("one topic, and its schema field by field")
    .action((name: string, _options: object, command: Command) =>
      watched(command, io, async ({ output }) => {
        const options = command.opts<KafkaOptions>();
        const wanted = name.startsWith(options.prefix) ? name.slice(options.prefix.length) : name;
        const topic = Object.values(topics).find((one) => one.name === wanted) as Topic | undefined;
        if (topic === undefined) {
          const known = "See: tributary get topics -o name";
          throw new CliError(exitCodes.notFound, `${wanted} is not a topic of Tributary. ${known}`);
        }
        const [row = rowOf(topic)] = await withLive([rowOf(topic)], options, io);
        const { schema } = topic.codec.current;
        output.one({ ...row, schema }, row.name, () => {
          output.pairs([
            ["Topic", options.prefix + row.name],
            ["Holds", row.holds],
            ["Key", row.key],
            ["Kept", kept(row)],
            ["Public", row.public ? "yes" : "no"],
            ["Written by", row.writtenBy],
            ["Subject", `${options.prefix}${row.name}-value`],
            ["Schema", `${row.record} v${row.schemaVersion}, registry id ${row.schemaId}`],
            ["Dead letters", dlqOf(row.name, "<group>")],
            ["Partitions", liveOf(row, ({ partitions }) => partitions)],
            ["Records", liveOf(row, ({ records }) => records)],
          ]);
          output.line();
          output.line(output.style("bold", "Fields"));
          const { fields } = schema as { fields: readonly { name: string; type: unknown; doc?: string }[] };
          output.pairs(
            fields.map((field) => [field.name, `${typeText(field.type)}. ${field.doc ?? ""}`] as const),
            "  ",
          );
        });
      }),
    );

/** A type in a word or two; records by name. */
export function typeText(type: unknown): string {
  if (typeof type === "string") return type;
  if (Array.isArray(type)) return type.map(typeText).join(" or ");
  const complex = type as { type?: unknown; name?: string; items?: unknown; values?: unknown; logicalType?: string };
  if (complex.logicalType !== undefined) return complex.logicalType;
  if (complex.type === "array") return `array of ${typeText(complex.items)}`;
  if (complex.type === "map") return `map of ${typeText(complex.values)}`;
  return complex.name === undefined ? typeText(complex.type) : `${complex.type} ${complex.name}`;
}

async function withLive(rows: readonly Row[], options: KafkaOptions, io: Io): Promise<readonly Row[]> {
  if (options.brokers === undefined) return rows;
  const connection = connectionOf(options);
  const { KafkaInspector } = await import("@tributary/kafka");
  const inspector = new KafkaInspector(connection);
  const look = async (): Promise<readonly Row[]> => {
    const states = new Map((await inspector.topics()).map((state) => [state.name, state]));
    const counts = await inspector.counts(rows.map(({ name }) => name).filter((name) => states.has(name)));
    return rows.map((row) => {
      const state = states.get(row.name);
      if (state === undefined) return { ...row, live: null };
      const { partitions, leaderless } = state;
      return { ...row, live: { partitions, leaderless, records: Number(counts.get(row.name) ?? 0n) } };
    });
  };
  try {
    return await waitingFor(io)(`asking Kafka at ${connection.brokers}`, look());
  } catch (error) {
    throw kafkaFailed(connection.brokers, error);
  } finally {
    await inspector.close();
  }
}
