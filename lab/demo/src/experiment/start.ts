/** The system of this demo: a fleet at one site for each case, people who label, and a cloud model that can be moved farther away. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { KafkaReader } from "@tributary/kafka";
import { cloudPackage, edgePackage, Labeller, type Stack, startModelServer, startStack } from "@tributary/stack";
import { packageWithSample } from "../drift/package.ts";
import { CLASSES, readPool } from "../photos.ts";
import { fleet } from "./cases.ts";
import { FarAway } from "./far-away.ts";
import { managerConfig, routerConfig, settings, targetConfig } from "./settings.ts";

export type ExperimentOptions = {
  readonly dir: string;
  readonly pagesDir: string;
  readonly poolDir: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export type Cloud = { readonly away: FarAway; stop(): Promise<void> };

/** The sample cloud model behind KServe's protocol, and the network before it. Its answers are remembered: else it takes one of two cores,
 * and the fleet's own latency moves by more than the network's. */
export async function startCloud(): Promise<Cloud> {
  const server = await startModelServer(cloudPackage, { remembers: true });
  const away = await FarAway.start(server.url, settings.spreadMs);
  const stop = async () => {
    await away.stop();
    await server.stop();
  };
  return { away, stop };
}

export type Running = {
  readonly stack: Stack;
  /** The devices' package. */
  readonly packageDir: string;
  readonly reader: KafkaReader;
  readonly labeller: Labeller;
  stop(): Promise<void>;
};

export async function start({ dir, poolDir, log, signal }: ExperimentOptions, { away }: Cloud): Promise<Running> {
  rmSync(dir, { recursive: true, force: true });
  const packageDir = await packageWithSample(join(dir, "edge"), edgePackage, settings.sampling);
  const stack = await startStack({
    dir: join(dir, "run"),
    fresh: true,
    supervised: true,
    packages: { edge: packageDir, cloud: cloudPackage },
    kafka: { partitions: settings.partitions },
    services: { router: routerConfig, cloud: { targets: { default: targetConfig(away.url, cloudPackage) } } },
    rollouts: { manager: managerConfig() },
    light: {
      devices: fleet.map((device) => ({ ...device, scene: { view: "clear", classes: CLASSES } })),
      processes: settings.lightProcesses,
      fps: settings.fps,
      photos: poolDir,
      batchWaitMs: settings.batchWaitMs,
      windowMs: settings.windowMs,
    },
    signal,
    onStep: (step) => log(`starting ${step}`),
    onEvent: log,
  });
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "demo" });
  const truths = new Map((await readPool(poolDir)).map(({ sha256, label }) => [sha256, label]));
  const { gatewayUrl } = stack;
  const labeller = new Labeller({
    ...{ reader, gatewayUrl, truths, labelledBy: "demo", delayMs: settings.labelDelayMs, onTrouble: log },
  });
  const stop = async () => {
    await labeller.stop();
    await reader.close();
    await stack.stop();
  };
  await labeller.start();
  return { stack, packageDir, reader, labeller, stop };
}
