/** `tributary topics create`: creates and repairs the topics that services need. It connects to Kafka, not to a gateway. */
import { PARTITIONS } from "@tributary/contracts";
import { Command, InvalidArgumentError } from "commander";
import type { Io } from "./context.ts";
import { connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "./kafka-options.ts";

type Options = KafkaOptions & {
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly diskGib: number;
  readonly repair?: boolean;
};

const GIB = 1024 ** 3;

const DISK_GIB = 64;
const DETAILS = `With a replication factor below 3 every record is flushed to disk before it is acknowledged; with 3 or
more it is on two brokers first. Retention in bytes never fills more than 85 % of --disk-gib, if it is 16 or more. Settings of
existing topics are never loosened.`;

const wholeTo = (max: number) => (text: string) => {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1 && value <= max)) {
    throw new InvalidArgumentError(`expected a whole number from 1 to ${max}.`);
  }
  return value;
};

export function topicsCommand(io: Io): Command {
  const command = new Command("topics").description("Tributary's topics in a Kafka cluster");
  withKafka(command.command("create"))
    .description("create missing topics, and repair settings of existing ones that could lose acknowledged records")
    .option(
      "--partitions <N>",
      "of every topic; never change it later, or keys move to other partitions",
      wholeTo(1_000),
      PARTITIONS,
    )
    .option("--replication-factor <N>", "replicas of every partition", wholeTo(9), 1)
    .option("--disk-gib <N>", "disk of one broker: retention in bytes is a share of it", wholeTo(1_000_000), DISK_GIB)
    .option("--repair", "also repair other differences: retention, retention in bytes, cleanup policy, record size")
    .addHelpText("after", `\n${DETAILS}`)
    .action(async ({ partitions, replicationFactor, diskGib, repair = false, ...kafka }: Options) => {
      const connection = connectionOf(kafka);
      const { brokers, prefix } = connection;
      // Only this command needs a Kafka client.
      const { ensureTributaryTopics, KafkajsAdmin, tributaryTopics } = await import("@tributary/kafka");
      const admin = new KafkajsAdmin(connection);
      try {
        const before = new Set(await admin.topics());
        const settings = { partitions, replicationFactor, diskBytes: diskGib * GIB, repair };
        const changes = await ensureTributaryTopics(admin, settings);
        const wanted = tributaryTopics().map(({ name }) => name);
        const created = wanted.filter((name) => !before.has(name));
        for (const name of created) io.stdout(`${prefix}${name}\n`);
        for (const { topic, setting, have, want } of changes) io.stdout(`${topic} ${setting}: ${have}, now ${want}\n`);
        io.stdout(`${created.length} topics created, ${wanted.length - created.length} were there\n`);
      } catch (error) {
        throw kafkaFailed(brokers, error);
      } finally {
        await admin.close();
      }
    });
  return command;
}
