import type { Telemetry } from "@tributary/telemetry";

type PartitionLag = {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  readonly lag: number;
};

/** One gauge a process, however many consumers it has. */
const lags = new WeakMap<Telemetry, Map<string, PartitionLag>>();

export function reportLag(telemetry: Telemetry, lag: PartitionLag): void {
  let known = lags.get(telemetry);
  if (known === undefined) {
    const readings = new Map<string, PartitionLag>();
    known = readings;
    lags.set(telemetry, readings);
    telemetry.gauge(
      { name: "tributary_kafka_lag_records", help: "Records behind the log's end", labels: ["group", "topic"] },
      () =>
        [...Map.groupBy(readings.values(), (l) => `${l.group}|${l.topic}`).values()].map((ofTopic) => ({
          labels: { group: ofTopic[0]?.group ?? "", topic: ofTopic[0]?.topic ?? "" },
          value: ofTopic.reduce((sum, l) => sum + l.lag, 0),
        })),
    );
  }
  known.set(`${lag.group}|${lag.topic}|${lag.partition}`, lag);
}
