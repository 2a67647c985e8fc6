/** An existing broker, as the stack's bridges and agents are configured for it. */
import { readFileSync } from "node:fs";
import { Failure, reasonOf } from "@tributary/kernel";

export type ExternalMqtt = {
  readonly url: string;
  readonly bridges?: number;
  /** By user: bridge-1, bridge-2, ..., probe, device-1, ... Who is not named has the password of its registration, or none. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** Devices that trust the broker's PUBACK, which breaks G1 on purpose. */
  readonly trusting?: readonly string[];
  readonly ackTimeoutMs?: number;
};

export const bridgeNames = (external: ExternalMqtt | undefined): readonly string[] =>
  external === undefined ? ["bridge"] : Array.from({ length: external.bridges ?? 1 }, (_, i) => `bridge-${i + 1}`);

export function bridgeMqtt({ url, passwords = {} }: ExternalMqtt, name: string): object {
  return {
    mode: "external",
    url,
    clientId: name,
    backoff: { minMs: 250, maxMs: 5_000 },
    ...(passwords[name] !== undefined && { username: name, password: passwords[name] }),
    ...(passwords.probe !== undefined && { probe: { username: "probe", password: passwords.probe } }),
  };
}

export function agentMqtt(external: ExternalMqtt, deviceId: string, registered: string): object {
  const { url, passwords = {}, trusting = [], ackTimeoutMs } = external;
  const acks = trusting.includes(deviceId) ? "puback" : "kafka";
  return {
    url,
    password: passwords[deviceId] ?? registered,
    acks,
    ...(ackTimeoutMs !== undefined && { ackTimeoutMs }),
  };
}

/** A file of lines `user:password`. */
export function readPasswords(file: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Failure("passwords-unreadable", "ask-a-person", `--mqtt-passwords ${file}: ${reasonOf(error)}`);
  }
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
  const wrong = lines.findIndex((line) => !/^[^:]+:.+$/.test(line));
  if (wrong >= 0) {
    throw new Failure(
      "passwords-malformed",
      "ask-a-person",
      `--mqtt-passwords ${file}: line ${wrong + 1} is not user:password`,
    );
  }
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}
