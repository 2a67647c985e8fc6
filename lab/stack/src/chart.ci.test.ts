/** The chart with Helm 3 and 4: profiles, values that are refused, releases beside each other, and what is rendered from it. */
import { spawnSync } from "node:child_process";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { repositoryRoot, tempDir } from "@tributary/testing";
import { parse, parseAllDocuments } from "yaml";
import { debian, helm, python } from "../../../tools/peers.mjs";

type Peers = { readonly from?: readonly unknown[]; readonly ports: readonly { readonly port: string }[] };
type Labels = Readonly<Record<string, string>>;
type Manifest = {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Labels };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly selector?: Labels & { readonly matchLabels?: Labels };
    readonly podSelector?: { readonly matchLabels: Labels };
    readonly ingress?: readonly Peers[];
    readonly replicas?: number;
  };
};

const chart = join(repositoryRoot, "deploy/helm/tributary");
const majors = [3, 4] as const;
const profiles = ["k3s", "own-kafka", "large"] as const;
const values = (profile: string) => ["--values", join(chart, `values-${profile}.yaml`)];
const dir = tempDir("chart");
afterAll(() => dir.remove());

function run(program: string, args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: repositoryRoot, encoding: "utf8" });
  return { status, output: stdout + stderr };
}
const template = (major: 3 | 4, release: string, ...args: readonly string[]) =>
  run(helm(major), ["template", release, chart, "--namespace", "site", "--kube-version", "1.37.0", ...args]);

function rendered(major: 3 | 4, release: string, ...args: readonly string[]): readonly Manifest[] {
  const { status, output } = template(major, release, ...args);
  if (status !== 0) throw new Error(output);
  return parseAllDocuments(output).map((document) => document.toJS() as Manifest);
}
const named = ({ kind, metadata }: Manifest) => `${kind}/${metadata.name}`;
const find = (manifests: readonly Manifest[], name: string) => manifests.find((manifest) => named(manifest) === name);

describe.each(profiles)("profile %s", (profile) => {
  test.each(majors)("has nothing that Helm %i warns of", (major) => {
    const { status, output } = run(helm(major), [
      "lint",
      "--strict",
      "--kube-version",
      "1.37.0",
      chart,
      ...values(profile),
    ]);
    expect([status, output]).toEqual([0, expect.not.stringMatching(/WARNING|ERROR/)]);
  });

  test("is the same with both", () => {
    const [three, four] = majors.map((major) => rendered(major, "one", ...values(profile)));
    expect(four).toEqual(three);
  });
});

test("every object of every profile is valid by the schemas of Kubernetes", () => {
  const hpa = ["--set", "autoscaling.kind=hpa"];
  const manifests = profiles.flatMap((profile) => rendered(4, "one", ...values(profile), ...hpa));
  const file = join(dir.path, "objects.json");
  writeFileSync(file, manifests.map((manifest) => JSON.stringify(manifest)).join("\n---\n"));
  const validated = run(python("kubernetes"), ["-m", "kubernetes_validate", "--strict", "--quiet", file]);
  expect(validated).toEqual({ status: 0, output: "" });
});

describe("values", () => {
  test.each([
    ["an unknown key", "services.router.replica=3", /services\/router.*replica/],
    ["an unknown service", "services.rooter.replicas=3", /services.*rooter/],
    ["a quantity that is none", "services.bridge.resources.requests.memory=1GB", /requests\/memory.*1GB/],
    ["two kinds of autoscaling", "autoscaling.kind=hpa+keda", /autoscaling\/kind.*none.*hpa.*keda/],
    [
      "bounds that cross",
      "autoscaling.kind=hpa,autoscaling.router.replicasMin=9",
      /router: replicasMin 9 is more than/,
    ],
    ["two bridges", "services.bridge.replicas=2", /services\.bridge\.replicas: 2 .*MQTT broker/],
    ["replicas of one Kafka", "kafka.replicationFactor=3", /kafka\/replicationFactor.*1/],
    ["two Kafkas", "kafka.bootstrap=other:9092", /kafka\.bootstrap names your Kafka and kafka\.install adds another/],
    ["no Kafka", "kafka.install=false", /kafka\.bootstrap is needed/],
    ["an address without a port", "kafka.install=false,kafka.bootstrap=kafka", /kafka\/bootstrap/],
  ])("%s is refused, and named", (_, set, message) => {
    const { status, output } = template(3, "one", ...values("k3s"), "--set", set);
    expect([status, output]).toEqual([1, expect.stringMatching(message)]);
  });

  test("a release's name that leaves no room for names of services is refused", () => {
    expect(template(4, "a".repeat(37), ...values("k3s")).output).toMatch(/longer than 36 characters/);
  });

  test("of a configuration change it, also to no and none, and keep the rest", () => {
    const manifests = rendered(
      4,
      "one",
      ...values("k3s"),
      "--set=services.router.config.learning.enabled=false,services.router.config.budget.fleetShareMax=0",
      "--set=services.frame-archive.config.keep.bytesTotalMax=193273528320,kafka.topicPrefix=north.",
    );
    const config = (name: string) =>
      parse(find(manifests, `ConfigMap/one-${name}`)?.data?.[`${name}.yaml`] ?? "") as Record<string, unknown>;
    expect(config("router")).toMatchObject({
      kafka: { prefix: "north.", brokers: [expect.stringMatching(/KAFKA_BOOTSTRAP/)] },
      learning: { enabled: false },
      budget: { fleetShareMax: 0 },
      packages: ["models/edge-resnet8"],
    });
    expect(config("frame-archive")).toMatchObject({ keep: { bytesTotalMax: 193_273_528_320 } });
  });

  test("of autoscaling choose who scales router and classifier, and replicas are left to it", () => {
    for (const [kind, scaler] of [["hpa", "HorizontalPodAutoscaler"], ["keda", "ScaledObject"], ["none"]] as const) {
      const manifests = rendered(4, "one", ...values("own-kafka"), "--set", `autoscaling.kind=${kind}`);
      const scalers = manifests.filter((one) => /Autoscaler|ScaledObject/.test(one.kind));
      expect(scalers.map(named)).toEqual(scaler ? [`${scaler}/one-cloud-classifier`, `${scaler}/one-router`] : []);
      const replicas = find(manifests, "Deployment/one-router")?.spec.replicas;
      expect(replicas).toBe(scaler ? undefined : 2);
    }
  });

  test("that turn a caller off open nothing to others", () => {
    const off = "--set=services.gateway.enabled=false,services.trainer.enabled=false,networkPolicies.metricsFrom=null";
    const policies = rendered(4, "one", ...values("own-kafka"), off).filter(({ kind }) => kind === "NetworkPolicy");
    const open = policies.flatMap(({ metadata, spec }) =>
      (spec.ingress ?? []).filter(({ from = [] }) => from.length === 0).map(({ ports }) => [metadata.name, ports]),
    );
    expect(open).toEqual([
      ["one-bridge", [{ protocol: "TCP", port: "mqtt" }]],
      ["one-model-registry", [{ protocol: "TCP", port: "http" }]],
    ]);
  });
});

