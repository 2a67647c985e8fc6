/**
 * A service's MQTT 5 connection to a broker that is not ours, which reconnects without end: shared subscriptions in a session
 * that outlives the connection, and manual acknowledgements (shared-connection.ts).
 *
 * A message is acknowledged when its receiver settles it, in the order in which the messages came. Others are delivered again on
 * the next connection. Received and unacknowledged messages are bounded in number and in bytes (G9): by MQTT's receive maximum,
 * and if the broker exceeds it (Mosquitto 2.0 sends as many again for each PUBACK), by not reading. Published and
 * unacknowledged messages stay within the broker's receive maximum. A broker that lacks a required capability is refused at
 * the start; later, whatever ends the connection, it is made again after a jittered, bounded backoff. */
import { type Backoff, backoffMs, type Clock, Failure, type Random, reasonOf } from "@tributary/kernel";
import type { IPublishPacket, MqttClient } from "mqtt";
import { type Acknowledgement, type ConnectionOptions, type End, SharedConnection } from "./shared-connection.ts";

export type SharedLinkOptions = ConnectionOptions & {
  readonly inFlightBytesMax: number;
  readonly backoff: Backoff;
  /** How long the broker may be unavailable at the start. */
  readonly startMsMax: number;
};

export type Received = Acknowledgement & {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** Exactly once, when nothing holds the payload any more. H2 */
  readonly release: () => void;
};

export type SharedLinkHandlers = {
  readonly onOnline: (broker: { readonly sessionPresent: boolean }) => void;
  readonly onOffline: (offline: { readonly code: string; readonly reason: string; readonly retryMs: number }) => void;
  readonly onMessage: (message: Received) => void;
  readonly onPublishRefused: (refused: { readonly topic: string; readonly reason: string }) => void;
};

type Outgoing = {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly settled: (taken: boolean) => void;
};

const STEADY_MS = 10_000;
/** Connections in a row that the broker ended while it waited for PUBACKs, and got none. */
const UNWAITED_MAX = 3;

export class SharedLink {
  readonly #options: SharedLinkOptions;
  readonly #handlers: SharedLinkHandlers;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stopping = new AbortController();
  readonly #started = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #online: { readonly client: MqttClient; readonly outgoingMax: number } | undefined;
  #connection: SharedConnection | undefined;
  #outgoing: Outgoing[] = [];
  #flying = new Set<(error?: Error | null) => void>();
  #unacknowledged = 0;
  #bytes = 0;
  /** Lets mqtt.js continue to read. */
  #readOn: (() => void) | undefined;
  #unwaited = 0;
  #idle: (() => void)[] = [];

  constructor(options: SharedLinkOptions, handlers: SharedLinkHandlers, clock: Clock, random: Random) {
    this.#options = options;
    this.#handlers = handlers;
    this.#clock = clock;
    this.#random = random;
    this.#started.promise.catch(() => {}); // A caller that stops it may not have awaited it.
  }

  get online(): boolean {
    return this.#online !== undefined;
  }

