/**
 * What a cluster's metadata means for Tributary: pure.
 *
 * D1. Every topic exists, and those keyed by device have one partition count, or a device's records are separated (G3).
 * D2. Settings that lose records are failures: replicas, flushing, in-sync replicas, timestamps. Others, like retention,
 *     clean-up, byte bounds and record size, are warnings.
 */
import { topics } from "@tributary/contracts";
import type { GroupLag, Outage, TopicFacts, TopicState } from "@tributary/kafka";
import { deadLetterSources, driftOf, type TopicDrift, tributaryTopics } from "@tributary/kafka/topics";
import { type Finding, failed, ok, skipped, some, warning } from "./finding.ts";

export function judgeTopics(states: readonly TopicState[], facts: readonly TopicFacts[], create: string): Finding[] {
  const there = new Map(states.map((state) => [state.name, state]));
  const expected = tributaryTopics();
  const missing = expected.filter(({ name }) => !there.has(name)).map(({ name }) => name);
  if (missing.length > 0) {
    const detail = `${missing.length} of ${expected.length} topics are missing: ${some(missing)}`;
    return [failed("topics", detail, `tributary topics create ${create}; is --prefix right?`)]; // D1
  }
  const own = expected.flatMap(({ name }) => there.get(name) ?? []);
  const leaderless = own.filter((state) => state.leaderless > 0).map(({ name }) => name);
  const behind = own.filter((state) => state.underReplicated > 0).map(({ name }) => name);
  const findings: Finding[] = [];
  if (leaderless.length > 0) {
    findings.push(
      failed("topics", `partitions without a leader: ${some(leaderless)}`, "start the brokers that are down"),
    );
  } else if (behind.length > 0) {
    const advice = "one more broker down may stop writes; check the brokers";
    findings.push(warning("topics", `replicas are behind: ${some(behind)}`, advice));
  }
  findings.push(partitionsOf(there));
  const drift = driftOf(facts);
  findings.push(durabilityOf(facts, drift, create), settingsOf(drift, create)); // D2
  return findings;
}

function partitionsOf(there: ReadonlyMap<string, TopicState>): Finding {
  const byDevice = Object.values(topics).filter(({ key }) => key === "device");
  const counts = Map.groupBy(byDevice, ({ name }) => there.get(name)?.partitions ?? 0);
  const [count] = counts.keys();
  if (counts.size === 1) return ok("partitions", `${byDevice.length} topics keyed by device, ${count} partitions each`);
  const shown = [...counts].map(([partitions, group]) => `${partitions}: ${some(group.map(({ name }) => name))}`);
  return failed(
    "partitions",
    `topics keyed by device differ in partitions (${shown.join("; ")})`,
    "a device's records are in different partitions: drain, delete and recreate these topics with the common count",
  );
}

const REPLICAS_FOR_QUORUM = 3;

function durabilityOf(facts: readonly TopicFacts[], drift: readonly TopicDrift[], create: string): Finding {
  const check = "topic durability";
  const risky = drift.filter(({ risk }) => risk === "lost-records").map(difference);
  if (risky.length > 0) {
    const detail = `acknowledged records may be lost: ${some(risky)}`;
    return failed(check, detail, `tributary topics create ${create}, which repairs exactly these`);
  }
  const counts = new Set(facts.map(({ replicationFactor }) => replicationFactor));
  const fewest = Math.min(...counts);
  const replicas = counts.size === 1 ? `${fewest}` : `${fewest} to ${Math.max(...counts)}`;
  if (fewest >= REPLICAS_FOR_QUORUM) {
    return ok(check, `${replicas} replicas, 2 of them in sync for each acknowledgement: safe if one host loses power`);
  }
  return ok(
    check,
    `${replicas} replicas, flushed before each acknowledgement: safe in a power cut, not if the disk fails`,
  );
}

function settingsOf(drift: readonly TopicDrift[], create: string): Finding {
  const check = "topic settings";
  const others = drift.filter(({ risk }) => risk === "other").map(difference);
  if (others.length === 0)
    return ok(check, "retention, retention in bytes, cleanup policy and record size are as they should be");
  return warning(check, some(others), `tributary topics create --repair ${create}`);
}

const difference = ({ topic, setting, have, want }: TopicDrift): string =>
  `${topic} ${setting} is ${have}, not ${want}`;

const LAG_RECORDS_WORTH_TELLING = 1_000n;
const CONSUMERS = [...Object.keys(deadLetterSources).filter((group) => group !== "bridge"), "trainer"];
/** What a deployment does without it. */
const OPTIONAL: Readonly<Record<string, string>> = {
  "frame-archive": "pictures are kept for as long as Kafka keeps them",
  trainer: "no model is retrained",
};

export function judgeGroups(groups: readonly GroupLag[]): Finding[] {
  return CONSUMERS.map((name): Finding => {
    const check = `consumer ${name}`;
    const group = groups.find((one) => one.group === name);
    const without = OPTIONAL[name];
    if (group === undefined && without !== undefined)
      return skipped(check, `not deployed: ${without}`, `deploy a ${name}, if you want more`);
    if (group === undefined)
      return failed(check, "it has never read from this cluster", `start the ${name}; is --prefix right?`);
    const lag = group.topics.reduce((sum, topic) => sum + topic.lag, 0n);
    const most = group.topics.toSorted((a, b) => (a.lag < b.lag ? 1 : -1))[0];
    const where = most !== undefined && most.lag > 0n ? `, most on ${most.topic}` : "";
    const detail = `${group.members} members, ${lag} records behind${where}`;
    if (group.members === 0) return failed(check, detail, `no ${name} is running: start one, or check its log`);
    if (lag < LAG_RECORDS_WORTH_TELLING) return ok(check, detail);
    return warning(check, detail, `if it does not shrink, add instances of the ${name}, up to the partition count`);
  });
}

const OUTAGE_MS_MIN = 600_000;

/** Each consumer by its topic with least room. */
export function judgeOutages(outages: readonly Outage[]): Finding[] {
  return [...Map.groupBy(outages, ({ group }) => group)].map(([group, ofGroup]) => {
    const check = `outage of ${group}`;
    const least = (ms: (outage: Outage) => number) => ofGroup.reduce((a, b) => (ms(b) < ms(a) ? b : a));
    const current = least((outage) => outage.currentMs);
    const permitted = least((outage) => outage.permittedMs);
    const detail =
      `may last ${durationText(current.currentMs)} at the current rate (${current.topic}), ` +
      `${durationText(permitted.permittedMs)} at the permitted one (${permitted.topic})`;
    if (current.currentMs >= OUTAGE_MS_MIN) return ok(check, detail);
    const after = group === "router" ? "then bridges stop acknowledging" : "then Kafka deletes what it has not read";
    return warning(
      check,
      `${detail}; ${after}`,
      `start or add instances of the ${group}, or give the topics more disk`,
    );
  });
}

function durationText(ms: number): string {
  if (!Number.isFinite(ms)) return "indefinitely";
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

export function judgeDeadLetters(counts: ReadonlyMap<string, bigint>): Finding {
  const held = [...counts].filter(([, count]) => count > 0n).map(([name, count]) => `${name} ${count}`);
  if (held.length === 0) return ok("dead letters", "none");
  return warning(
    "dead letters",
    some(held),
    "list reasons with tributary dlq list; once the cause is repaired, replay them",
  );
}