test("monitoring has every alert, as Prometheus reads it, of this namespace and of what is enabled", () => {
  const set = "--set=monitoring.enabled=true,services.trainer.enabled=false";
  const manifests = rendered(4, "one", ...values("k3s"), set);
  const rules = manifests.filter(({ kind }) => kind === "PrometheusRule");
  const files = globSync(join(chart, "files/rules/*.yml"));
  expect(rules).toHaveLength(files.length);
  const paths = rules.map(({ metadata, spec }) => {
    const path = join(dir.path, `${metadata.name}.yml`);
    writeFileSync(path, JSON.stringify(spec));
    return path;
  });
  expect(run(debian("promtool", "prometheus"), ["check", "rules", ...paths])).toMatchObject({ status: 0 });

  const alertsOf = (text: string) => [...text.matchAll(/\balert"?: ?"?(\w+)/g)].map(([, name]) => name).sort();
  const text = (all: readonly string[]) => all.map((path) => readFileSync(path, "utf8")).join("\n");
  const missing = alertsOf(text(files)).filter((name) => !alertsOf(text(paths)).includes(name));
  expect(missing).toEqual(["TributaryTrainerDown"]);
  expect(text(paths)).toContain(String.raw`absent(up{namespace=\"site\",job=\"router\"})`);
  expect(named(manifests.find(({ kind }) => kind === "PodMonitor") as Manifest)).toBe("PodMonitor/one-services");
});

test("two releases in one namespace have no object in common, and select none of the other's pods", () => {
  const [one, two] = ["one", "two"].map((release) => rendered(4, release, ...values("k3s")));
  const names = new Set(one?.map(named));
  expect(two?.map(named).filter((name) => names.has(name))).toEqual([]);
  for (const { kind, spec } of two ?? []) {
    const { selector, podSelector } = spec ?? {};
    const labels = podSelector?.matchLabels ?? selector?.matchLabels ?? selector;
    if (labels !== undefined) expect([kind, labels["app.kubernetes.io/instance"]]).toEqual([kind, "two"]);
  }
  const addresses = /\/\/(?!two-|:)|\bone-/.exec(JSON.stringify(two?.filter(({ kind }) => kind !== "ConfigMap")));
  expect(addresses?.input.slice(addresses.index, addresses.index + 40)).toBe(undefined);
});

test("k8s/ and docker-compose.yml are what the chart renders", () => {
  const check = run(process.execPath, ["tools/render-deployments.mjs", "--check", "--helm", helm(4)]);
  expect(check).toEqual({ status: 0, output: expect.stringMatching(/ 0 stale$/m) });
});

test("kubectl kustomize k8s/k3s gives the objects of profile k3s", () => {
  const { output } = run("kubectl", ["kustomize", "k8s/k3s"]);
  const kustomized = parseAllDocuments(output).map((document) => document.toJS() as Manifest);
  const args = [...values("kustomize"), ...values("k3s"), "--set-string=kafka.bootstrap=", "--no-hooks"];
  const comparable = (manifests: readonly Manifest[]) =>
    manifests
      .filter(({ kind }) => kind !== "Namespace" && kind !== "ConfigMap")
      .map((manifest) => [named(manifest), plain(manifest.spec)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  expect(comparable(kustomized)).toEqual(comparable(rendered(4, "tributary", ...args)));
});

/** Without what each adds: Helm the release and digests of configurations, kustomize the namespace and digests in names. */
function plain(spec: unknown): unknown {
  const text = JSON.stringify(spec, (key, value: unknown) => {
    if (/^(app\.kubernetes\.io\/instance|annotations|imagePullPolicy)$/.test(key)) return undefined;
    if (key === "configMap" || key === "configMapKeyRef") {
      const { name, ...rest } = value as { readonly name: string };
      return { ...rest, name: name.replace(/-[bcdfghkmt24-9]{10}$/, "") };
    }
    return value;
  });
  return JSON.parse(text);
}
