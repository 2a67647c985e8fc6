/**
 * Handles one published message from its verdict to Kafka's acknowledgement.
 *
 * When Kafka does not take it for now, the session ends unacknowledged and the device sends again, in order (G3). The sink
 * rejects everything behind a rejected send, so nothing later of that device is stored meanwhile. A message that Kafka refuses
 * permanently becomes a dead letter like any unusable one.
 *
 * I1. A message is acknowledged only after Kafka has its record, or its dead letter (G1, G8).
 * I4. An unknown schema is looked up if there is an external registry: the session ends unacknowledged, and when the device sends
 *     again, in order, the schema is known or the message becomes a dead letter. If devices share one connection, one device's
 *     unknown schema must not end it for all: its message waits for the answer.
 * I5. A record that retention could delete before a router reads it is neither stored nor acknowledged (retention-guard.ts). */
import { type UplinkStream, uplinkStreams } from "@tributary/contracts";
import { cloudEventHeaders, codeOf, type OutRecord, type RecordSink, SINK_CLOSED } from "@tributary/kafka";
import { type Clock, Failure, type Instant, reasonOf } from "@tributary/kernel";
import { THROTTLED_FROM } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { BridgeLimits } from "./config.ts";
import { costOf } from "./cost.ts";
import { DeadLetterWriter } from "./dead-letter-writer.ts";
import { DeviceWindows } from "./device-windows.ts";
import { routedStored, storeFailed, uplinkRefused, uplinkStored } from "./events.ts";
import type { RecordIdentity } from "./identity.ts";
import type { RatesByDevice } from "./rates.ts";
import type { RetentionGuard } from "./retention/retention-guard.ts";
import { type Route, routedRecord } from "./routes.ts";
import { traceUplink } from "./spans.ts";
import { judgeUplink, type Refusal, type StreamOrUnknown, type Uplink, type Verdict } from "./uplink.ts";

/** The connection of a device's messages, which ends when Kafka does not take a record. */
export type Sender = {
  readonly deviceId: string;
  readonly isClosed: boolean;
  /** Other devices' messages use the same connection. */
  readonly isShared?: boolean;
  /** Registers a message; the returned function acknowledges it, in its turn. */
  begin(acknowledge: () => void): () => void;
  close(): void;
};

export type IngestOptions = {
  readonly sink: RecordSink;
  /** Where routed messages go, under the whole names of their topics; needed if there are routes. */
  readonly routes?: { readonly sink: RecordSink; readonly list: readonly Route[] };
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly limits: BridgeLimits;
  /** First levels of every MQTT topic. */
  readonly mqttPrefix: string;
  /** Refuses a sender before its message is examined. */
  readonly admit?: (uplink: Uplink) => Refusal | undefined;
  /** Kafka has the message, as a record or as a dead letter. */
  readonly onStored?: (uplink: Uplink) => void;
  /** Looks up a schema; undefined when there is nothing to wait for. */
  readonly learn?: ((topicName: string, fingerprint: string) => Promise<void> | undefined) | undefined;
  readonly onAvailability: (deviceId: string, state: "online" | "offline") => void;
  readonly rates: RatesByDevice;
  readonly retention?: Pick<RetentionGuard, "admits" | "settled">;
  /** A device exceeds a rate; `weight` is how much that counts. */
  readonly onThrottled: (deviceId: string, reason: string, weight?: number) => void;
};

/** A device that has to wait for three of ten seconds is reported as throttled. */
const MS_OF_WEIGHT = 100;

export class Ingest {
  readonly #options: IngestOptions;
  readonly #windows = new DeviceWindows();
  readonly #deadLetters: DeadLetterWriter;
  #inFlight = 0;
  #idle: (() => void)[] = [];

