/**
 * Registers, changes and revokes devices: one record on devices.registry.v1 each, acknowledged by Kafka before the request is
 * answered.
 *
 * Changes of one device by this gateway are made one after the other. Changes by two gateways may still cross: the later
 * record wins, for every reader alike. The password is returned once, in the answer to the registration; Kafka and logs hold
 * its hash at most.
 */
import { Inject, Injectable } from "@nestjs/common";
import {
  type Device,
  type DevicePatch,
  LABELS_PER_DEVICE_MAX,
  type RegisteredDevice,
  type RegistrationRequest,
} from "@tributary/api";
import { type DeviceRegistration, topics } from "@tributary/contracts";
import { KafkajsSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { CLOCK, Problem, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { deviceChanged } from "../events.ts";
import { DeviceTable } from "./device-table.ts";
import { generatePassword, hashGenerated } from "./password.ts";

@Injectable()
export class Registrar {
  readonly #changing = new Set<string>();

  constructor(
    private readonly table: DeviceTable,
    private readonly sink: KafkajsSink,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  register(request: RegistrationRequest): Promise<RegisteredDevice> {
    return this.#alone(request.deviceId, async () => {
      const { table, clock } = this;
      if (table.registration(request.deviceId)?.status === "ACTIVE") {
        throw new Problem(
          409,
          "device-exists",
          "give-up",
          `Device ${request.deviceId} is registered. For a new password, revoke it first: DELETE /api/v1/devices/${request.deviceId}.`,
        );
      }
      const password = generatePassword();
      const passwordHash = hashGenerated(password);
      const device = await this.#store({
        ...request,
        status: "ACTIVE",
        passwordHash,
        registeredAt: clock.now(),
        checkRequestedAt: null,
      });
      return { ...device, password };
    });
  }

  change(deviceId: string, { labels: changed }: DevicePatch): Promise<Device> {
    return this.#alone(deviceId, async () => {
      const registration = this.#registration(deviceId);
      const merged = Object.entries({ ...registration.labels, ...changed });
      const labels = Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== null));
      const count = Object.keys(labels).length;
      if (count > LABELS_PER_DEVICE_MAX) {
        const detail = `${deviceId} would have ${count} labels; at most ${LABELS_PER_DEVICE_MAX} are allowed. Remove some: set them to null.`;
        throw new Problem(422, "device-labels-exceeded", "give-up", detail);
      }
      return this.#store({ ...registration, labels, registeredAt: this.clock.now() });
    });
  }

  /** Requests that the device runs its golden frames; the bridge sends it the request. */
  requestCheck(deviceId: string): Promise<Device> {
    return this.#alone(deviceId, async () => {
      const registration = this.#registration(deviceId);
      if (registration.status !== "ACTIVE") {
        const detail = `Device ${deviceId} is ${registration.status}: it cannot connect, so nothing can be checked there.`;
        throw new Problem(409, "device-revoked", "give-up", detail);
      }
      // Always later than the last request, so that each is one: clocks of two gateways may differ.
      const checkRequestedAt = Math.max(this.clock.now(), (registration.checkRequestedAt ?? 0) + 1);
      return this.#store({ ...registration, checkRequestedAt });
    });
  }

  revoke(deviceId: string): Promise<Device> {
    return this.#alone(deviceId, async () => {
      const { table, clock } = this;
      const registration = this.#registration(deviceId);
      if (registration.status === "REVOKED") return table.get(deviceId) as Device;
      return this.#store({ ...registration, status: "REVOKED", registeredAt: clock.now() });
    });
  }

  #registration(deviceId: string): DeviceRegistration {
    const registration = this.table.registration(deviceId);
    if (registration === undefined) throw unknownDevice(deviceId);
    return registration;
  }

  async #store(registration: DeviceRegistration): Promise<Device> {
    const { sink, table, telemetry } = this;
    const { deviceId, status } = registration;
    const { name: topic, codec } = topics.registry;
    try {
      await sink.send([{ topic, key: deviceId, value: codec.encodeConfluent(registration) }]);
    } catch (error) {
      throw new Problem(
        503,
        "kafka-unavailable",
        "retry",
        `Kafka did not store the change of ${deviceId}; it may or may not be in force. Look, then try again.`,
        { cause: error },
      );
    }
    table.registered(registration);
    telemetry.emit(deviceChanged, { deviceId, status });
    return table.get(deviceId) as Device;
  }

  async #alone<T>(deviceId: string, change: () => Promise<T>): Promise<T> {
    if (this.#changing.has(deviceId)) {
      throw new Problem(409, "device-changing", "retry", `Device ${deviceId} is being changed right now. Try again.`);
    }
    this.#changing.add(deviceId);
    try {
      return await change();
    } finally {
      this.#changing.delete(deviceId);
    }
  }
}

export const unknownDevice = (deviceId: string): Problem =>
  new Problem(
    404,
    "device-unknown",
    "give-up",
    `No device ${deviceId} is registered. GET /api/v1/devices lists them; POST /api/v1/devices registers one.`,
  );
