import { defineEvent } from "@tributary/telemetry";

export const serviceStarted = defineEvent<{ version: string; pid: number; configFile: string }>({
  name: "service_started",
  level: "info",
  message: (e) => `started with ${e.configFile}`,
});

export const serviceStopping = defineEvent<{ cause: string }>({
  name: "service_stopping",
  level: "info",
  message: (e) => `stopping: ${e.cause}`,
});

export const serviceFailed = defineEvent<{ code: string; reason: string; stack?: string }>({
  name: "service_failed",
  level: "fatal",
  message: (e) => e.reason,
});

export const frameworkWarned = defineEvent<{ context: string; reason: string }>({
  name: "framework_warned",
  level: "warn",
  message: (e) => `${e.context}: ${e.reason}`,
});

export const waitsForKafka = defineEvent<{ reason: string }>({
  name: "waits_for_kafka",
  level: "warn",
  message: (e) => `not ready yet: ${e.reason}`,
});

export const batchRetried = defineEvent<{
  topic: string;
  partition: number;
  code: string;
  attempt: number;
  reason: string;
}>({
  name: "batch_retried",
  level: "warn",
  message: (e) => `${e.topic}:${e.partition}, attempt ${e.attempt}: ${e.reason}`,
  counter: { name: "tributary_batch_retries_total", help: "Batches handled again", labels: ["topic", "code"] },
});
