/**
 * Who may connect, and what for: the registry's devices under their own names, and nothing else.
 *
 * A1. User, client id and registered device are the same name.
 * A2. A device subscribes to its own down/ topics only.
 * A3. A device that is revoked, or whose password changes, loses its live session (the registry's follower sees to it).
 */
import { type DeviceRegistration, parseMqttTopic } from "@tributary/contracts";
import { isValidId } from "@tributary/kernel";
import type { PasswordChecker } from "./password.ts";

export type ConnectRefusal =
  | "client-id-malformed"
  | "client-id-not-user"
  | "password-missing"
  | "device-unknown"
  | "device-revoked"
  | "password-wrong"
  | "password-hash-unusable"
  | "authentication-busy";

/** CONNACK's return codes (MQTT 3.1.1, table 3.1). */
export const CONNACK = { identifierRejected: 2, serverUnavailable: 3, badPassword: 4, notAuthorized: 5 } as const;

const returnCodes: Readonly<Record<ConnectRefusal, number>> = {
  "client-id-malformed": CONNACK.identifierRejected,
  "client-id-not-user": CONNACK.identifierRejected,
  "password-missing": CONNACK.badPassword,
  "device-unknown": CONNACK.notAuthorized,
  "device-revoked": CONNACK.notAuthorized,
  "password-wrong": CONNACK.badPassword,
  "password-hash-unusable": CONNACK.notAuthorized,
  "authentication-busy": CONNACK.serverUnavailable,
};
export const returnCodeOf = (refusal: ConnectRefusal): number => returnCodes[refusal];

/** The last record of each device wins; a tombstone means unknown. */
export class DeviceDirectory {
  readonly #devices = new Map<string, DeviceRegistration>();

  get size(): number {
    return this.#devices.size;
  }

  get(deviceId: string): DeviceRegistration | undefined {
    return this.#devices.get(deviceId);
  }

  /** Whether a live session of this device must end. A3 */
  apply(deviceId: string, registration: DeviceRegistration | undefined): boolean {
    const before = this.#devices.get(deviceId);
    if (registration === undefined) this.#devices.delete(deviceId);
    else this.#devices.set(deviceId, registration);
    return (
      registration?.status !== "ACTIVE" || (before !== undefined && before.passwordHash !== registration.passwordHash)
    );
  }
}

export type Connect = {
  readonly clientId: string;
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
};

/** Undefined: welcome. */
export async function authenticate(
  connect: Connect,
  directory: DeviceDirectory,
  passwords: PasswordChecker,
): Promise<ConnectRefusal | undefined> {
  const { clientId, user, password } = connect;
  if (!isValidId(clientId)) return "client-id-malformed";
  if (user !== clientId) return "client-id-not-user"; // A1
  if (password === undefined || password.length === 0) return "password-missing";
  const device = directory.get(clientId);
  if (device === undefined) return "device-unknown";
  if (device.status !== "ACTIVE") return "device-revoked";
  const verdict = await passwords.check(clientId, password, device.passwordHash);
  if (verdict === "wrong") return "password-wrong";
  if (verdict === "busy") return "authentication-busy";
  if (verdict === "hash-unusable") return "password-hash-unusable";
  // It may have been revoked while we computed.
  return directory.get(clientId)?.status === "ACTIVE" ? undefined : "device-revoked";
}

const CHANNELS = new Set(["policy", "desired", "results", "acks", "#", "+"]);

/** A2 */
export function maySubscribe(principal: string, filter: string, prefix: string): boolean {
  const topic = parseMqttTopic(filter, prefix);
  if (topic?.kind !== "down" || topic.deviceId !== principal) return false;
  return topic.format === "json" ? topic.channel === "results" : CHANNELS.has(topic.channel);
}
