import { describe, expect, test } from "@jest/globals";
import { type KubernetesObject, kubernetesWorkloads } from "./kubernetes.ts";
import { runArguments } from "./podman.ts";

const container = {
  image: "tributary/router:0.1.0",
  args: ["--brokers=$(KAFKA_BOOTSTRAP)"],
  env: [{ name: "KAFKA_BOOTSTRAP", valueFrom: { configMapKeyRef: { name: "kafka", key: "bootstrap" } } }],
  ports: [{ name: "http", containerPort: 8080 }],
  volumeMounts: [{ name: "config", mountPath: "/etc/tributary", readOnly: true }],
  readinessProbe: { httpGet: { path: "/health/ready", port: "http" }, timeoutSeconds: 5 },
  resources: { limits: { memory: "768Mi" } },
  securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
};
const objects: readonly KubernetesObject[] = [
  { kind: "ConfigMap", metadata: { name: "kafka" }, data: { bootstrap: "kafka:9092" } },
  { kind: "ConfigMap", metadata: { name: "router" }, data: { "router.yaml": "target: default" } },
  {
    kind: "Service",
    metadata: { name: "router" },
    spec: { type: "LoadBalancer", selector: { app: "router" }, ports: [{ port: 80, targetPort: "http" }] },
  },
  {
    kind: "Deployment",
    metadata: { name: "router" },
    spec: {
      replicas: 2,
      template: {
        metadata: { labels: { app: "router" } },
        spec: {
          securityContext: { runAsUser: 1000, runAsGroup: 1000 },
          containers: [container],
          volumes: [{ name: "config", configMap: { name: "router" } }],
        },
      },
    },
  },
];

/** The objects without the one of that kind and name. */
const without = (kind: string, name: string) =>
  objects.filter((object) => object.kind !== kind || object.metadata.name !== name);

describe("manifests", () => {
  test("a deployment runs as its pods do", () => {
    const { workloads, problems } = kubernetesWorkloads(objects);
    expect(problems).toEqual([]);
    expect(workloads.map(({ name }) => name)).toEqual(["router-0", "router-1"]);
    const [first] = workloads;
    if (first === undefined) throw new Error("no workload");
    const words = runArguments(first, { network: "net", mounts: ["/x:/etc/tributary:ro"], cgroup: "/g" }).join(" ");
    for (const expected of [
      "--user 1000:1000",
      "--read-only",
      "--cap-drop all",
      "--security-opt no-new-privileges",
      `--memory ${768 * 2 ** 20}`,
      "--network-alias router",
      "--publish 80:8080",
      "--env KAFKA_BOOTSTRAP=kafka:9092",
      "docker.io/tributary/router:0.1.0 --brokers=kafka:9092",
    ])
      expect(words).toContain(expected);
    expect(first.probes).toEqual([
      { name: "readiness", timeoutMs: 5_000, ask: { kind: "http", port: 8080, path: "/health/ready" } },
    ]);
  });

  test.each([
    ["ConfigMap", "kafka", /no key bootstrap in ConfigMap kafka/],
    ["ConfigMap", "router", /no ConfigMap router, which its volume config is/],
  ])("what a kubelet would not find is named: %s %s", (kind, name, problem) => {
    expect(kubernetesWorkloads(without(kind, name)).problems.join("\n")).toMatch(problem);
  });

  test("a probe of a port that the container does not have is named", () => {
    const text = JSON.stringify(objects).replace('"port":"http"', '"port":"web"');
    const { problems } = kubernetesWorkloads(JSON.parse(text) as KubernetesObject[]);
    expect(problems.join("\n")).toContain("its readiness probe asks port web, which it does not have");
  });
});