  /** Received and not released. */
  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  /** Resolves once subscribed; rejects with a BrokerFault. */
  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#started.promise;
  }

  /** At QoS 1. False: not taken, or unknown. */
  publish(topic: string, payload: Buffer, { retain = false } = {}): Promise<boolean> {
    if (this.#online === undefined) return Promise.resolve(false);
    return new Promise((settled) => {
      this.#outgoing.push({ topic, payload, retain, settled });
      this.#pump();
    });
  }

  /** Ends the connection; unacknowledged messages are delivered again on the next one, after a backoff. */
  drop(reason: string): void {
    this.#connection?.cut(reason);
  }

  /** Leaves the group, waits at most `graceMs` for pending acknowledgements, runs `last`, and disconnects. */
  async stop(graceMs: number, last: () => Promise<unknown> = async () => {}): Promise<void> {
    const client = this.#online?.client;
    if (client !== undefined) {
      const late = new AbortController();
      const { subscriptions } = this.#options;
      const left = subscriptions.length === 0 ? undefined : client.unsubscribeAsync([...subscriptions]).catch(() => {});
      const idle = Promise.resolve(left)
        .then(() => this.#whenIdle())
        .then(last);
      await Promise.race([idle, this.#clock.sleep(graceMs, late.signal).catch(() => {})]);
      late.abort();
      // The acknowledgements were written this turn.
      await Promise.race([client.endAsync(false).catch(() => {}), this.#clock.sleep(500).catch(() => {})]);
    }
    this.#stopping.abort(new Error("stopped"));
    this.#connection?.cut("stopped");
    this.#started.reject(new Failure("mqtt-stopped", "give-up", "the connection was stopped before it stood"));
    await this.#running;
  }

  get #hasRoom(): boolean {
    const { receiveMaximum, inFlightBytesMax } = this.#options;
    return this.#unacknowledged < receiveMaximum && this.#bytes < inFlightBytesMax;
  }

  #whenIdle(): Promise<void> {
    return this.#unacknowledged === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const givesUpAt = this.#clock.monotonicMs() + this.#options.startMsMax;
    let hasStood = false;
    for (let attempt = 0; !signal.aborted; ) {
      const startedAtMs = this.#clock.monotonicMs();
      const end = await this.#connectOnce();
      if (signal.aborted) return;
      hasStood ||= end.wasOnline;
      const isHopeless = end.code !== "broker-unavailable" || this.#clock.monotonicMs() >= givesUpAt;
      if (!hasStood && isHopeless) {
        const { code, reason } = end;
        const message = `${this.#options.url}: ${reason}`;
        this.#started.reject(new Failure(code, code === "broker-unavailable" ? "retry" : "ask-a-person", message));
        return;
      }
      if (end.wasOnline && this.#clock.monotonicMs() - startedAtMs >= STEADY_MS) attempt = 0;
      const retryMs = backoffMs(this.#options.backoff, attempt++, this.#random);
      this.#handlers.onOffline({ code: end.code, reason: end.reason, retryMs });
      await this.#clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  #connectOnce(): Promise<End> {
    return new Promise((resolve) => {
      this.#connection = new SharedConnection(this.#options, {
        onStands: ({ client, outgoingMax, sessionPresent }) => {
          this.#online = { client, outgoingMax };
          this.#handlers.onOnline({ sessionPresent });
          this.#started.resolve();
          this.#pump();
        },
        onMessage: (topic, payload, packet, answer) => this.#take(topic, payload, packet, answer),
        onRead: (readOn) => {
          if (this.#hasRoom) readOn();
          else this.#readOn = readOn; // H2
        },
        onOver: (end) => {
          this.#over();
          resolve(this.#judged(end));
        },
      });
    });
  }

  #over(): void {
    this.#online = undefined;
    this.#connection = undefined;
    this.#readOn = undefined;
    for (const { settled } of this.#outgoing.splice(0)) settled(false);
    for (const settle of this.#flying) settle(new Error("connection closed"));
  }

  /** A broker that ends connections with pending PUBACKs does not wait for Kafka. */
  #judged(end: End): End {
    this.#unwaited = end.isUnwaited ? this.#unwaited + 1 : 0;
    if (this.#unwaited < UNWAITED_MAX) return end;
    const reason = `it ended ${this.#unwaited} connections while PUBACKs waited`;
    return { ...end, code: "broker-refuses-hand-acks", reason };
  }

  #take(topic: string, payload: Buffer, { qos, retain }: IPublishPacket, answer: Acknowledgement): void {
    let isHeld = true;
    this.#bytes += payload.length;
    this.#unacknowledged += 1;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      this.#bytes -= payload.length;
      this.#unacknowledged -= 1;
      if (this.#unacknowledged === 0) for (const resolve of this.#idle.splice(0)) resolve();
      if (this.#readOn !== undefined && this.#hasRoom) {
        const readOn = this.#readOn;
        this.#readOn = undefined;
        readOn();
      }
    };
    this.#handlers.onMessage({ topic, payload, qos, retain, ...answer, release });
  }

  #pump(): void {
    while (this.#online !== undefined && this.#flying.size < this.#online.outgoingMax) {
      const { client } = this.#online;
      const next = this.#outgoing.shift();
      if (next === undefined) return;
      const settle = (error?: Error | null) => {
        if (!this.#flying.delete(settle)) return;
        const isRefusal = error instanceof Error && typeof (error as { code?: unknown }).code === "number";
        if (isRefusal) this.#handlers.onPublishRefused({ topic: next.topic, reason: reasonOf(error) });
        next.settled(!error);
        this.#pump();
      };
      this.#flying.add(settle);
      client.publish(next.topic, next.payload, { qos: 1, retain: next.retain }, settle);
    }
  }
}
