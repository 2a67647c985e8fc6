/** `tributary topics create`: brings a Kafka cluster to where the services can start. It speaks to Kafka, not to a gateway. */
import { PARTITIONS } from "@tributary/contracts";
import { reasonOf } from "@tributary/kernel";
import { Command, InvalidArgumentError } from "commander";
import type { Io } from "./context.ts";
import { CliError, exitCodes } from "./exit-codes.ts";

type Options = {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly partitions: number;
  readonly replicationFactor: number;
};

const brokersOf = (text: string): string[] => {
  const brokers = text.split(",").map((broker) => broker.trim());
  const wrong = brokers.find((broker) => !/^\[?[^\s/]+\]?:\d{1,5}$/.test(broker));
  if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is not host:port.`);
  return brokers;
};

const prefixOf = (text: string): string => {
  if (!/^[A-Za-z0-9._-]{0,100}$/.test(text)) {
    throw new InvalidArgumentError("letters, digits, dots, dashes and underscores are possible.");
  }
  return text;
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
  command
    .command("create")
    .description("create the topics that are missing; those that are there stay as they are")
    .requiredOption("--brokers <HOST:PORT,...>", "brokers to start from", brokersOf)
    .option("--prefix <PREFIX>", "before every topic's name, as in the services' kafka.prefix", prefixOf, "tributary.")
    .option("--partitions <N>", "of every topic; never change it later, keys would move", wholeTo(1_000), PARTITIONS)
    .option("--replication-factor <N>", "copies of every partition", wholeTo(9), 1)
    .action(async ({ brokers, prefix, partitions, replicationFactor }: Options) => {
      // Only this command needs a Kafka client.
      const { ensureTributaryTopics, KafkajsAdmin, tributaryTopics } = await import("@tributary/kafka");
      const admin = new KafkajsAdmin({ brokers, prefix, clientId: "tributary-cli" });
      try {
        const before = new Set(await admin.topics());
        await ensureTributaryTopics(admin, { partitions, replicationFactor });
        const wanted = tributaryTopics().map(({ name }) => name);
        const created = wanted.filter((name) => !before.has(name));
        for (const name of created) io.stdout(`${prefix}${name}\n`);
        io.stdout(`${created.length} topics created, ${wanted.length - created.length} were there\n`);
      } catch (error) {
        throw new CliError(exitCodes.failed, `Kafka at ${brokers}: ${reasonOf(error)}`, { cause: error });
      } finally {
        await admin.close();
      }
    });
  return command;
}
