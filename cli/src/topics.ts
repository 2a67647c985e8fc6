/** `tributary topics create`: brings a Kafka cluster to where the services can start. It speaks to Kafka, not to a gateway. */
import { PARTITIONS } from "@tributary/contracts";
import { Command, InvalidArgumentError } from "commander";
import type { Io } from "./context.ts";
import { connectionOf, type KafkaOptions, kafkaFailed, withKafka } from "./kafka-options.ts";

type Options = KafkaOptions & {
  readonly partitions: number;
  readonly replicationFactor: number;
};

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
    .description("create the topics that are missing; those that are there stay as they are")
    .option("--partitions <N>", "of every topic; never change it later, keys would move", wholeTo(1_000), PARTITIONS)
    .option("--replication-factor <N>", "copies of every partition", wholeTo(9), 1)
    .action(async ({ partitions, replicationFactor, ...kafka }: Options) => {
      const connection = connectionOf(kafka);
      const { brokers, prefix } = connection;
      // Only this command needs a Kafka client.
      const { ensureTributaryTopics, KafkajsAdmin, tributaryTopics } = await import("@tributary/kafka");
      const admin = new KafkajsAdmin(connection);
      try {
        const before = new Set(await admin.topics());
        await ensureTributaryTopics(admin, { partitions, replicationFactor });
        const wanted = tributaryTopics().map(({ name }) => name);
        const created = wanted.filter((name) => !before.has(name));
        for (const name of created) io.stdout(`${prefix}${name}\n`);
        io.stdout(`${created.length} topics created, ${wanted.length - created.length} were there\n`);
      } catch (error) {
        throw kafkaFailed(brokers, error);
      } finally {
        await admin.close();
      }
    });
  return command;
}
