/**
 * Connects the outbox to MQTT: records are published as they come, their acknowledgements are reported to it, and incoming
 * messages are forwarded.
 *
 * Every connection has an epoch; a record formed for an earlier one is not published on a later one, where the outbox
 * resends it in its place (G3). */
import { mqttTopics } from "@tributary/contracts";
import { type Clock, invariant, type Random } from "@tributary/kernel";
import { MqttLink } from "@tributary/mqtt";
import type { Tracer } from "@tributary/telemetry";
import type { AgentConfig } from "./config.ts";
import type { Send } from "./outbox/outbox.ts";
import type { RecordKey } from "./outbox/rows.ts";
import { traceSend } from "./spans.ts";

export type UplinkPorts = {
  readonly link: (online: boolean, epoch: number) => void;
  readonly settled: (key: RecordKey, acked: boolean, epoch: number) => void;
  readonly onPolicy: (payload: Buffer) => void;
  readonly onDesired: (payload: Buffer) => void;
  readonly onResults: (payload: Buffer) => void;
  readonly onSampleKey: (payload: Buffer) => void;
  readonly onCheck: (payload: Buffer) => void;
  readonly onAcks: (payload: Buffer) => void;
  readonly onOnline: (connections: number) => void;
  readonly onOffline: (offline: { reason: string; refused: boolean; retryMs: number }) => void;
  readonly onSettled: (settled: { stream: string; acked: boolean; bytes: number; ms: number }) => void;
  readonly tracer: Tracer;
};

/** The device's one MQTT connection. */
type Link = Pick<MqttLink, "start" | "online" | "publish" | "stop">;
export type OpenLink = (...link: ConstructorParameters<typeof MqttLink>) => Link;
export const mqttLink: OpenLink = (...link) => new MqttLink(...link);

export class Uplink {
  readonly #topics: ReturnType<typeof mqttTopics>;
  readonly #deviceId: string;
  readonly #ports: UplinkPorts;
  readonly #clock: Clock;
  readonly #link: Link;
  #epoch = 0;
  #inFlight = 0;
  #wasOnline = false;
  #onIdle: (() => void) | undefined;

  constructor(
    config: Pick<AgentConfig, "deviceId" | "mqtt">,
    ports: UplinkPorts,
    clock: Clock,
    random: Random,
    openLink = mqttLink,
  ) {
    const { deviceId, mqtt } = config;
    this.#deviceId = deviceId;
    this.#ports = ports;
    this.#clock = clock;
    this.#topics = mqttTopics(mqtt.prefix);
    this.#link = openLink(
      {
        url: mqtt.url,
        clientId: deviceId,
        username: deviceId,
        password: mqtt.password,
        keepaliveSeconds: mqtt.keepaliveSeconds,
        connectTimeoutMs: mqtt.connectTimeoutMs,
        backoff: mqtt.backoff,
        availabilityTopic: this.#topics.availability(deviceId),
        subscriptions: [
          this.#topics.policy(deviceId),
          this.#topics.desired(deviceId),
          this.#topics.results(deviceId),
          ...(mqtt.acks === "kafka" ? [this.#topics.acks(deviceId)] : []),
        ],
        // Unknown to bridges of earlier versions.
        optionalSubscriptions: [this.#topics.sampling(deviceId), this.#topics.check(deviceId)],
      },
      {
        onOnline: () => {
          this.#wasOnline = true;
          ports.link(true, ++this.#epoch);
          ports.onOnline(this.#epoch);
        },
        onOffline: (offline) => {
          if (this.#wasOnline) ports.link(false, this.#epoch);
          this.#wasOnline = false;
          ports.onOffline(offline);
        },
        onMessage: (topic, payload) => {
          if (topic === this.#topics.policy(deviceId)) ports.onPolicy(payload);
          else if (topic === this.#topics.desired(deviceId)) ports.onDesired(payload);
          else if (topic === this.#topics.results(deviceId)) ports.onResults(payload);
          else if (topic === this.#topics.sampling(deviceId)) ports.onSampleKey(payload);
          else if (topic === this.#topics.check(deviceId)) ports.onCheck(payload);
          else if (topic === this.#topics.acks(deviceId)) ports.onAcks(payload);
        },
      },
      clock,
      random,
    );
  }

  get online(): boolean {
    return this.#link.online;
  }

  start(): void {
    this.#link.start();
  }

  send({ key, payload, epoch, trace }: Send): void {
    if (epoch !== this.#epoch) return;
    this.#inFlight += 1;
    const sentAtMs = this.#clock.monotonicMs();
    const span = traceSend(this.#ports.tracer, key.stream, payload.length, trace);
    this.#link.publish(this.#topics.up(this.#deviceId, key.stream), payload, (acked) => {
      this.#inFlight -= 1;
      invariant(this.#inFlight >= 0, "a publish settles once");
      this.#ports.settled(key, acked, epoch);
      const ms = this.#clock.monotonicMs() - sentAtMs;
      this.#ports.onSettled({ stream: key.stream, acked, bytes: payload.length, ms });
      span?.end(acked ? {} : { error: "not-acknowledged" });
      if (this.#inFlight === 0) this.#onIdle?.();
    });
  }

  /** Waits briefly for acknowledgements of records in flight, then publishes `offline`. */
  async stop(graceMs: number): Promise<void> {
    if (this.#inFlight > 0 && this.online) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    await this.#link.stop();
  }
}
