/** Options of commands that connect to Kafka. */
import { Failure, reasonOf } from "@tributary/kernel";
import { type Command, InvalidArgumentError, Option } from "commander";
import { CliError, exitCodes } from "./exit-codes.ts";

export type KafkaOptions = { readonly brokers?: readonly string[]; readonly prefix: string };

export const brokersOf = (text: string): string[] => {
  const brokers = text.split(",").map((broker) => broker.trim());
  const wrong = brokers.find((broker) => !/^\[?[^\s/]+\]?:\d{1,5}$/.test(broker));
  if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is not host:port.`);
  return brokers;
};

const prefixOf = (text: string): string => {
  if (!/^[A-Za-z0-9._-]{0,100}$/.test(text)) {
    throw new InvalidArgumentError("only letters, digits, dots, dashes and underscores are allowed.");
  }
  return text;
};

export const withKafka = (command: Command): Command =>
  command
    .addOption(
      new Option("--brokers <HOST:PORT,...>", "Kafka's bootstrap brokers")
        .argParser(brokersOf)
        .env("TRIBUTARY_BROKERS"),
    )
    .addOption(
      new Option("--prefix <PREFIX>", "prefix of every topic's name, as kafka.prefix of the services")
        .argParser(prefixOf)
        .env("TRIBUTARY_PREFIX")
        .default("tributary."),
    );

export type Connection = { readonly brokers: readonly string[]; readonly prefix: string; readonly clientId: string };

export function connectionOf({ brokers, prefix }: KafkaOptions): Connection {
  if (brokers === undefined) {
    throw new CliError(
      exitCodes.usage,
      "This command connects to Kafka: give --brokers HOST:PORT or set TRIBUTARY_BROKERS.",
    );
  }
  return { brokers, prefix, clientId: "tributary-cli" };
}

export function kafkaFailed(brokers: readonly string[], error: unknown): CliError {
  if (error instanceof CliError) return error;
  const what = `Kafka at ${brokers}: ${reasonOf(error)}.`;
  if (error instanceof Failure && error.advice === "ask-a-person")
    return new CliError(exitCodes.failed, what, { cause: error });
  return new CliError(exitCodes.unreachable, `${what} Is it running? Check --brokers.`, { cause: error });
}