  constructor(options: IngestOptions) {
    this.#options = options;
    const store = (deviceId: string, letter: OutRecord) => this.#windows.send(options.sink, deviceId, letter);
    this.#deadLetters = new DeadLetterWriter({ ...options, store, wholeBytesMax: options.limits.frameBytesMax });
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Resolves once nothing is in flight. */
  idle(): Promise<void> {
    return this.#inFlight === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** `acknowledge` is called at most once, and never after the session closed; `release` exactly once. False: the message is
   * discarded without an acknowledgement (I5). */
  take(session: Sender, uplink: Uplink, acknowledge: () => void, release: () => void): boolean {
    if (session.isClosed) {
      release();
      return true;
    }
    const { limits, mqttPrefix, clock, routes, retention } = this.#options;
    const receivedAt = clock.now();
    const judge = () => this.#options.admit?.(uplink) ?? judgeUplink(uplink, limits, mqttPrefix, routes?.list);
    const verdict = judge();
    this.#charge(uplink, verdict, session);
    const learned = verdict.kind === "refuse" ? this.#learning(verdict) : undefined;
    if (learned !== undefined && session.isShared !== true) {
      release();
      session.close();
      return true;
    }
    const storable = verdict.kind === "store" ? storableOf(verdict) : undefined;
    if (storable !== undefined && retention?.admits(session, storable.topic, storable.bytes) === false) {
      release();
      return false;
    }
    const settle = session.begin(acknowledge);
    if (verdict.kind === "availability") {
      this.#options.onAvailability(session.deviceId, verdict.state);
      release();
      settle();
      return true;
    }
    this.#inFlight++;
    const stream = verdict.kind === "route" ? "route" : verdict.stream;
    const stored =
      learned === undefined
        ? this.#end(verdict, uplink, receivedAt, session)
        : learned.then(() => this.#end(judge() as typeof verdict, uplink, receivedAt, session));
    const failed = (error: unknown) => this.#fail(session, stream, error);
    const over = () => {
      release();
      if (storable !== undefined) retention?.settled(session.deviceId, storable.topic, storable.bytes);
      this.#inFlight--;
      if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
    };
    // One reaction, not a chain of them: promises are a good part of what a message costs.
    stored.then(
      () => {
        try {
          settle();
          this.#options.onStored?.(uplink);
        } catch (error) {
          failed(error);
        }
        over();
      },
      (error: unknown) => {
        failed(error);
        over();
      },
    );
    return true;
  }

  /** The device's next packet waits for it (gate.ts T6). Behind a foreign broker nothing can wait: it is only reported. */
  #charge(uplink: Uplink, verdict: Verdict, from: Sender): void {
    const { rates, onThrottled } = this.#options;
    const mine = rates.of(uplink.principal);
    const cost = costOf(uplink, verdict);
    const exceeded = from.isShared === true ? mine.take(cost, rates.nowMs) : mine.charge(cost, rates.nowMs);
    for (const { reason, waitMs } of exceeded) {
      onThrottled(uplink.principal, reason, Math.min(THROTTLED_FROM, 1 + waitMs / MS_OF_WEIGHT));
    }
  }

  #learning({ stream, fingerprint }: Refusal): Promise<void> | undefined {
    if (fingerprint === undefined || stream === "unknown") return undefined;
    return this.#options.learn?.(uplinkStreams[stream].name, fingerprint);
  }

  #end(
    verdict: Exclude<Verdict, { kind: "availability" }>,
    uplink: Uplink,
    receivedAt: Instant,
    from: Sender,
  ): Promise<void> {
    const { sink, routes, telemetry } = this.#options;
    switch (verdict.kind) {
      case "store": {
        const { stream, id, value, traceparent } = verdict;
        const record = (traced?: string | null) => recordOf(stream, id, value, receivedAt, traced);
        if (stream !== "frames") return this.#store(sink, stream, record(), uplink, receivedAt, from);
        const about = { stream, deviceId: id.deviceId, bytes: uplink.payload.length };
        const { traced, end } = traceUplink(telemetry.tracer, about, traceparent);
        return this.#store(sink, stream, record(traced), uplink, receivedAt, from).then(
          () => end(),
          (error: unknown) => {
            end(codeOf(error));
            throw error;
          },
        );
      }
      case "route": {
        if (routes === undefined) throw new Error("a route without a sink");
        const record = routedRecord(verdict.route, verdict.key, uplink, receivedAt);
        return this.#store(routes.sink, "unknown", record, uplink, receivedAt, from);
      }
      case "refuse":
        return this.#writeDeadLetter(uplink, verdict, receivedAt, from);
    }
  }

  async #store(
    sink: RecordSink,
    stream: StreamOrUnknown,
    record: OutRecord,
    uplink: Uplink,
    receivedAt: Instant,
    from: Sender,
  ): Promise<void> {
    const { clock, telemetry } = this.#options;
    const startedAt = clock.monotonicMs();
    try {
      await this.#windows.send(sink, uplink.principal, record);
    } catch (error) {
      if (!(error instanceof Failure) || error.advice === "retry" || error.code === SINK_CLOSED) throw error;
      const refusal: Refusal = { kind: "refuse", reason: "kafka-refused", stream, message: reasonOf(error) };
      return this.#writeDeadLetter(uplink, refusal, receivedAt, from);
    }
    const ms = clock.monotonicMs() - startedAt;
    const stored = { deviceId: uplink.principal, bytes: uplink.payload.length, ms };
    if (stream === "unknown") telemetry.emit(routedStored, { topic: record.topic, ...stored });
    else telemetry.emit(uplinkStored, { stream, ...stored, traceparent: record.headers?.traceparent });
  }

  async #writeDeadLetter(uplink: Uplink, refusal: Refusal, receivedAt: Instant, from: Sender): Promise<void> {
    const { telemetry } = this.#options;
    await this.#deadLetters.store(uplink, refusal, receivedAt, from.isShared !== true);
    telemetry.emit(uplinkRefused, {
      code: refusal.reason,
      stream: refusal.stream,
      deviceId: uplink.principal,
      topic: uplink.topic.slice(0, 200),
      bytes: uplink.whole?.bytes ?? uplink.payload.length,
      reason: refusal.message,
    });
  }

  #fail(session: Sender, stream: string, error: unknown): void {
    const code = error instanceof Failure ? error.code : "unexpected";
    this.#options.telemetry.emit(storeFailed, { deviceId: session.deviceId, stream, code, reason: reasonOf(error) });
    session.close();
  }
}

/** Headers, key and framing of a record in Kafka. */
const RECORD_FRAME_BYTES = 512;

const storableOf = ({ stream, value }: Extract<Verdict, { kind: "store" }>) => ({
  topic: uplinkStreams[stream].name,
  bytes: value.length + RECORD_FRAME_BYTES,
});

/** `ce_time` is the receipt by our clock, Kafka's timestamp by its own; who and what travels inside the record as well. */
function recordOf(
  stream: UplinkStream,
  id: RecordIdentity,
  value: Buffer,
  receivedAt: Instant,
  traceparent?: string | null,
): OutRecord {
  const { name, codec } = uplinkStreams[stream];
  return {
    topic: name,
    key: id.deviceId,
    value,
    timestamp: receivedAt,
    headers: cloudEventHeaders({
      id: `${id.deviceId}:${id.bootId}:${stream}:${id.seq}`,
      source: `/tributary/devices/${id.deviceId}`,
      type: `tributary.v1.${codec.name}`,
      time: receivedAt,
      ...(traceparent != null && { traceparent }),
    }),
  };
}
