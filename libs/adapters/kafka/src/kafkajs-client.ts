import { connect } from "node:net";
import type { Telemetry } from "@tributary/telemetry";
import { Kafka, type logCreator, logLevel, type RetryOptions } from "kafkajs";
import { clientNoted, clientWarned } from "./events.ts";
import type { KafkaConnection } from "./platformatic-sink.ts";
import { endWhenSilent } from "./silent-socket.ts";

/**
 * How long an idle connection stays unprobed. Node then probes it once a second, and gives it up after ten probes without an answer: so a
 * broker's host that vanishes while a consumer waits to join its group is noticed long before that wait is over.
 */
const KEEP_ALIVE_MS = 5_000;

/**
 * kafkajs with its own logger turned into telemetry: it logs every retry as an error. `silentMsMax`: how long a connection may wait
 * for an answer.
 */
export function kafkajsClient(
  connection: KafkaConnection,
  telemetry: Telemetry | undefined,
  retry: RetryOptions,
  silentMsMax?: () => number,
): Kafka {
  const creator: logCreator = () => (entry) => {
    const { error, message } = entry.log as { error?: unknown; message: string };
    const reason = error === undefined ? message : `${message}: ${String(error)}`;
    telemetry?.emit(entry.level <= logLevel.WARN ? clientWarned : clientNoted, { client: "kafkajs", reason });
  };
  return new Kafka({
    clientId: connection.clientId,
    brokers: [...connection.brokers],
    connectionTimeout: 5_000,
    requestTimeout: 10_000,
    socketFactory: ({ host, port, onConnect }) =>
      endWhenSilent(connect({ host, port }, onConnect).setKeepAlive(true, KEEP_ALIVE_MS), silentMsMax),
    logLevel: logLevel.INFO,
    logCreator: creator,
    retry,
  });
}
