/**
 * Checks every dependency at once.
 *
 * No check hides another: each ends within its own timeout, and names what it lacks.
 */
import { DEVICE_BYTES_PER_SECOND_MAX } from "@tributary/contracts";
import { reasonOf } from "@tributary/kernel";
import type { SchemaRegistryAccess } from "@tributary/schema-registry";
import { dlqTopics } from "../dlq/letter.ts";
import type { Gateway } from "../gateway.ts";
import type { Connection } from "../kafka-options.ts";
import { fetchWith } from "../registry-options.ts";
import { type Finding, failed, ok, skipped, some, warning } from "./finding.ts";
import { checkGateway } from "./gateway-checks.ts";
import { judgeDeadLetters, judgeGroups, judgeOutages, judgeTopics } from "./kafka-judgement.ts";
import { probeMqtt } from "./mqtt-probe.ts";
import { checkRegistry } from "./registry-check.ts";

export type Patient = {
  readonly gateway: Gateway;
  readonly token?: string | undefined;
  readonly kafka: Connection | undefined;
  readonly prefix: string;
  readonly mqtt: URL | undefined;
  /** The gateway's by default. */
  readonly registry: SchemaRegistryAccess | undefined;
};

/** Kafka's metadata, for a bundle. */
export type KafkaFacts = { readonly cluster: unknown; readonly topics: unknown; readonly groups: unknown };
export type Examination = { readonly findings: readonly Finding[]; readonly kafka: KafkaFacts | undefined };

const MQTT_MS_MAX = 5_000;
const KAFKA_MS_MAX = 20_000;

export async function examine(patient: Patient, now: () => number): Promise<Examination> {
  const [gateway, kafka, registry, mqtt] = await Promise.all([
    checkGateway(patient.gateway, now),
    checkKafka(patient.kafka, now),
    checkRegistryOf(patient),
    checkMqtt(patient.mqtt),
  ]);
  return { findings: [...gateway, ...kafka.findings, registry, mqtt], kafka: kafka.facts };
}

async function checkRegistryOf({ registry, gateway, token, prefix }: Patient): Promise<Finding> {
  const { schemaRegistryClient } = await import("@tributary/schema-registry");
  const isOurs = registry === undefined;
  const access = registry ?? { url: gateway.urlOf("").replace(/\/+$/, "") };
  return checkRegistry(schemaRegistryClient(access, isOurs ? fetchWith(token) : fetch), prefix);
}

async function checkKafka(
  connection: Connection | undefined,
  now: () => number,
): Promise<{ findings: Finding[]; facts?: KafkaFacts }> {
  if (connection === undefined) {
    return { findings: [skipped("Kafka", "no brokers were given", "give --brokers or set TRIBUTARY_BROKERS")] };
  }
  const { brokers } = connection;
  const { KafkaInspector, KafkaProgress, readOutages } = await import("@tributary/kafka");
  const inspector = new KafkaInspector(connection);
  const progress = new KafkaProgress(connection);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${KAFKA_MS_MAX / 1_000} s`)), KAFKA_MS_MAX);
  const look = async () => {
    const cluster = await inspector.cluster();
    const states = await inspector.topics();
    const names = states.map(({ name }) => name);
    const held = dlqTopics.map(({ name }) => name).filter((name) => names.includes(name));
    const [facts, groups, counts, outages] = await Promise.all([
      inspector.facts(names),
      inspector.groups(),
      inspector.counts(held),
      readOutages(progress, now(), DEVICE_BYTES_PER_SECOND_MAX).then(judgeOutages, (error: unknown) => [
        skipped("outages", `not known: ${reasonOf(error)}`, "see the topics"),
      ]),
    ]);
    const create = `--brokers ${brokers.join(",")} --prefix ${connection.prefix}`;
    const findings = [
      ok("Kafka", `cluster ${cluster.clusterId}, ${cluster.brokers.length} brokers: ${some(cluster.brokers)}`),
      ...judgeTopics(states, facts, create),
      ...judgeGroups(groups),
      ...outages,
      judgeDeadLetters(counts),
    ];
    const topics = facts.map((fact) => ({ ...fact, ...states.find(({ name }) => name === fact.name) }));
    return { findings, facts: { cluster, topics, groups } };
  };
  try {
    return await Promise.race([look(), late.promise]);
  } catch (error) {
    const advice = "start Kafka, or check --brokers; are the advertised listeners reachable from here?";
    return { findings: [failed("Kafka", `${brokers.join(",")}: ${reasonOf(error)}`, advice)] };
  } finally {
    clearTimeout(timer);
    await Promise.all([inspector.close(), progress.close().catch(() => {})]);
  }
}

async function checkMqtt(url: URL | undefined): Promise<Finding> {
  if (url === undefined) return skipped("MQTT", "no address was given", "give --mqtt mqtt://HOST:PORT");
  const { host } = url;
  try {
    const probe = await probeMqtt(url, MQTT_MS_MAX);
    if (probe.kind === "other") return failed("MQTT", `${host} answers, but not in MQTT`, "check --mqtt");
    if (probe.kind === "silent") {
      const advice = "the bridge closes unauthenticated connections while it is not ready: check its /health/ready";
      return warning("MQTT", `${host} accepts connections, but does not answer CONNECT`, advice);
    }
    const refuses = probe.code === 0 ? "accepts anonymous clients" : "rejects anonymous clients, as it should";
    if (probe.code !== 0) return ok("MQTT", `${host} speaks MQTT and ${refuses}`);
    return warning("MQTT", `${host} ${refuses}`, "forbid anonymous clients: access to topics depends on the user");
  } catch (error) {
    const reason = (error as { code?: unknown }).code ?? reasonOf(error);
    return failed(
      "MQTT",
      `${host} cannot be reached: ${String(reason)}`,
      "start the bridge, or the broker in front of it",
    );
  }
}
