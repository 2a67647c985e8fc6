/**
 * The chart on a small node, devices outside, and faults: what becomes of the frames, and for how long which service has no ready pod.
 *
 * Devices are real agents of this machine, outside the node's namespaces: they reach the bridge where a load balancer has its port. What
 * their cameras showed is compared with what Kafka holds, by a verifier that neither of them can influence.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Failure, reasonOf } from "@tributary/kernel";
import { type Fleet, type Report, startFleet } from "@tributary/stack";
import { KubernetesApi } from "../addons/api.ts";
import { environmentOf, type Node } from "../node/node.ts";
import { NAMESPACE } from "../settings.ts";
import { accountFor } from "./account.ts";
import { disturbancesOf } from "./disturbances.ts";
import { Release } from "./release.ts";
import { reachedByStranger } from "./stranger.ts";
import { type Watch, watchReadiness } from "./watch.ts";

export type DemoOptions = {
  readonly devices: number;
  readonly frames: number;
  /** How long cameras take for their frames. */
  readonly seconds: number;
  readonly helm: string;
};

/** A disturbance that is over: how long until all was ready, and who had no ready pod for how long. */
export type Passed = {
  readonly name: string;
  readonly seconds: number;
  readonly without: ReadonlyMap<string, number>;
  /** That cameras showed meanwhile. */
  readonly frames: number;
  readonly failure: string | undefined;
};

export type DemoReport = {
  readonly report: Report;
  readonly services: readonly string[];
  readonly passed: readonly Passed[];
  /** By a pod that is no part of the release. */
  readonly reached: readonly string[];
};

const BROKERS = ["tributary-kafka:9092"];
const PREFIX = "tributary.";
const READY_MS_MAX = 240_000;
const SILENCE_MS_MAX = 150_000;
const MQTT_PORT = 1883;

export async function runDemo(
  node: Node,
  options: DemoOptions,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<DemoReport> {
  const dir = join(node.layout.run, "demo");
  mkdirSync(dir, { recursive: true });
  const release = new Release(node, options.helm, dir);
  say("installing the chart");
  await release.install();
  say("every pod is ready");
  const reached = await reachedByStranger(release, dir);
  const api = new KubernetesApi(node.layout.kubeconfig);
  const watch = await watchReadiness(api);
  let fleet: Fleet | undefined;
  try {
    fleet = await devicesOf(node, release, options, dir, say, signal);
    say(`${options.devices} devices send frames`);
    const passed = await disturb(release, watch, fleet, say, signal);
    say("waiting for the answers to all frames");
    const account = {
      brokers: BROKERS,
      prefix: PREFIX,
      ledgers: fleet.agents.map(({ deviceId, ledger }) => ({ deviceId, ledger })),
      frames: options.frames,
      silenceMsMax: SILENCE_MS_MAX,
    };
    const report = await accountFor(node, dir, account, say, signal);
    return { report, services: watch.log.services, passed, reached };
  } finally {
    await watch.stop();
    api.close();
    await fleet?.stop();
  }
}

/** Registered through the gateway as its operator reaches it: by a port that kubectl forwards. */
async function devicesOf(
  node: Node,
  release: Release,
  { devices, frames, seconds }: DemoOptions,
  dir: string,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<Fleet> {
  const args = ["--namespace", NAMESPACE, "port-forward", "service/tributary-gateway", ":80"];
  const forward = spawn("kubectl", args, { stdio: ["ignore", "pipe", "pipe"], env: environmentOf(node) });
  try {
    const port = await new Promise<string>((resolve, reject) => {
      createInterface({ input: forward.stdout }).on("line", (line) => {
        const [, found] = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line) ?? [];
        if (found !== undefined) resolve(found);
      });
      forward.once("exit", () => reject(new Failure("gateway-unreachable", "give-up", "kubectl port-forward ended")));
    });
    return await startFleet({
      dir: join(dir, "devices"),
      gateway: { url: `http://127.0.0.1:${port}`, token: release.token },
      mqttUrl: `mqtt://${node.state.link.node}:${MQTT_PORT}`,
      agents: { count: devices, frames, fps: frames / devices / seconds },
      onEvent: say,
      signal,
    });
  } finally {
    forward.kill();
  }
}

async function disturb(
  release: Release,
  watch: Watch,
  fleet: Fleet,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<readonly Passed[]> {
  const passed: Passed[] = [];
  for (const { name, act } of await disturbancesOf(release, watch)) {
    signal.throwIfAborted();
    const [from, framesBefore] = [performance.now(), framesOf(fleet)];
    const ready = await act()
      .then(() => watch.untilComplete(READY_MS_MAX, signal))
      .catch(reasonOf);
    signal.throwIfAborted();
    const [until, failure] = typeof ready === "number" ? [ready, undefined] : [performance.now(), ready];
    const without = watch.log.secondsWithout(from, until);
    const seconds = (until - from) / 1_000;
    passed.push({ name, seconds, without, frames: framesOf(fleet) - framesBefore, failure });
    const lacked = [...without].map(([service, lasted]) => `${service} ${lasted.toFixed(1)} s`).join(", ");
    say(`${name}: ${failure ?? `ready again after ${seconds.toFixed(1)} s`}; without a ready pod: ${lacked || "none"}`);
  }
  return passed;
}

const framesOf = ({ agents }: Fleet): number => agents.reduce((sum, { ledger }) => sum + linesOf(ledger), 0);

function linesOf(file: string): number {
  try {
    return readFileSync(file, "utf8").split("\n").length - 1;
  } catch {
    return 0; // Its camera has shown nothing yet.
  }
}
