/** Images, configurations and manifests fit each other: errors that a container engine or a cluster would only report when deployed. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "@jest/globals";
import { exitFlags } from "@tributary/kernel";
import { repositoryRoot, tempDir } from "@tributary/testing";
import { Ajv } from "ajv";
import { parse, parseAllDocuments } from "yaml";
import { mains } from "./paths.ts";

type Manifest = {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas?: number;
    readonly strategy?: { readonly type: string };
    readonly selector?: Record<string, unknown>;
    readonly template?: { readonly spec: PodSpec };
    readonly suspend?: boolean;
    readonly jobTemplate?: { readonly spec: { readonly template: { readonly spec: PodSpec } } };
    readonly ports?: readonly { readonly targetPort: string }[];
  };
};
type Container = {
  readonly image: string;
  readonly args?: readonly string[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources: { readonly requests: { readonly cpu: string; readonly memory: string } };
  readonly securityContext: Record<string, unknown>;
  readonly livenessProbe?: { readonly httpGet: { readonly port: string } };
  readonly readinessProbe?: { readonly httpGet: { readonly port: string } };
};
type PodSpec = { readonly initContainers?: readonly Container[]; readonly containers: readonly Container[] };
type Compose = {
  readonly services: Record<
    string,
    {
      readonly image: string;
      readonly build?: { readonly target: string };
      readonly volumes?: readonly string[];
      readonly command?: readonly string[];
    }
  >;
};

const at = (...parts: string[]): string => join(repositoryRoot, ...parts);
const read = (path: string): string => readFileSync(at(path), "utf8");
const services = [
  "bridge",
  "router",
  "cloud-classifier",
  "gateway",
  "model-registry",
  "rollout-manager",
  "drift-monitor",
  "frame-archive",
  "trainer",
] as const;
const mainOf = {
  bridge: mains.bridge,
  router: mains.router,
  "cloud-classifier": mains.classifier,
  gateway: mains.gateway,
  "model-registry": mains.modelRegistry,
  "rollout-manager": mains.rolloutManager,
  "drift-monitor": mains.driftMonitor,
  "frame-archive": mains.frameArchive,
  trainer: mains.trainer,
  agent: mains.agent,
  tools: at("cli/dist/main.js"),
} as const;

/** A final stage of the Dockerfile: what it copies from the repository and what it runs. */
function imageOf(target: string): { readonly copies: string[]; readonly entry: string[]; readonly cmd: string[] } {
  const stage = read("Dockerfile")
    .split(/^FROM /m)
    .find((text) => text.split("\n")[0]?.endsWith(` AS ${target}`));
  if (stage === undefined) throw new Error(`the Dockerfile has no target ${target}`);
  const list = (instruction: string): string[] =>
    JSON.parse(new RegExp(`^${instruction} (\\[.*\\])$`, "m").exec(stage)?.[1] ?? "[]") as string[];
  return {
    copies: [...stage.matchAll(/^COPY ([a-z]\S*) /gm)].map((match) => match[1] ?? ""),
    entry: list("ENTRYPOINT"),
    cmd: list("CMD"),
  };
}

const manifests = readdirSync(at("k8s/base"))
  .filter((file) => file.endsWith(".yaml") && file !== "kustomization.yaml")
  .flatMap((file) => parseAllDocuments(read(`k8s/base/${file}`)).map((document) => document.toJS() as Manifest));
const find = (kind: string, name: string) => manifests.find((m) => m.kind === kind && m.metadata.name === name);
const compose = parse(read("docker-compose.yml"), { merge: true }) as Compose;

const state = tempDir("agent-example");
afterAll(() => state.remove());

const check = (main: string, config: string, env: Record<string, string> = {}) =>
  promisify(execFile)(process.execPath, [...exitFlags, main, "--config", config, "--check"], {
    cwd: repositoryRoot,
    env: { PATH: process.env.PATH, ...env },
  });

