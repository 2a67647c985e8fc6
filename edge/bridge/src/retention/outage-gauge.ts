/** Shows how long each consumer group may be away before retention deletes what it has not read (kafka's outages.ts). */
import { type Outage, type ProgressReader, readOutages } from "@tributary/kafka";
import { type Clock, reasonOf, repeat } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { progressUnknown } from "./events.ts";

export type OutageGaugeOptions = {
  readonly progress: ProgressReader;
  readonly deviceBytesPerSecond: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

const EVERY_MS = 30_000;

/** Until `signal` aborts. */
export function showOutages(options: OutageGaugeOptions, signal: AbortSignal): Promise<void> {
  const { progress, deviceBytesPerSecond, clock, telemetry } = options;
  let outages: readonly Outage[] = [];
  const help = "Seconds that a consumer group may be away before retention deletes what it has not read";
  telemetry.gauge({ name: "tributary_retention_outage_seconds", help, labels: ["group", "topic", "rate"] }, () =>
    outages.flatMap(({ group, topic, currentMs, permittedMs }) => [
      { labels: { group, topic, rate: "current" }, value: currentMs / 1_000 },
      { labels: { group, topic, rate: "permitted" }, value: permittedMs / 1_000 },
    ]),
  );
  const work = () =>
    readOutages(progress, clock.now(), deviceBytesPerSecond).then(
      (read) => {
        outages = read;
      },
      (error: unknown) => {
        outages = []; // rather none than old ones
        if (!signal.aborted) telemetry.emit(progressUnknown, { reason: reasonOf(error) });
      },
    );
  return repeat(work, { clock, everyMs: EVERY_MS, signal });
}
