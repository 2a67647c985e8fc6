/**
 * `tributary dlq`: dead letters, straight from Kafka. Not through the gateway: letters hold raw bytes of private topics,
 * a replay writes to those, and both are needed when services are down; access is by Kafka's credentials.
 */
import { createInterface } from "node:readline/promises";
import type { KafkaReader } from "@tributary/kafka";
import type { ExternalSchemaRegistry, SchemaRegistryAccess } from "@tributary/schema-registry";
import { Command, InvalidArgumentError } from "commander";
import { type Io, outputOf } from "../context.ts";
import { showLetter } from "../dlq/details.ts";
import { dlqTopics, type Letter, matchesWhere, type Place, placeOf, type Where, whereFields } from "../dlq/letter.ts";
import { type DlqSummary, readLetters, summaryOf } from "../dlq/read-letters.ts";
import { judgeReplay } from "../dlq/replay.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Connection, connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "../kafka-options.ts";
import { ago, type Output, printable, type View } from "../output.ts";
import { Progress } from "../progress.ts";
import { withRegistry } from "../registry-options.ts";
import { schemaIdsOf } from "../schema-ids.ts";
import { watchable, watched } from "../watch.ts";
import { positive } from "./options.ts";

export function dlqCommand(io: Io): Command {
  return new Command("dlq")
    .description("dead letters: rejected records, the reasons, and their replay")
    .addCommand(listCommand(io))
    .addCommand(showCommand(io))
    .addCommand(replayCommand(io));
}

const PLACE = "a dead letter topic, or topic/partition@offset as shown";
const OUTAGE_MS_MAX = 10_000;

type DlqOptions = KafkaOptions & { readonly registry?: SchemaRegistryAccess };
type Kafka = { readonly connection: Connection; readonly schemaIds: ExternalSchemaRegistry | undefined };

const REGISTRY = "the schema registry, if it is not the gateway";
const withDlq = (command: Command): Command => withRegistry(withKafka(command), REGISTRY);

async function withReader<T>(
  options: DlqOptions,
  io: Io,
  use: (reader: KafkaReader, kafka: Kafka) => Promise<T>,
): Promise<T> {
  const connection = connectionOf(options);
  const { KafkaReader } = await import("@tributary/kafka");
  const { registry, prefix } = options;
  const schemaIds = registry && (await schemaIdsOf(registry, prefix, io));
  const reader = new KafkaReader({ ...connection, schemaIds, unavailableMsMax: OUTAGE_MS_MAX });
  try {
    return await use(reader, { connection, schemaIds });
  } catch (error) {
    throw kafkaFailed(connection.brokers, error);
  } finally {
    await reader.close();
    schemaIds?.close();
  }
}

const LISTED_LETTERS_MAX = 10_000;

const summaryView = (now: number): View<DlqSummary> => ({
  name: (summary) => summary.name,
  columns: [
    { head: "TOPIC", of: (s) => s.name },
    { head: "LETTERS", of: (s) => s.letters },
    { head: "WHY", of: (s) => codesText(s) },
    { head: "NEWEST", of: (s) => ago(s.newest, now) },
    { head: "OLDEST", of: (s) => ago(s.oldest, now), wide: true },
    { head: "BY", of: (s) => s.group, wide: true },
  ],
});

const codesText = ({ codes, more }: DlqSummary): string =>
  Object.entries(codes)
    .sort(([, a], [, b]) => b - a)
    .map(([code, count]) => `${code} ${count}`)
    .join(", ") + (more ? ", …" : "");

function listCommand(io: Io): Command {
  return withKafka(watchable(new Command("list")))
    .description("dead letter topics that have letters, with the reasons")
    .option("--all", "also empty ones")
    .action((_options: object, command: Command) =>
      watched(command, io, async ({ output }) => {
        const { all, ...kafka } = command.opts<KafkaOptions & { all?: boolean }>();
        await withReader(kafka, io, async (reader) => {
          const summaries: DlqSummary[] = [];
          const progress = new Progress(io, () => `${summaries.length} of ${dlqTopics.length} topics read`);
          try {
            for (const topic of dlqTopics)
              summaries.push(await summaryOf(reader, topic, LISTED_LETTERS_MAX, io.signal));
          } finally {
            progress.end();
          }
          const shown = summaries.filter(({ letters }) => all === true || letters > 0);
          output.list(shown, summaryView(io.now()), "No dead letters.");
        });
      }),
    );
}

const letterView: View<Letter> = {
  name: (letter) => letter.id,
  columns: [
    { head: "LETTER", of: (l) => l.id },
    { head: "KEY", of: (l) => l.key },
    { head: "WHY", of: (l) => l.code },
    { head: "BYTES", of: (l) => (l.cut ? `${l.bytes} (cut)` : l.bytes) },
    { head: "AT", of: (l) => l.at },
    { head: "REPLAYS", of: (l) => l.replays, wide: true },
    { head: "FROM", of: (l) => l.sourcePosition, wide: true },
    { head: "MESSAGE", of: (l) => l.message, wide: true },
  ],
};

function showCommand(io: Io): Command {
  return withDlq(new Command("show"))
    .argument("<place>", PLACE)
    .description("the letters of a topic, or one letter in full: headers, reason, and its record if it can be decoded")
    .option("--where <FIELD=VALUE>", `only letters of this ${whereFields.join(", ")}; may be repeated`, where, {})
    .option("--limit <N>", "at most this many", positive, 100)
    .action(async (text: string, options: DlqOptions & { where: Where; limit: number }, command: Command) => {
      const output = outputOf(command, io);
      const place = placeIn(text, options.prefix);
      await withReader(options, io, async (reader) => {
        const letters = await collect(reader, place, options, io);
        if (place.offset === undefined) {
          output.list(
            output.isForPeople ? letters : letters.map(plain),
            letterView as View<object>,
            "No dead letters.",
          );
          return;
        }
        const [letter] = letters;
        if (letter === undefined) throw new CliError(exitCodes.notFound, `There is no letter ${text}, or no longer.`);
        showLetter(letter, output);
      });
    });
}

