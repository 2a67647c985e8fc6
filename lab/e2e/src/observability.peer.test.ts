/**
 * What operators use, checked by Prometheus's own tool: every metric that a process defines, the alert rules, and every
 * query of the dashboard, whose metrics must be ones that running processes serve.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { metricsOf, type Part, type Stack, startStack, untilAnswered } from "@tributary/stack";
import { repositoryRoot, tempDir, testKafka } from "@tributary/testing";
import { parse } from "yaml";
import { debian } from "../../../tools/peers.mjs";

const deploy = join(repositoryRoot, "deploy");
const filesOf = (folder: string) =>
  readdirSync(join(deploy, folder)).map((name) => ({ name, path: join(deploy, folder, name) }));
const rules = filesOf("helm/tributary/files/rules");
const dashboards = filesOf("helm/tributary/files/dashboards");

function promtool(args: readonly string[], input?: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(debian("promtool", "prometheus"), args, { input, encoding: "utf8" });
  return { status, output: `${stdout}${stderr}` };
}

describe("given the alert rules", () => {
  test("then the configuration is valid, and names every rule file that is mounted beside it", () => {
    const compose = parse(readFileSync(join(repositoryRoot, "docker-compose.yml"), "utf8"), { merge: true }) as {
      services: { prometheus: { volumes: string[] } };
    };
    const mounted = tempDir("prometheus");
    for (const volume of compose.services.prometheus.volumes) {
      const [from = "", to = ""] = volume.split(":");
      if (from.startsWith("./")) symlinkSync(join(repositoryRoot, from), join(mounted.path, basename(to)));
    }
    const { status, output } = promtool(["check", "config", join(mounted.path, "prometheus.yml")]);
    mounted.remove();
    expect([status, output]).toEqual([0, expect.stringContaining(`${rules.length} rule files found`)]);
  });

  test("then they fire when they should, and only then", () => {
    const tests = filesOf("prometheus/tests").map(({ path }) => path);
    const { status, output } = promtool(["test", "rules", ...tests]);
    if (status !== 0) throw new Error(output);
  });

  test("then each fires in a test, and has a severity", () => {
    const tested = filesOf("prometheus/tests").map(({ path }) => readFileSync(path, "utf8"));
    const text = rules.map(({ path }) => readFileSync(path, "utf8")).join("\n");
    const alerts = [...text.matchAll(/- alert: (\w+)\n([\s\S]*?)(?=\n {6}- alert|$)/g)].map(([, name, body]) => ({
      name,
      body,
    }));
    expect(alerts.length).toBeGreaterThan(30);
    for (const { name, body } of alerts) {
      expect(tested.some((one) => one.includes(`alertname="${name}"`)) || `${name} fires in no test`).toBe(true);
      expect(body).toMatch(/severity: (page|ticket)/);
    }
  });
});

test("given the dashboards, then each panel has its own id and asks the provisioned datasource", () => {
  const provisioned = readFileSync(join(deploy, "grafana/provisioning/datasources/prometheus.yml"), "utf8");
  const uid = /uid: (\S+)/.exec(provisioned)?.[1];
  for (const { path } of dashboards) {
    const { panels } = JSON.parse(readFileSync(path, "utf8")) as {
      panels: { id: number; datasource: { uid: string } }[];
    };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ datasource }) => datasource.uid))).toEqual(new Set([uid]));
  }
});

describe("given a running stack", () => {
  const dir = tempDir("observability");
  const { brokers, prefix } = testKafka();
  let stack: Stack;
  const scraped = new Map<string, string>();

  beforeAll(async () => {
    stack = await startStack({
      dir: dir.path,
      kafka: { brokers, prefix, partitions: 4 },
      agents: { count: 1, frames: 20, fps: 20 },
      rollouts: {},
      drift: {},
      training: {},
    });
    await untilAnswered(stack, 20, { silenceMsMax: 30_000 });
    const { bridge, router, classifier, gateway, registry, agents, manager, monitors, archive, trainer } = stack;
    const services = [
      bridge,
      router,
      classifier,
      gateway,
      registry as Part,
      manager as Part,
      ...monitors,
      archive as Part,
      trainer as Part,
    ];
    for (const part of [...services, ...agents.map(({ part }) => part)]) {
      scraped.set(part.name, await metricsOf(part));
    }
  });
  afterAll(async () => {
    await stack?.stop();
    dir.remove();
  });

  test("then every metric that a process defines is named as Prometheus expects", () => {
    expect(scraped.size).toBe(10);
    for (const [part, text] of scraped) {
      expect(text.match(/^# TYPE tributary_/gm)?.length).toBeGreaterThan(10);
      expect([part, promtool(["check", "metrics"], text)]).toEqual([part, { status: 0, output: "" }]);
    }
  });

  test("then rules and dashboard ask only for metrics that processes serve, in words that Prometheus reads", () => {
    const served = new Set<string>(["up", "ALERTS"]);
    for (const text of scraped.values()) {
      for (const [, name = "", type] of text.matchAll(/^# TYPE (\w+) (\w+)/gm)) {
        served.add(name);
        if (type === "histogram") for (const end of ["_bucket", "_sum", "_count"]) served.add(`${name}${end}`);
      }
    }
    const ruleText = rules.map(({ path }) => readFileSync(path, "utf8")).join("\n");
    for (const [, name = ""] of ruleText.matchAll(/record: (\S+)/g)) served.add(name);
    const queries = dashboards.flatMap(({ path }) => queriesOf(JSON.parse(readFileSync(path, "utf8"))));
    expect(queries.length).toBeGreaterThan(20);
    const asked = [
      ...ruleText.split("\n").filter((line) => !/record:|#|summary:|description:|title/.test(line)),
      ...queries,
    ]
      .flatMap((text) => text.match(/\btributary[_:][a-z0-9_:]+/g) ?? [])
      .filter((name) => !served.has(name));
    expect([...new Set(asked)]).toEqual([]);

    const file = join(dir.path, "dashboard-rules.yml");
    const asRules = queries.map((query, i) => ({
      record: `query_${i}`,
      expr: query.replaceAll("$__rate_interval", "5m"),
    }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules: asRules }] }));
    const { status, output } = promtool(["check", "rules", file]);
    if (status !== 0) throw new Error(output);
  });
});

/** Every `expr`, at any depth. */
function queriesOf(node: unknown): string[] {
  if (node === null || typeof node !== "object") return [];
  const here = "expr" in node && typeof node.expr === "string" ? [node.expr] : [];
  return [...here, ...Object.values(node).flatMap(queriesOf)];
}
