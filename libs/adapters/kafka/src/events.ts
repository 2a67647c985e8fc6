import { defineEvent } from "@tributary/telemetry";

/** The client libraries' own log lines, at their level or a lower one: they report every retry as an error. */
export const clientWarned = defineEvent<{ client: string; reason: string }>({
  name: "kafka_client_warned",
  level: "warn",
  message: (e) => `${e.client}: ${e.reason}`,
  counter: { name: "tributary_kafka_client_warnings_total", help: "Warnings of the Kafka client", labels: ["client"] },
});

export const clientNoted = defineEvent<{ client: string; reason: string }>({
  name: "kafka_client_noted",
  level: "debug",
  message: (e) => `${e.client}: ${e.reason}`,
});

export const topicReadFailed = defineEvent<{ topic: string; partition: number | "all"; reason: string }>({
  name: "topic_read_failed",
  level: "warn",
  message: (e) => `${e.topic}/${e.partition} is read again in a moment: ${e.reason}`,
  counter: { name: "tributary_follow_failures_total", help: "Reads of topics that were retried", labels: ["topic"] },
});

/** `place`: PARTITION@OFFSET. */
export const recordMalformed = defineEvent<{
  topic: string;
  place: string;
  key: string | null;
  code: string;
  reason: string;
}>({
  name: "record_malformed",
  level: "warn",
  message: (e) => `${e.topic}/${e.place}, key ${e.key}, is skipped: ${e.reason}`,
  counter: {
    name: "tributary_records_malformed_total",
    help: "Records skipped, as they do not decode or cannot be used",
    labels: ["topic", "code"],
  },
});

export const recordsSent = defineEvent<{ client: string; records: number; bytes: number; ms: number }>({
  name: "kafka_records_sent",
  level: "trace",
  message: (e) => `${e.records} records, ${e.bytes} bytes in ${e.ms.toFixed(1)} ms`,
  counter: [
    {
      name: "tributary_kafka_sent_records_total",
      help: "Records stored by Kafka",
      value: (e) => e.records,
    },
    { name: "tributary_kafka_sent_bytes_total", help: "Bytes of records stored by Kafka", value: (e) => e.bytes },
  ],
  histogram: {
    name: "tributary_kafka_send_seconds",
    help: "Seconds from handing a batch to the client to Kafka's acknowledgement",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60],
    value: (e) => e.ms / 1_000,
  },
});

export const sendFailed = defineEvent<{ client: string; code: string; sends: number; reason: string }>({
  name: "kafka_send_failed",
  level: "error",
  message: (e) => `${e.sends} sends rejected: ${e.reason}`,
  counter: {
    name: "tributary_kafka_sends_failed_total",
    help: "Sends that were rejected after all retries",
    labels: ["code"],
    value: (e) => e.sends,
  },
});

export const producerRenewed = defineEvent<{ client: string; code: string; reason: string }>({
  name: "kafka_producer_renewed",
  level: "warn",
  message: (e) => `a new producer after ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_kafka_producers_renewed_total",
    help: "Producers replaced after an error",
    labels: ["code"],
  },
});

export const partitionClaimed = defineEvent<{ group: string; partition: number; epoch: number; ms: number }>({
  name: "kafka_partition_claimed",
  level: "debug",
  message: (e) => `${e.group}: partition ${e.partition} is ours with producer epoch ${e.epoch}, ${e.ms.toFixed(0)} ms`,
  histogram: {
    name: "tributary_kafka_claim_seconds",
    help: "Seconds to fence the former owner of a partition",
    buckets: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30],
    value: (e) => e.ms / 1_000,
  },
});

export const membershipLost = defineEvent<{ group: string; why: string; partitions: string }>({
  name: "kafka_membership_lost",
  level: "warn",
  message: (e) => `${e.group}: ${e.why}; partitions ${e.partitions} are given up`,
  counter: {
    name: "tributary_kafka_memberships_lost_total",
    help: "Times that a consumer lost its membership and gave up its partitions at once",
    labels: ["group"],
  },
});

export const assignmentChanged = defineEvent<{ group: string; assigned: string; revoked: string; held: number }>({
  name: "kafka_assignment_changed",
  level: "info",
  message: (e) => `group ${e.group}: assigned [${e.assigned}], revoked [${e.revoked}], ${e.held} held`,
  counter: { name: "tributary_kafka_rebalances_total", help: "Times a consumer joined its group", labels: ["group"] },
});

export const consumerCrashed = defineEvent<{ group: string; code: string; reason: string }>({
  name: "kafka_consumer_crashed",
  level: "fatal",
  message: (e) => `group ${e.group}: ${e.reason}`,
  counter: {
    name: "tributary_kafka_consumers_crashed_total",
    help: "Consumers that ended by a crash",
    labels: ["group"],
  },
});

export const consumerReplaced = defineEvent<{ group: string; code: string; reason: string }>({
  name: "kafka_consumer_replaced",
  level: "warn",
  message: (e) => `group ${e.group}: a new client after ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_kafka_consumers_replaced_total",
    help: "Clients of consumers that were replaced, as they crashed or stalled",
    labels: ["group"],
  },
});

export const batchConsumed = defineEvent<{ group: string; topic: string; records: number; lag: number; ms: number }>({
  name: "kafka_batch_consumed",
  level: "trace",
  message: (e) => `${e.topic}: ${e.records} records in ${e.ms.toFixed(1)} ms, ${e.lag} behind`,
  counter: {
    name: "tributary_kafka_consumed_records_total",
    help: "Records handled",
    labels: ["group", "topic"],
    value: (e) => e.records,
  },
});

export const partitionPaused = defineEvent<{ group: string; topic: string; partition: number; cause: string }>({
  name: "kafka_partition_paused",
  level: "debug",
  message: (e) => `partition ${e.partition} of ${e.topic} waits for records in flight: ${e.cause}`,
  counter: {
    name: "tributary_kafka_partition_pauses_total",
    help: "Times a partition waited for records in flight, by the bound: full, owner-share or too-far-ahead",
    labels: ["group", "topic", "cause"],
  },
});

export const recordsLost = defineEvent<{
  group: string;
  topic: string;
  partition: number;
  from: string;
  records: number;
}>({
  name: "kafka_records_lost",
  level: "error",
  message: (e) =>
    `group ${e.group}: retention deleted ${e.records} records of ${e.topic}/${e.partition} from offset ${e.from} before they were read`,
  counter: {
    name: "tributary_kafka_records_lost_total",
    help: "Offsets that retention deleted before the consumer group had read them",
    labels: ["group", "topic"],
    value: (e) => e.records,
  },
});

export const deadLettered = defineEvent<{
  topic: string;
  code: string;
  key: string;
  reason: string;
  traceparent: string | undefined;
}>({
  name: "dead_lettered",
  level: "warn",
  message: (e) => `a record of ${e.topic} (key ${e.key}) goes to the dead letters: ${e.code}: ${e.reason}`,
  counter: {
    name: "tributary_dead_letters_total",
    help: "Unusable records written to dead letter topics",
    labels: ["topic", "code"],
  },
});
