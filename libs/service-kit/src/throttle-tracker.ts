/**
 * Which devices are throttled, why and since when: for devices.throttled.v1 and for metrics that name the worst.
 *
 * At most `devicesMax` devices are kept; the one noted longest ago goes first (G9).
 *
 * T1. A device counts as throttled once a limit delayed it often in a short time, and until no limit did so for a minute. One
 *     that rarely meets a limit is not reported.
 * T2. Changes are reported at once, and the present state once a minute. A report that Kafka did not take is repeated. */
import { DeviceThrottled, topics } from "@tributary/contracts";
import { cloudEventHeaders, type OutRecord, type RecordSink } from "@tributary/kafka";
import { type Clock, type Instant, Oldest, reasonOf, repeatLater } from "@tributary/kernel";
import { defineEvent, type Telemetry } from "@tributary/telemetry";

export const deviceThrottled = defineEvent<{ deviceId: string; reason: string }>({
  name: "device_throttled",
  level: "warn",
  message: (e) => `${e.deviceId} is held back: ${e.reason}`,
  counter: { name: "tributary_throttles_total", help: "Devices that started to exceed a limit", labels: ["reason"] },
});

export const throttleUnreported = defineEvent<{ reason: string }>({
  name: "throttle_untold",
  level: "warn",
  message: (e) => `throttled devices are reported again in a moment: ${e.reason}`,
  counter: { name: "tributary_throttles_untold_total", help: "Records of throttled devices that Kafka did not take" },
});

type Held = { count: bigint; recent: number; at: Instant; since: Instant; isThrottled: boolean };
type Device = { readonly reasons: Map<string, Held>; reportedAt: Instant; isChanged: boolean };

const RECENT_MS = 10_000;
/** A sustained rate of three a second, or one event of that weight. */
export const THROTTLED_FROM = 30;
const OVER_AFTER_MS = 60_000;
const REPORT_EVERY_MS = 60_000;
const SWEEP_MS = 1_000;
const DEVICES_MAX = 10_000;
const NAMED_MAX = 10;
const STOP_MS_MAX = 1_000;

export type ThrottleTrackerOptions = {
  readonly reporter: "bridge" | "router";
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

export class ThrottleTracker {
  readonly #options: ThrottleTrackerOptions;
  readonly #devices = new Map<string, Device>();
  readonly #oldest = new Oldest(this.#devices);
  readonly #stop = new AbortController();
  #reporting: Promise<void> = Promise.resolve();

  constructor(options: ThrottleTrackerOptions) {
    this.#options = options;
    const { telemetry, reporter } = options;
    telemetry.gauge(
      {
        name: `tributary_${reporter}_throttled_device`,
        help: "How often the devices held back most were, since it started",
        labels: ["device", "reason"],
      },
      () => this.worst().map(({ deviceId, reason, count }) => ({ labels: { device: deviceId, reason }, value: count })),
    );
    telemetry.gauge({ name: `tributary_${reporter}_throttled_devices`, help: "Devices held back now" }, () =>
      [...this.#devices.values()].reduce((sum, { reasons }) => sum + Number([...reasons.values()].some(isNow)), 0),
    );
  }

  /** A limit delayed the device; `weight` is how much that counts. */
  note(deviceId: string, reason: string, weight = 1): void {
    const now = this.#options.clock.now();
    const device = this.#devices.get(deviceId) ?? { reasons: new Map<string, Held>(), reportedAt: 0, isChanged: false };
    this.#devices.delete(deviceId);
    this.#devices.set(deviceId, device);
    this.#oldest.trim(DEVICES_MAX);
    const held = device.reasons.get(reason) ?? { count: 0n, recent: 0, at: now, since: now, isThrottled: false };
    device.reasons.set(reason, held);
    held.recent = held.recent * Math.exp(-Math.max(0, now - held.at) / RECENT_MS) + weight;
    held.at = now;
    held.count++;
    if (held.isThrottled || held.recent < THROTTLED_FROM) return;
    held.isThrottled = true;
    device.isChanged = true;
    this.#options.telemetry.emit(deviceThrottled, { deviceId, reason });
  }

  /** The reports that are due; forgets devices that are no longer throttled. */
  sweep(now: Instant): readonly DeviceThrottled[] {
    const changed: DeviceThrottled[] = [];
    for (const [deviceId, device] of this.#devices) {
      for (const [reason, held] of device.reasons) {
        if (Math.abs(now - held.at) <= OVER_AFTER_MS) continue;
        device.isChanged ||= held.isThrottled;
        device.reasons.delete(reason);
      }
      const isThrottled = [...device.reasons.values()].some(isNow);
      if (device.isChanged || (isThrottled && now - device.reportedAt >= REPORT_EVERY_MS)) {
        changed.push(this.#recordOf(deviceId, device, now));
      }
      if (device.reasons.size === 0 && !device.isChanged) this.#devices.delete(deviceId);
    }
    return changed;
  }

  /** The devices delayed most, at most ten. */
  worst(): readonly { readonly deviceId: string; readonly reason: string; readonly count: number }[] {
    return [...this.#devices]
      .flatMap(([deviceId, { reasons }]) =>
        [...reasons].filter(([, held]) => isNow(held)).map(([reason, held]) => ({ deviceId, reason, held })),
      )
      .sort((a, b) => b.held.recent - a.held.recent)
      .slice(0, NAMED_MAX)
      .map(({ deviceId, reason, held }) => ({ deviceId, reason, count: Number(held.count) }));
  }

  start(): void {
    const { clock } = this.#options;
    this.#reporting = repeatLater(() => this.#report(), { clock, everyMs: SWEEP_MS, signal: this.#stop.signal });
  }

  /** Waits at most `STOP_MS_MAX` for reports that Kafka does not take. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.race([this.#reporting, this.#options.clock.sleep(STOP_MS_MAX)]);
  }

  #recordOf(deviceId: string, { reasons }: Device, now: Instant): DeviceThrottled {
    const throttled = [...reasons].filter(([, held]) => held.isThrottled).slice(0, 16);
    const of = throttled.map(([reason, { since, count }]) => ({ reason, since, count }));
    return { deviceId, reporter: this.#options.reporter, reasons: of, changedAt: now };
  }

  async #report(): Promise<void> {
    const { clock, sink, telemetry } = this.#options;
    const now = clock.now();
    const changed = this.sweep(now);
    if (changed.length === 0) return;
    try {
      await sink.send(changed.map(recordOf));
    } catch (error) {
      telemetry.emit(throttleUnreported, { reason: reasonOf(error) });
      return;
    }
    for (const { deviceId } of changed) {
      const device = this.#devices.get(deviceId);
      if (device === undefined) continue;
      device.reportedAt = now;
      device.isChanged = false;
    }
  }
}

const isNow = ({ isThrottled }: Held): boolean => isThrottled;

const recordOf = (changed: DeviceThrottled): OutRecord => ({
  topic: topics.throttled.name,
  key: changed.deviceId,
  value: DeviceThrottled.encodeConfluent(changed),
  headers: cloudEventHeaders({
    id: `${changed.deviceId}:${changed.reporter}:${changed.changedAt}`,
    source: `/tributary/${changed.reporter}`,
    type: "tributary.v1.DeviceThrottled",
    time: changed.changedAt,
  }),
});
