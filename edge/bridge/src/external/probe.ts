/**
 * Before it takes anything, a bridge tries what no device may do: only the broker's ACL binds a topic to a principal, so without
 * it any client could use a device's name (DESIGN, External).
 *
 * A broker that permits it is refused. On loopback, where a client could as well read the files, the bridge only warns.
 * Bridges that start together may share the probe's name and end each other's connection: it is retried. */
import { randomBytes } from "node:crypto";
import { mqttTopics } from "@tributary/contracts";
import { backoffMs, type Clock, Failure, type Random } from "@tributary/kernel";
import { probeAsRogue, type RogueAttempt, type RogueFinding } from "@tributary/mqtt";
import type { Telemetry } from "@tributary/telemetry";
import { rogueAllowed, rogueKeptOut, rogueRefused } from "./events.ts";
import { type ExternalSettings, isLoopback } from "./settings.ts";

/** A stream that no device has: bridges let its empty messages pass without a dead letter. */
export const PROBE_STREAM = "probe";

export type ProbeParts = {
  readonly settings: ExternalSettings;
  readonly prefix: string;
  readonly publish: (topic: string) => Promise<boolean>;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
};

const TRIES_MAX = 8;
const BACKOFF = { minMs: 100, maxMs: 2_000 };
const all: readonly RogueAttempt[] = [
  "publish-as-another",
  "subscribe-another",
  "subscribe-everything",
  "subscribe-sys",
];

export async function refuseOpenBroker(parts: ProbeParts): Promise<void> {
  const { settings, telemetry } = parts;
  const finding = await tried(parts);
  if (finding.kind === "kept-out") {
    if (settings.probe !== undefined) {
      throw new Failure("probe-refused", "ask-a-person", `mqtt.probe may not connect: ${finding.reason}`);
    }
    telemetry.emit(rogueKeptOut, { reason: finding.reason });
  } else if (finding.allowed.length === 0) {
    telemetry.emit(rogueRefused, { attempts: all.join(", ") });
  } else {
    const allowed = finding.allowed.join(", ");
    telemetry.emit(rogueAllowed, { allowed });
    if (isLoopback(settings.url)) return;
    throw new Failure("broker-lets-rogues-in", "ask-a-person", `${settings.url} lets any device ${allowed}`);
  }
}

async function tried({ settings, prefix, publish, clock, random, signal }: ProbeParts): Promise<RogueFinding> {
  const topics = mqttTopics(prefix);
  const own = settings.probe?.username ?? `probe-${randomBytes(4).toString("hex")}`;
  const other = `rogue-${randomBytes(4).toString("hex")}`;
  const of = (deviceId: string) => ({
    up: topics.up(deviceId, PROBE_STREAM as "reported"),
    down: topics.acks(deviceId).replace(/acks$/, PROBE_STREAM),
  });
  for (let attempt = 0; ; attempt++) {
    try {
      return await probeAsRogue({
        url: settings.url,
        clientId: own,
        ...settings.probe,
        connectTimeoutMs: settings.connectTimeoutMs,
        own: of(own),
        other: of(other),
        publish,
      });
    } catch (error) {
      const isOver = attempt + 1 === TRIES_MAX || signal.aborted;
      if (isOver || (error instanceof Failure && error.advice !== "retry")) throw error;
      await clock.sleep(backoffMs(BACKOFF, attempt, random), signal);
    }
  }
}
