/** `tributary doctor`: checks every dependency of a deployment, and reports how to repair it. */
import { existsSync } from "node:fs";
import type { SchemaRegistryAccess } from "@tributary/schema-registry";
import { Command, InvalidArgumentError, Option } from "commander";
import { contextOf, type Io, outputOf } from "../context.ts";
import { writeBundle } from "../doctor/bundle.ts";
import { judgeCluster } from "../doctor/cluster/judge.ts";
import { lookAt } from "../doctor/cluster/look.ts";
import { examine } from "../doctor/examine.ts";
import type { Finding, FindingState } from "../doctor/finding.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type KafkaOptions, withKafka } from "../kafka-options.ts";
import type { Output, Style, View } from "../output.ts";
import { waitingFor } from "../progress.ts";
import { withRegistry } from "../registry-options.ts";

type Options = KafkaOptions & {
  readonly token?: string;
  readonly mqtt?: URL;
  readonly registry?: SchemaRegistryAccess;
  readonly bundle?: string;
  readonly collect?: readonly string[];
  readonly cluster?: true;
  readonly namespace: string;
  readonly context?: string;
};

/** Where `npm start` writes. */
const LOCAL_RUN = ".local/run";
const LOCAL_BROKERS = ["127.0.0.1:9092"];
const LOCAL_MQTT = "mqtt://127.0.0.1:1883";

const MARKS: Readonly<Record<FindingState, { readonly mark: string; readonly style: Style }>> = {
  ok: { mark: "ok", style: "green" },
  warning: { mark: "warning", style: "yellow" },
  failed: { mark: "FAILED", style: "red" },
  skipped: { mark: "skipped", style: "dim" },
};

const viewOf = (output: Output): View<Finding> => ({
  name: (finding) => `${finding.check}=${finding.state}`,
  columns: [
    { head: "CHECK", of: ({ check }) => check },
    { head: "STATE", of: ({ state }) => output.style(MARKS[state].style, MARKS[state].mark) },
    { head: "FOUND", of: ({ detail }) => detail },
  ],
});

export function doctorCommand(io: Io, version: string): Command {
  const registry = "the schema registry, if it is not the gateway; the URL may have USER:PASSWORD@";
  return withRegistry(withKafka(new Command("doctor")), registry)
    .description("check every dependency and report how to repair it; exits 1 if a check failed")
    .option("--mqtt <URL>", "the bridge's, or the broker's: mqtt://HOST:PORT or mqtts://", mqttOf)
    .option("--bundle <FILE.tar.gz>", "also write findings, versions, health, metrics, configuration and logs there")
    .option("--collect <PATH...>", `with --bundle: files or folders of *.yaml and *.log (default: ${LOCAL_RUN})`)
    .addOption(
      new Option(
        "--cluster",
        "instead look at a release in Kubernetes through your kubectl; changes nothing",
      ).conflicts(["mqtt", "bundle", "collect"]),
    )
    .option("--namespace <NAMESPACE>", "with --cluster: of the release", "tributary")
    .option("--context <NAME>", "with --cluster: of your kubeconfig (default: its current one)")
    .addHelpText(
      "after",
      "\nThe outage of a consumer that the disk allows: (retention.bytes - unread bytes) / rate of the partition with least room, at most retention.ms. The current rate is the mean of ten minutes; the permitted one has one device at the bridge's default limit, 8 MiB/s, on top.",
    )
    .action(async (options: Options, command: Command) => {
      if (options.cluster === true) return doctorOfCluster(options, outputOf(command, io), io);
      const { gateway, output } = contextOf(command, io);
      const isLocal = /^https?:\/\/(127\.|localhost|\[::1\])/.test(gateway.origin);
      const { prefix, brokers = isLocal ? LOCAL_BROKERS : undefined } = options;
      const mqtt = options.mqtt ?? (isLocal ? new URL(LOCAL_MQTT) : undefined);
      const kafka = brokers && { brokers, prefix, clientId: "tributary-doctor" };
      const { token } = command.optsWithGlobals<Options>();
      const patient = { gateway, token, kafka, prefix, mqtt, registry: options.registry };
      const examination = await waitingFor(io)("checking every dependency", examine(patient, io.now));
      const { findings } = examination;
      print(findings, output);
      if (options.bundle !== undefined) {
        const collect = options.collect ?? (existsSync(LOCAL_RUN) ? [LOCAL_RUN] : []);
        const settings = { file: options.bundle, version, collect, now: io.now() };
        const gatewayUrl = (path: string) => gateway.urlOf(path);
        const names = await waitingFor(io)("collecting", writeBundle(examination, { ...settings, gatewayUrl }));
        io.stderr(`${options.bundle}: ${names.length} files, without secrets; read it before you send it.\n`);
      }
      failIfFailed(findings);
    });
}

async function doctorOfCluster({ namespace, context }: Options, output: Output, io: Io): Promise<void> {
  const snapshot = lookAt({ namespace, context, env: io.env, signal: io.signal });
  const findings = judgeCluster(await waitingFor(io)("looking at the cluster", snapshot));
  print(findings, output);
  failIfFailed(findings);
}

function print(findings: readonly Finding[], output: Output): void {
  output.list(findings, viewOf(output), "");
  if (output.isForPeople) printAdvice(findings, output);
}

function failIfFailed(findings: readonly Finding[]): void {
  const count = (state: FindingState) => findings.filter((finding) => finding.state === state).length;
  if (count("failed") === 0) return;
  const text = `${count("failed")} of ${findings.length} checks failed, ${count("warning")} warn.`;
  throw new CliError(exitCodes.failed, text);
}

function printAdvice(findings: readonly Finding[], output: Output): void {
  const advised = findings.filter(({ advice }) => advice !== "");
  if (advised.length === 0) return;
  output.line();
  output.line(output.style("bold", "What to do"));
  output.pairs(
    advised.map(({ check, advice }) => [check, advice] as const),
    "  ",
  );
}

function mqttOf(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^mqtts?:$/.test(url.protocol) || url.hostname === "") {
    throw new InvalidArgumentError("mqtt://HOST:PORT or mqtts://HOST:PORT is needed.");
  }
  return url;
}