describe("configurations", () => {
  test("are valid by the programs that read them", async () => {
    const deployed = services.map((name) =>
      check(mainOf[name], at(`k8s/base/config/${name}.yaml`), { GATEWAY_TOKEN: "0123456789abcdef" }),
    );
    const agent = check(mains.agent, at("edge/agent/agent.example.yaml"), {
      STATE_DIRECTORY: state.path,
      TRIBUTARY_PASSWORD: "a password",
    });
    for (const { stdout } of await Promise.all([...deployed, agent])) expect(stdout).toMatch(/is valid$/m);
  });

  test("the gateway is never open by mistake", async () => {
    const config = at("k8s/base/config/gateway.yaml");
    await expect(check(mainOf.gateway, config)).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("GATEWAY_TOKEN"),
    });
  });
});

describe("images", () => {
  test.each(Object.entries(mainOf))("%s runs its program", (target, main) => {
    expect(imageOf(target).entry).toEqual(["/nodejs/bin/node", ...exitFlags, relative(repositoryRoot, main)]);
  });

  test.each(services)("%s holds the packages its configuration names", (name) => {
    const text = read(`k8s/base/config/${name}.yaml`);
    const packages = [...text.matchAll(/\bmodels\/[\w-]+/g)].map(([path]) => path);
    expect(imageOf(name).copies).toEqual(packages);
    for (const path of packages) expect(existsSync(at(path, "manifest.json"))).toBe(true);
  });

  test("the agent's holds the package of its example", () => {
    const { model } = parse(read("edge/agent/agent.example.yaml")) as { model: { package: string } };
    expect(imageOf("agent").copies).toEqual([model.package]);
  });
});

describe("the chart", () => {
  type Facts = { readonly http: number; readonly publish?: Record<string, number>; readonly uses?: readonly string[] };
  const facts = parse(read("deploy/helm/tributary/services.yaml")) as Record<string, Facts>;

  test("has every service", () => expect(Object.keys(facts).sort()).toEqual([...services].sort()));

  test.each(services)(
    "%s: its configuration is what is rendered, and calls the services that its facts name",
    (name) => {
      const config = read(`deploy/helm/tributary/config/${name}.yaml`);
      const [header, ...rest] = read(`k8s/base/config/${name}.yaml`).split("\n");
      expect([header, rest.join("\n")]).toEqual([expect.stringContaining("Generated by"), config]);
      const addresses = [...config.matchAll(/\{([A-Z_]+)_URL:-http:\/\/([a-z-]+):(\d+)\}/g)].map(
        ([, variable, host, port]) => {
          expect(variable).toBe(host?.toUpperCase().replaceAll("-", "_"));
          return [host, Number(port)];
        },
      );
      expect(addresses).toEqual((facts[name]?.uses ?? []).map((used) => [used, facts[used]?.publish?.http]));
    },
  );
});

describe("docker-compose.yml", () => {
  test("is valid by the Compose Specification's schema", () => {
    const { $schema: _, ...schema } = JSON.parse(read("lab/stack/fixtures/compose-spec.json")) as { $schema: string };
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    validate(compose);
    expect(validate.errors ?? []).toEqual([]);
    expect(validate({ ...compose, service: {} })).toBe(false);
  });

  test("every file that it mounts is in the repository", () => {
    const files = Object.values(compose.services)
      .flatMap(({ volumes = [] }) => volumes.map((volume) => volume.split(":")[0] ?? ""))
      .filter((from) => from.startsWith("./"));
    for (const file of files) expect([file, existsSync(at(file))]).toEqual([file, true]);
  });

  test("names targets of the Dockerfile", () => {
    const built = Object.values(compose.services).flatMap(({ build, image }) => (build ? [[build.target, image]] : []));
    expect([...new Set(built.map(([target]) => target))].sort()).toEqual([...services, "tools"].sort());
    for (const [target, image] of built) expect(image).toBe(`tributary/${target}`);
  });

  test.each(services)("%s finds its configuration", (name) => {
    const [from, to] = compose.services[name]?.volumes?.[0]?.split(":") ?? [];
    expect(existsSync(at(from ?? ""))).toBe(true);
    expect(imageOf(name).cmd).toEqual(["--config", to]);
  });
});

