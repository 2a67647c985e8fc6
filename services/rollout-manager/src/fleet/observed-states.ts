/** Gives the rollouts the observed state of each device (observed-state.ts), whenever its report or the model of its frames changes. */
import { topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, followAll } from "@tributary/kafka";
import type { DeviceSlots } from "@tributary/rollouts";
import { reportIgnored } from "../events.ts";
import type { ByFrames } from "../watching/metrics-fold.ts";
import type { FleetTable } from "./fleet-table.ts";
import { isContradicted, observedStateOf, slotsOf } from "./observed-state.ts";

export type ObservedStatesOptions = {
  readonly fleet: FleetTable;
  readonly devices: Pick<DeviceSlots, "reported" | "forget">;
  readonly byFrames: (deviceId: string) => ByFrames | undefined;
  readonly inconsistentAfterMs: number;
};

export class ObservedStates {
  readonly #options: ObservedStatesOptions;
  readonly #contradicted = new Set<string>();

  constructor(options: ObservedStatesOptions) {
    this.#options = options;
  }

  /** Devices whose frames are of another model than they report. */
  get contradicted(): number {
    return this.#contradicted.size;
  }

  follow(context: FollowContext): Promise<Following> {
    const { fleet } = this.#options;
    return followAll([
      follow(context, topics.registry, (registration, { key }) => {
        const deviceId = key ?? "";
        fleet.registered(deviceId, registration);
        if (fleet.isRevoked(deviceId)) this.#forget(deviceId);
        else this.#observe(deviceId);
      }),
      follow(context, topics.reported, (reported, { key, timestamp }) => {
        const deviceId = key ?? "";
        const before = fleet.get(deviceId);
        const reason = fleet.reported(deviceId, reported, timestamp);
        if (reason !== null) context.telemetry.emit(reportIgnored, { device: deviceId, reason });
        else if (reported === null) this.#forget(deviceId);
        else this.#observe(deviceId, Object.keys(before?.slots ?? {}));
      }),
    ]);
  }

  /** For devices with new frames: the model of their frames may now agree or disagree with their report. */
  hadFrames(deviceIds: Iterable<string>): void {
    const { fleet, byFrames, inconsistentAfterMs } = this.#options;
    for (const deviceId of deviceIds) {
      const device = fleet.get(deviceId);
      if (device === undefined) continue;
      const isNow = isContradicted(device, byFrames(deviceId), inconsistentAfterMs);
      if (isNow === this.#contradicted.has(deviceId)) continue;
      if (isNow) this.#contradicted.add(deviceId);
      else this.#contradicted.delete(deviceId);
      this.#observe(deviceId);
    }
  }

  /** `before`: slots of the report before; the device runs nothing in one that it no longer reports. */
  #observe(deviceId: string, before: readonly string[] = []): void {
    const { fleet, devices, byFrames, inconsistentAfterMs } = this.#options;
    const device = fleet.get(deviceId);
    if (device === undefined || fleet.isRevoked(deviceId)) return;
    const frames = byFrames(deviceId);
    for (const slot of new Set([...before, ...slotsOf(device)])) {
      devices.reported(deviceId, slot, observedStateOf(device, slot, frames, inconsistentAfterMs));
    }
  }

  #forget(deviceId: string): void {
    this.#contradicted.delete(deviceId);
    this.#options.devices.forget(deviceId);
  }
}
