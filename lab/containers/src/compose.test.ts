import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { repositoryRoot } from "@tributary/testing";
import { parse } from "yaml";
import { type ComposeFile, composeWorkloads } from "./compose.ts";

const file = parse(readFileSync(join(repositoryRoot, "docker-compose.yml"), "utf8"), { merge: true }) as ComposeFile;
const read = (env: Readonly<Record<string, string>>) =>
  composeWorkloads(file, { dir: repositoryRoot, env, tag: "0.1.0", without: ["prometheus", "grafana"] });

describe("docker-compose.yml", () => {
  test("its services run as written", () => {
    const { workloads, problems } = read({ TRIBUTARY_TOKEN: "a token of an operator" });
    expect(problems).toEqual([]);
    const named = (name: string) => workloads.find((workload) => workload.name === name);
    expect(named("gateway")).toMatchObject({
      image: "tributary/gateway:0.1.0",
      env: { GATEWAY_TOKEN: "a token of an operator" },
      readOnlyRoot: true,
      graceSeconds: 30,
      ports: [{ host: 8080, container: 8080 }],
      startsAfter: [{ name: "topics", state: "completed" }],
    });
    expect(named("topics")).toMatchObject({ kind: "job", startsAfter: [{ name: "kafka", state: "ready" }] });
    expect(named("registry")).toBeUndefined();
  });

  test("a variable that it needs is named", () => {
    expect(read({}).problems.join("\n")).toContain("gateway: TRIBUTARY_TOKEN is not set");
  });
});