describe("k8s", () => {
  test.each(services)("%s: ports, probes and configuration are the program's", (name) => {
    const config = parse(read(`k8s/base/config/${name}.yaml`)) as Record<
      string,
      { port?: number; metricsPort?: number }
    >;
    const pod = find("Deployment", name)?.spec.template?.spec;
    const container = pod?.containers[0];
    expect(container?.image).toBe(`tributary/${name}`);
    for (const { name: port, containerPort } of container?.ports ?? []) {
      expect(port === "metrics" ? config.http?.metricsPort : config[port]?.port).toBe(containerPort);
    }
    const names = container?.ports?.map((port) => port.name) ?? [];
    expect(names).toContain(container?.livenessProbe?.httpGet.port);
    expect(names).toContain(container?.readinessProbe?.httpGet.port);
    for (const { targetPort } of find("Service", name)?.spec.ports ?? []) expect(names).toContain(targetPort);
    expect(container?.securityContext).toMatchObject({
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
    });
    const { configMapGenerator, images } = parse(read("k8s/base/kustomization.yaml")) as {
      configMapGenerator: { name: string; files?: string[] }[];
      images: { name: string }[];
    };
    expect(configMapGenerator).toContainEqual({ name, files: [`config/${name}.yaml`] });
    expect(images.map((image) => image.name)).toContain(container?.image);
  });

  test("the weekly training of a world model is off, and its commands have the options that it gives", async () => {
    const { suspend, jobTemplate } = find("CronJob", "world-training")?.spec ?? {};
    expect(suspend).toBe(true);
    const { initContainers = [], containers = [] } = jobTemplate?.spec.template.spec ?? {};
    const both = [...initContainers, ...containers];
    expect(both.map(({ image, args = [] }) => [image, ...args.slice(0, 3)])).toEqual([
      ["tributary/tools", "world", "train", "/work/world"],
      ["tributary/tools", "models", "push", "/work/world"],
    ]);
    for (const { args = [], securityContext } of both) {
      expect(securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false });
      const help = [...exitFlags, mainOf.tools, ...args.slice(0, 2), "--help"];
      const { stdout } = await promisify(execFile)(process.execPath, help);
      for (const option of args.slice(3)) expect(stdout).toContain(`${option.split("=")[0]} <`);
    }
    const { resources } = parse(read("k8s/base/kustomization.yaml")) as { resources: string[] };
    expect(resources).toContain("world-training.yaml");
  });

  test("requests fit a node with 2 cores and 4 GiB, beside those of K3s' own pods", () => {
    const documents = parseAllDocuments(read("k8s/k3s/kafka.yaml")).map((document) => document.toJS() as Manifest);
    const workloads = [...manifests, ...documents].filter(({ kind }) => /^(Deployment|StatefulSet|Job)$/.test(kind));
    let [millis, mebibytes] = [0, 0];
    for (const { kind, spec } of workloads) {
      const { requests } = spec.template?.spec.containers[0]?.resources ?? {};
      // While it is updated, there is one more of what does not stop first.
      const surge = kind === "Deployment" && spec.strategy?.type !== "Recreate" ? 1 : 0;
      const pods = (spec.replicas ?? 1) + surge;
      millis += pods * Number(/^(\d+)m$/.exec(requests?.cpu ?? "")?.[1]);
      mebibytes += pods * Number(/^(\d+)Mi$/.exec(requests?.memory ?? "")?.[1]);
    }
    // CoreDNS and the metrics server.
    expect(millis + 200).toBeLessThanOrEqual(2_000);
    expect(mebibytes + 140).toBeLessThanOrEqual(4_096);
  });

  test.each(["bridge", "model-registry", "frame-archive", "trainer"])(
    "there is one %s, and the old one ends before the new one starts",
    (name) => {
      expect(find("Deployment", name)?.spec).toMatchObject({ replicas: 1, strategy: { type: "Recreate" } });
    },
  );
});