/** Without bytes. */
const plain = ({ record: _record, ...letter }: Letter): object => letter;

async function collect(
  reader: KafkaReader,
  place: Place,
  options: { readonly where: Where; readonly limit: number },
  io: Io,
): Promise<Letter[]> {
  const letters: Letter[] = [];
  let read = 0;
  const progress = new Progress(io, () => `${read} letters read, ${letters.length} match`);
  try {
    for await (const letter of readLetters(reader, place, io.signal)) {
      read++;
      if (matchesWhere(letter, options.where)) letters.push(letter);
      if (letters.length >= options.limit) break;
    }
    return letters;
  } finally {
    progress.end();
  }
}

type ReplayOptions = DlqOptions & {
  readonly where: Where;
  readonly limit: number;
  readonly dryRun?: boolean;
  readonly again?: boolean;
  readonly yes?: boolean;
};

function replayCommand(io: Io): Command {
  return withDlq(new Command("replay"))
    .argument("<place>", PLACE)
    .description("send letters unchanged to the topic they came from; the letters are kept")
    .option("--where <FIELD=VALUE>", `only letters of this ${whereFields.join(", ")}; may be repeated`, where, {})
    .option("--limit <N>", "at most this many, the oldest of each partition first", positive, 1_000)
    .option("--again", "also letters that failed after an earlier replay")
    .option("--dry-run", "show what would be sent, but send nothing")
    .option("--yes", "do not ask for confirmation")
    .action(async (text: string, options: ReplayOptions, command: Command) => {
      const output = outputOf(command, io);
      const place = placeIn(text, options.prefix);
      await withReader(options, io, (reader, kafka) => replay(reader, kafka, place, options, output, io));
    });
}

const BATCH_RECORDS_MAX = 100;

async function replay(
  reader: KafkaReader,
  { connection, schemaIds }: Kafka,
  place: Place,
  options: ReplayOptions,
  output: Output,
  io: Io,
): Promise<void> {
  const letters = await collect(reader, place, options, io);
  const verdicts = letters.map((letter) => ({ letter, verdict: judgeReplay(letter, options.again === true) }));
  const records = verdicts.flatMap(({ verdict }) => (verdict.kind === "replay" ? [verdict.record] : []));
  const staying = verdicts.flatMap(({ letter, verdict }) =>
    verdict.kind === "stay" ? [{ letter: letter.id, code: verdict.code, why: verdict.why }] : [],
  );
  for (const { letter, code, why } of staying) io.stderr(`${letter}: ${printable(why)} (${code})\n`);
  const source = place.topic.source;
  if (options.dryRun !== true && records.length > 0) {
    await confirm(`Send ${records.length} records to ${connection.prefix}${source}?`, options.yes === true, io);
    const { KafkajsSink } = await import("@tributary/kafka");
    const sink = new KafkajsSink({ ...connection, schemaIds, deliveryMsMax: OUTAGE_MS_MAX });
    let sent = 0;
    const progress = new Progress(io, () => `${sent} of ${records.length} sent`);
    try {
      for (; sent < records.length; sent += BATCH_RECORDS_MAX) {
        io.signal.throwIfAborted();
        await sink.send(records.slice(sent, sent + BATCH_RECORDS_MAX));
      }
    } catch (error) {
      const rest = "You can safely replay all of them again: duplicates are recognised by their identity.";
      throw new CliError(exitCodes.failed, `${sent} of ${records.length} were sent: ${String(error)}. ${rest}`);
    } finally {
      progress.end();
      await sink.close();
    }
  }
  const summary = {
    topic: source,
    dryRun: options.dryRun === true,
    replayed: records.length,
    reframed: verdicts.filter(({ verdict }) => verdict.kind === "replay" && verdict.reframed).length,
    stayed: staying,
  };
  output.one(summary, `${summary.replayed}`, () => {
    const did = summary.dryRun ? "would be sent" : "sent";
    output.line(`${records.length} ${did} to ${connection.prefix}${source}, ${staying.length} stay.`);
  });
  if (staying.length > 0) {
    throw new CliError(exitCodes.inPart, `${staying.length} of ${letters.length} letters were not replayed.`);
  }
}

async function confirm(question: string, isYes: boolean, io: Io): Promise<void> {
  if (isYes) return;
  if (!io.isTerminal || process.stdin.isTTY !== true) {
    throw new CliError(exitCodes.usage, `${question} Confirm with --yes, or look first with --dry-run.`);
  }
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await asked.question(`${question} [y/N] `, { signal: io.signal }).finally(() => asked.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError(exitCodes.failed, "Nothing was sent.");
}

function placeIn(text: string, prefix: string): Place {
  const place = placeOf(text, prefix);
  if (place !== undefined) return place;
  const known = "Dead letter topics: tributary dlq list --all -o name";
  throw new CliError(
    exitCodes.usage,
    `"${text}" is not a dead letter topic of Tributary, or one of its letters. ${known}`,
  );
}

function where(text: string, before: Where): Where {
  const [, field = "", value = ""] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  const known = whereFields.find((name) => name === field);
  if (known === undefined)
    throw new InvalidArgumentError(`expected FIELD=VALUE with FIELD one of ${whereFields.join(", ")}.`);
  return { ...before, [known]: value };
}
