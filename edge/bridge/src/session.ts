/**
 * One connected device: its unacknowledged messages, and the messages that wait to be sent to it.
 *
 * The queue for a slow device is bounded; the oldest message is dropped and counted (G9).
 *
 * S1. Acknowledgements are sent in the order of the messages (MQTT-4.6.0), whichever was stored first.
 * S2. After one message failed no later one is acknowledged or started: the connection ends, and the device sends again from the
 *     one that failed (G3). */
import { AckOrder } from "@tributary/mqtt";
import type { Client } from "aedes";
import { type DesiredMessage, NewestQueue } from "./downlink.ts";
import type { PacketGate } from "./gate.ts";

type Down = { readonly topic: string; readonly payload: Buffer };

export class Session {
  readonly deviceId: string;
  readonly gate: PacketGate;
  /** Of the policy last sent in this session. */
  policyVersion: string | undefined;
  /** When the request to check that was last sent in this session was made. */
  checkRequestedAt: number | undefined;
  /** The desired state last sent in this session. */
  desired: DesiredMessage | undefined;
  readonly #client: Client;
  readonly #results: NewestQueue<Down>;
  #acks = new AckOrder();
  #sending = false;
  #closed = false;

  constructor(deviceId: string, client: Client, gate: PacketGate, resultsQueuedMax: number) {
    this.deviceId = deviceId;
    this.gate = gate;
    this.#client = client;
    this.#results = new NewestQueue(resultsQueuedMax);
  }

  get isClosed(): boolean {
    return this.#closed || this.#client.closed;
  }

  get inFlight(): number {
    return this.#acks.size;
  }

  /** Registers a message; call the returned function once the message is settled. */
  begin(acknowledge: () => void): () => void {
    return this.#acks.begin(() => {
      if (!this.isClosed) acknowledge();
    });
  }

  /** Idempotent; nothing is acknowledged from now on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acks = new AckOrder();
    this.#client.close();
  }

  isSubscribed(topic: string): boolean {
    const { subscriptions } = this.#client as unknown as { readonly subscriptions: Readonly<Record<string, unknown>> };
    if (subscriptions[topic] !== undefined) return true;
    const parent = topic.slice(0, topic.lastIndexOf("/"));
    return subscriptions[`${parent}/#`] !== undefined || subscriptions[`${parent}/+`] !== undefined;
  }

  sendRetained(topic: string, payload: Buffer): void {
    this.#publish(topic, payload, true, () => {});
  }

  /** How many older results were dropped for this one: 0 or 1. */
  sendResult(topic: string, payload: Buffer): number {
    const dropped = this.#results.push({ topic, payload });
    if (!this.#sending) this.#sendNext();
    return dropped;
  }

  #sendNext(): void {
    const next = this.isClosed ? undefined : this.#results.shift();
    this.#sending = next !== undefined;
    if (next !== undefined) this.#publish(next.topic, next.payload, false, () => this.#sendNext());
  }

  #publish(topic: string, payload: Buffer, retain: boolean, done: () => void): void {
    if (this.isClosed) return;
    this.#client.publish({ cmd: "publish", topic, payload, qos: 1, retain, dup: false }, done);
  }
}
