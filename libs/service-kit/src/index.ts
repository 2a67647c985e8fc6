export {
  changesSomething,
  Door,
  type DoorPolicy,
  isLoopback,
  Problem,
  type ProblemDetails,
  pathOf,
} from "@tributary/telemetry/http";
export type { DecodedBatch, DecodedRecord } from "./batch-handling.ts";
export { ClockWatch } from "./clock-watch.ts";
export { Health } from "./health.ts";
export { HeldPartitions } from "./held-partitions.ts";
export { mountedRoutes } from "./http/mounted-routes.ts";
export { ProblemFilter } from "./http/problem-filter.ts";
export { Serves } from "./http/serves.ts";
export { Validated } from "./http/validated.ts";
export { KafkaModule, ServiceReader } from "./kafka.module.ts";
export { KafkaBatches } from "./kafka-batches.ts";
export { OwnedPartition } from "./owned-partition.ts";
export { runService } from "./run-service.ts";
export { sampleKeyOf } from "./sample-key.ts";
export {
  CLOCK,
  CONFIG,
  CRASH,
  type Crash,
  KAFKA,
  type KafkaConnection,
  PORTS,
  type Ports,
  RANDOM,
  TELEMETRY,
} from "./service.module.ts";
export { THROTTLED_FROM, ThrottleTracker } from "./throttle-tracker.ts";
export { traced } from "./traced.ts";
