/**
 * The fleet as the compacted topics describe it: registry, reported state, and when each device was last seen. Kafka is the
 * only database: this is a fold of topics, plus the gateway's own records as soon as Kafka has acknowledged them.
 */
import { Inject, Injectable } from "@nestjs/common";
import type { Device, DevicePage, DeviceQuery, Throttle } from "@tributary/api";
import { type DeviceRegistration, type DeviceReported, type DeviceThrottled, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, followAll } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { CLOCK } from "@tributary/service-kit";
import { isoOf } from "../answers/answer.ts";
import { type Heard, updateOf } from "../rollouts/arms.ts";

/** A throttling service repeats its report every minute; after a longer silence its last report no longer counts. */
const THROTTLED_MS_MAX = 180_000;

@Injectable()
export class DeviceTable {
  readonly #registrations = new Map<string, DeviceRegistration>();
  readonly #reported = new Map<string, Heard>();
  readonly #seenAt = new Map<string, number>();
  /** By device, then by the service that throttles it. Only devices that are throttled. */
  readonly #throttled = new Map<string, Map<string, DeviceThrottled>>();

  constructor(@Inject(CLOCK) private readonly clock: Pick<Clock, "now">) {}

  follow(context: FollowContext): Promise<Following> {
    return followAll([
      follow(context, topics.registry, (value, { key }) => {
        if (value !== null) this.registered(value);
        else this.#registrations.delete(key ?? "");
      }),
      follow(context, topics.reported, (value, { key, timestamp }) => {
        if (value === null) return void this.#reported.delete(key ?? "");
        this.reported(value, timestamp);
      }),
      follow(context, topics.throttled, (value) => value && this.throttled(value)),
    ]);
  }

  get count(): number {
    return this.#registrations.size;
  }

  /** Active devices whose cameras have deadlines, by the level that they reported last. */
  countAtLevel(level: string): number {
    let count = 0;
    for (const { deviceId, status } of this.#registrations.values()) {
      if (status === "ACTIVE" && this.#reported.get(deviceId)?.value.driving?.level === level) count += 1;
    }
    return count;
  }

  registered(registration: DeviceRegistration): void {
    this.#registrations.set(registration.deviceId, registration);
  }

  /** `at`: when Kafka stored it. */
  reported(value: DeviceReported, at: number): void {
    this.#reported.set(value.deviceId, { value, at });
    this.seen(value.deviceId, at);
  }

  throttled(record: DeviceThrottled): void {
    const { deviceId, reporter, reasons } = record;
    const of = this.#throttled.get(deviceId) ?? new Map<string, DeviceThrottled>();
    if (reasons.length > 0) of.set(reporter, record);
    else of.delete(reporter);
    if (of.size > 0) this.#throttled.set(deviceId, of);
    else this.#throttled.delete(deviceId);
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

  /** Its last report, and when Kafka stored it. */
  heard(deviceId: string): Heard | undefined {
    return this.#reported.get(deviceId);
  }

  /** By device id. A device that is registered between two pages is in the second if its id is; none is in both. */
  page({ status, site, limit, after }: DeviceQuery): DevicePage {
    const found = [...this.#registrations.values()]
      .filter((r) => after === undefined || r.deviceId > after)
      .filter((r) => status === undefined || r.status === status)
      .filter((r) => site === undefined || r.site === site)
      .sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
    const items = found.slice(0, limit).map((registration) => this.#deviceOf(registration));
    return { items, next: found.length > limit ? (items.at(-1)?.deviceId ?? null) : null };
  }

  #throttledOf(deviceId: string): readonly Throttle[] {
    const records = [...(this.#throttled.get(deviceId)?.values() ?? [])];
    return records
      .filter(({ changedAt }) => this.clock.now() - changedAt < THROTTLED_MS_MAX)
      .flatMap(({ reporter, reasons }) =>
        reasons.map(({ reason, since, count }) => ({
          by: reporter,
          reason,
          since: new Date(since).toISOString(),
          count: Number(count),
        })),
      )
      .sort(REASON_OLDEST_FIRST);
  }

  #deviceOf({ passwordHash: _secret, registeredAt, checkRequestedAt, ...registration }: DeviceRegistration): Device {
    const reported = this.#reported.get(registration.deviceId);
    return {
      ...registration,
      labels: { ...registration.labels },
      registeredAt: isoOf(registeredAt) ?? "",
      checkRequestedAt: isoOf(checkRequestedAt),
      lastSeenAt: isoOf(this.#seenAt.get(registration.deviceId) ?? null),
      throttled: this.#throttledOf(registration.deviceId),
      reported: reported === undefined ? null : reportedOf(reported),
    };
  }
}

const REASON_OLDEST_FIRST = (a: Throttle, b: Throttle) => (a.since < b.since ? -1 : 1);

/** Its logits are for drift-monitor. */
const goldenOf = (golden: DeviceReported["golden"]): NonNullable<Device["reported"]>["golden"] =>
  golden && {
    at: isoOf(golden.at) ?? "",
    modelDigest: golden.modelDigest,
    frames: golden.frames,
    failed: golden.failed,
  };

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
  golden: goldenOf(value.golden),
  driving: value.driving && { ...value.driving, since: isoOf(value.driving.since) },
  reportedAt: new Date(at).toISOString(),
});
