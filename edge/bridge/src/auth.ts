/**
 * Authenticates and authorises clients: the registry's devices under their own names, and no others.
 *
 * A1. User, client id and registered device are the same name.
 * A2. A device subscribes to its own down/ topics only.
 * A3. A device that is revoked, or whose password changes, loses its live session (by the registry's follower).
 * A4. Whether a name is registered, revoked or unusable is visible to operators only: a client without its password gets the
 *     same answer after the same steps (password.ts P4).
 */
import { type DeviceRegistration, type DownlinkChannel, downlinks, parseMqttTopic } from "@tributary/contracts";
import { isValidId } from "@tributary/kernel";
import {
  type PasswordChecker,
  type PasswordHash,
  type PasswordHashes,
  parsePasswordHash,
  type ScryptCost,
} from "./password.ts";

export type ConnectRefusal =
  | "protocol-unsupported"
  | "client-id-malformed"
  | "client-id-not-user"
  | "will-not-availability"
  | "password-missing"
  | "device-unknown"
  | "device-revoked"
  | "password-wrong"
  | "password-hash-unusable"
  | "authentication-busy"
  | "connections-full"
  | "takeovers-too-many";

/** CONNACK's return codes (MQTT 3.1.1, table 3.1). */
export const CONNACK = {
  protocolUnacceptable: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badPassword: 4,
  notAuthorized: 5,
} as const;

export const returnCodes: Readonly<Record<ConnectRefusal, number>> = {
  "protocol-unsupported": CONNACK.protocolUnacceptable,
  "client-id-malformed": CONNACK.identifierRejected,
  "client-id-not-user": CONNACK.identifierRejected,
  "will-not-availability": CONNACK.notAuthorized,
  "password-missing": CONNACK.badPassword,
  "device-unknown": CONNACK.notAuthorized, // A4, and the next three
  "device-revoked": CONNACK.notAuthorized,
  "password-wrong": CONNACK.notAuthorized,
  "password-hash-unusable": CONNACK.notAuthorized,
  "authentication-busy": CONNACK.serverUnavailable,
  "connections-full": CONNACK.serverUnavailable,
  "takeovers-too-many": CONNACK.serverUnavailable,
};
export const returnCodeOf = (refusal: ConnectRefusal): number => returnCodes[refusal];

type Entry = { readonly registration: DeviceRegistration; readonly parsed: PasswordHash | undefined };

/** The last record of each device wins; a tombstone means unknown. */
export class DeviceDirectory implements PasswordHashes {
  readonly #devices = new Map<string, Entry>();
  /** How many active devices need a scrypt of this cost; by `N$r$p`. */
  readonly #scrypts = new Map<string, { readonly cost: ScryptCost; devices: number }>();
  #scryptCost: ScryptCost | undefined;

  get size(): number {
    return this.#devices.size;
  }

  get scryptCost(): ScryptCost | undefined {
    return this.#scryptCost;
  }

  get(deviceId: string): DeviceRegistration | undefined {
    return this.#devices.get(deviceId)?.registration;
  }

  hashOf(deviceId: string): { readonly text: string; readonly parsed: PasswordHash | undefined } | undefined {
    const entry = this.#devices.get(deviceId);
    if (entry?.registration.status !== "ACTIVE") return undefined;
    return { text: entry.registration.passwordHash, parsed: entry.parsed };
  }

  /** Whether a live session of this device must end. */
  apply(deviceId: string, registration: DeviceRegistration | null): boolean {
    const before = this.#devices.get(deviceId);
    if (before !== undefined) this.#count(before, -1);
    if (registration === null) {
      this.#devices.delete(deviceId);
      return true;
    }
    const entry = { registration, parsed: parsePasswordHash(registration.passwordHash) };
    this.#devices.set(deviceId, entry);
    this.#count(entry, 1);
    const isChanged = before !== undefined && before.registration.passwordHash !== registration.passwordHash;
    return registration.status !== "ACTIVE" || isChanged;
  }

  #count({ registration, parsed }: Entry, by: 1 | -1): void {
    if (registration.status !== "ACTIVE" || parsed?.scheme !== "scrypt") return;
    const { cost, blockSize, parallelization } = parsed;
    const name = `${cost}$${blockSize}$${parallelization}`;
    const known = this.#scrypts.get(name);
    const devices = (known?.devices ?? 0) + by;
    if (devices === 0) this.#scrypts.delete(name);
    else if (known !== undefined) known.devices = devices;
    else this.#scrypts.set(name, { cost: { cost, blockSize, parallelization }, devices });
    if (known !== undefined && devices > 0) return;
    const work = (c: ScryptCost) => c.cost * c.blockSize * c.parallelization;
    this.#scryptCost = [...this.#scrypts.values()].map((one) => one.cost).toSorted((a, b) => work(b) - work(a))[0];
  }
}

export type Connect = {
  readonly clientId: string;
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
  readonly will?: { readonly topic: string; readonly payload: Buffer } | undefined;
};

/** Its address, see `sourceOf`, and whether it disconnected meanwhile. */
export type Origin = { readonly source: string; readonly isGone: () => boolean };

/** Undefined: admitted. */
export async function authenticate(
  connect: Connect,
  origin: Origin,
  directory: DeviceDirectory,
  passwords: PasswordChecker,
): Promise<ConnectRefusal | undefined> {
  const { clientId, user, password } = connect;
  if (!isValidId(clientId)) return "client-id-malformed";
  if (user !== clientId) return "client-id-not-user";
  if (password === undefined || password.length === 0) return "password-missing";
  const verdict = await passwords.check({ deviceId: clientId, password, ...origin });
  if (verdict === "busy") return "authentication-busy";
  if (verdict === "hash-unusable") return "password-hash-unusable";
  const device = directory.get(clientId); // It may have been revoked during the computation.
  if (device === undefined) return "device-unknown";
  if (device.status !== "ACTIVE") return "device-revoked";
  return verdict === "right" ? undefined : "password-wrong";
}

/** A last will is the device's own `offline` and nothing else. */
export function isOwnWill({ clientId, will }: Connect, prefix: string): boolean {
  if (will === undefined) return true;
  const topic = parseMqttTopic(will.topic, prefix);
  return topic?.kind === "availability" && topic.deviceId === clientId && will.payload.toString("latin1") === "offline";
}

const CHANNELS = new Set([...Object.keys(downlinks), "#", "+"]);
const JSON_CHANNELS = new Set(Object.keys(downlinks).filter((channel) => downlinks[channel as DownlinkChannel].json));

export function maySubscribe(principal: string, filter: string, prefix: string): boolean {
  const topic = parseMqttTopic(filter, prefix);
  if (topic?.kind !== "down" || topic.deviceId !== principal) return false;
  return (topic.format === "json" ? JSON_CHANNELS : CHANNELS).has(topic.channel);
}
