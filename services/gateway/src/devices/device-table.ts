/**
 * The fleet as the compacted topics tell it: registry, reported state, and when each device was last heard.
 *
 * D1. Kafka is the only database: this is a fold of topics, plus our own records as soon as Kafka has acknowledged them.
 */
import { type DeviceRegistration, topics } from "@tributary/contracts";
import { isoOf } from "../answers/answer.ts";
import { type FollowContext, type Following, follow } from "../follower.ts";
import { type Heard, updateOf } from "../rollouts/arms.ts";
import type { Device } from "./device.ts";

export class DeviceTable {
  readonly #registrations = new Map<string, DeviceRegistration>();
  readonly #reported = new Map<string, Heard>();
  readonly #seenAt = new Map<string, number>();

  async follow(context: FollowContext): Promise<readonly Following[]> {
    return Promise.all([
      follow(context, {
        topic: topics.registry,
        onRecord: (value) => this.registered(value),
      }),
      follow(context, {
        topic: topics.reported,
        onRecord: (value, record) => {
          this.#reported.set(value.deviceId, { value, at: record.timestamp });
          this.seen(value.deviceId, record.timestamp);
        },
      }),
    ]);
  }

  get count(): number {
    return this.#registrations.size;
  }

  registered(registration: DeviceRegistration): void {
    this.#registrations.set(registration.deviceId, registration);
  }

  seen(deviceId: string, at: number): void {
    if (at > (this.#seenAt.get(deviceId) ?? 0)) this.#seenAt.set(deviceId, at);
  }

  registration(deviceId: string): DeviceRegistration | undefined {
    return this.#registrations.get(deviceId);
  }

  get(deviceId: string): Device | undefined {
    const registration = this.#registrations.get(deviceId);
    return registration && this.#deviceOf(registration);
  }

  /** What it said last, and when Kafka stored it. */
  heard(deviceId: string): Heard | undefined {
    return this.#reported.get(deviceId);
  }

  /** By device id. */
  list(filter: { readonly status?: string | undefined; readonly site?: string | undefined }): Device[] {
    return [...this.#registrations.values()]
      .filter((r) => filter.status === undefined || r.status === filter.status)
      .filter((r) => filter.site === undefined || r.site === filter.site)
      .sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1))
      .map((registration) => this.#deviceOf(registration));
  }

  #deviceOf({ passwordHash: _secret, registeredAt, ...registration }: DeviceRegistration): Device {
    const reported = this.#reported.get(registration.deviceId);
    return {
      ...registration,
      registeredAt: isoOf(registeredAt) ?? "",
      lastSeenAt: isoOf(this.#seenAt.get(registration.deviceId) ?? null),
      reported: reported === undefined ? null : reportedOf(reported),
    };
  }
}

const reportedOf = ({ value, at }: Heard): Device["reported"] => ({
  agentVersion: value.agentVersion,
  bootId: `${value.bootId}`,
  hardwareClass: value.hardwareClass,
  clockState: value.clockState,
  generation: `${value.generation}`,
  slots: { ...value.slots },
  policyVersion: value.policyVersion,
  acceptedSchemas: [...value.acceptedSchemas],
  cameras: [...value.cameras],
  update: updateOf(value),
  goldenPassed: value.goldenPassed,
  reportedAt: new Date(at).toISOString(),
});
