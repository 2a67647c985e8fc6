/** The messages between the bench and a load generator, and the generator's counters. */

/** `text` suits everybody's parsers; the others are records of the device contract. */
export type PayloadKind = "text" | "predictions" | "frames";
export type Order = {
  readonly kind: "start";
  /** Of the MQTT broker; of Kafka for the bare producer. */
  readonly port: number;
  readonly devices: number;
  /** A device's name is also its password, where it needs one. */
  readonly withPassword: boolean;
  /** `%d` stands for the device. */
  readonly topic: string;
  readonly payload: PayloadKind;
  readonly payloadBytes: number;
  /** Messages that a device has unacknowledged, at most. */
  readonly window: number;
  /** Messages a second of all devices; null: as fast as they are acknowledged. */
  readonly rate: number | null;
};
export type ToLoad = Order | { readonly kind: "look" } | { readonly kind: "stop" };
/** Since the last look. */
export type Looked = {
  readonly kind: "looked";
  readonly acked: number;
  /** Messages that found no room at their time. */
  readonly late: number;
  readonly seconds: number;
  readonly cpuMs: number;
  readonly p50: number;
  readonly p99: number;
};
export type FromLoad =
  | Looked
  | { readonly kind: "started"; readonly payloadBytes: number }
  | { readonly kind: "stopped" };

export const deviceName = (i: number): string => `bench-${String(i).padStart(4, "0")}`;

/** Latencies of what was acknowledged since the last look. */
export class Meter {
  #latenciesMs: number[] = [];
  #late = 0;
  #lookedAt = performance.now();
  #cpuAt = process.cpuUsage();

  acked(ms: number): void {
    this.#latenciesMs.push(ms);
  }

  late(): void {
    this.#late++;
  }

  look(): Looked {
    const seconds = (performance.now() - this.#lookedAt) / 1_000;
    const { user, system } = process.cpuUsage(this.#cpuAt);
    const sorted = Float64Array.from(this.#latenciesMs).sort();
    const quantile = (share: number) => sorted[Math.floor(share * sorted.length)] ?? Number.NaN;
    const acked = sorted.length;
    const late = this.#late;
    this.#latenciesMs = [];
    this.#late = 0;
    this.#lookedAt = performance.now();
    this.#cpuAt = process.cpuUsage();
    return {
      kind: "looked",
      acked,
      late,
      seconds,
      cpuMs: (user + system) / 1_000,
      p50: quantile(0.5),
      p99: quantile(0.99),
    };
  }
}

/** Calls `send` at a constant rate until it is stopped; calls that a late timer missed are made at once. */
export function pace(rate: number, send: () => void): () => void {
  const startedAt = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * rate);
    for (; sent < due; sent++) send();
  }, 1);
  return () => clearInterval(timer);
}

/** Serves the bench's orders; `start` resolves with a payload's size once the load begins, `stop` once all is acknowledged. */
export function serveLoad(meter: Meter, start: (order: Order) => Promise<number>, stop: () => Promise<void>): void {
  const reply = (message: FromLoad) => process.send?.(message);
  const serve = async (order: ToLoad) => {
    if (order.kind === "start") reply({ kind: "started", payloadBytes: await start(order) });
    else if (order.kind === "look") reply(meter.look());
    else {
      await stop();
      process.send?.({ kind: "stopped" } satisfies FromLoad, () => process.exit(0));
    }
  };
  process.on("message", (order: ToLoad) => void serve(order).catch((error: unknown) => fail(String(error))));
  process.once("disconnect", () => process.exit(0));
}

export function fail(what: string): never {
  process.stderr.write(`${process.argv[1]}: ${what}\n`);
  process.exit(1);
}
