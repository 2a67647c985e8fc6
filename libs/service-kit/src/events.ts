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

export const picturesWithoutTokens = defineEvent<{ readers: "machine" | "nobody" }>({
  name: "pictures_without_tokens",
  level: "warn",
  message: ({ readers }) =>
    readers === "machine"
      ? "auth.tokens is empty: every program of this machine may read pictures; set tokens to require one"
      : "auth.tokens is empty and http names other hosts or origins: pictures are refused until tokens are set",
});

export const waitsForKafka = defineEvent<{ reason: string }>({
  name: "waits_for_kafka",
  level: "warn",
  message: (e) => `not ready yet: ${e.reason}`,
});

export const clockOff = defineEvent<{ offsetMs: number; reason: string }>({
  name: "clock_off",
  level: "error",
  message: (e) => `not ready: this process's clock is ${e.reason}`,
  counter: { name: "tributary_clock_off_total", help: "Times this process's clock was found off against Kafka's" },
});

export const clockAgrees = defineEvent<{ offsetMs: number }>({
  name: "clock_agrees",
  level: "info",
  message: (e) => `this process's clock agrees with Kafka's to ${e.offsetMs.toFixed(0)} ms`,
});

export const clockUnknown = defineEvent<{ reason: string }>({
  name: "clock_unknown",
  level: "warn",
  message: (e) => `this process's clock could not be compared with Kafka's: ${e.reason}`,
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
