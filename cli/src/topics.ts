/** `tributary topics create`: brings a Kafka cluster to where the services can start. It speaks to Kafka, not to a gateway. */
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
const DETAILS = `With fewer than 3 copies every record that somebody is acknowledged for is flushed to disk first; with 3 or
more it is on two brokers first. Bounds in bytes never fill more than 85 % of --disk-gib, if it is 16 or more. Nothing that
is there is ever made looser.`;

const wholeTo = (max: number) => (text: string) => {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1 && value <= max)) {
    throw new InvalidArgumentError(`a whole number from 1 to ${max} is needed.`);
  }
  return value;
};

export function topicsCommand(io: Io): Command {
  const command = new Command("topics").description("Tributary's topics in a Kafka cluster");
  withKafka(command.command("create"))
    .description("create what is missing, and tighten in what is there whatever could lose acknowledged records")
    .option("--partitions <N>", "of every topic; never change it later, keys would move", wholeTo(1_000), PARTITIONS)
    .option("--replication-factor <N>", "copies of every partition", wholeTo(9), 1)
    .option("--disk-gib <N>", "of one broker: bounds in bytes are shares of it", wholeTo(1_000_000), DISK_GIB)
    .option("--repair", "also set right what merely differs: retention, bounds in bytes, clean-up, record size")
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
