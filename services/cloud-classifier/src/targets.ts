/** Builds the configured targets. The one place that knows which backends there are. */

import type { Clock, Random } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import type { Telemetry } from "@tributary/telemetry";
import { startKserve } from "./backends/kserve.ts";
import { OnnxBackend } from "./backends/onnx.ts";
import type { RemoteContext } from "./backends/remote-start.ts";
import type { ChildEvents } from "./backends/supervised.ts";
import { startTfServing } from "./backends/tf-serving.ts";
import type { CloudBackend } from "./cloud-backend.ts";
import type { ClassifierConfig, TargetConfig } from "./config.ts";
import { callMade, modelLoaded, modelLoadFailed, modelLost, serverSeen } from "./events.ts";
import { Target } from "./target.ts";
import { tracedBackend } from "./traced-backend.ts";

export type TargetsContext = { readonly clock: Clock; readonly random: Random; readonly telemetry: Telemetry };

export async function startTargets(
  configs: ClassifierConfig["targets"],
  context: TargetsContext,
): Promise<ReadonlyMap<string, Target>> {
  const targets = new Map<string, Target>();
  for (const [name, config] of Object.entries(configs)) {
    targets.set(name, targetOf(name, config, await startBackend(name, config, context), context));
  }
  context.telemetry.gauge(
    { name: "tributary_classifier_queue_frames", help: "Frames waiting for a backend", labels: ["target"] },
    () => [...targets.values()].map((target) => ({ labels: { target: target.name }, value: target.queueFrames })),
  );
  return targets;
}

const targetOf = (name: string, config: TargetConfig, backend: CloudBackend, context: TargetsContext): Target =>
  new Target({
    name,
    backend: tracedBackend(backend, name, context.telemetry.tracer),
    limits: {
      batchMax: config.batchMax,
      waitMs: config.batchWaitMs,
      queueFramesMax: config.queueFramesMax,
      queueBytesMax: config.queueBytesMax,
    },
    costMicrosPerCall: config.costMicrosPerCall,
    callMsMax: config.callMsMax,
    clock: context.clock,
    onBatch: (event) => context.telemetry.emit(callMade, event),
  });

/** A backend that needs nothing but its own keys is one line here. */
async function startBackend(target: string, config: TargetConfig, context: TargetsContext): Promise<CloudBackend> {
  switch (config.backend) {
    case "onnx":
      return startOnnx(target, config, context);
    case "sagemaker":
      throw new Error("to come");
    case "kserve":
      return startKserve(config, remoteContext(target, context));
    case "tf-serving":
      return startTfServing(config, remoteContext(target, context));
    default:
      return config satisfies never;
  }
}

function startOnnx(
  target: string,
  config: Extract<TargetConfig, { backend: "onnx" }>,
  context: TargetsContext,
): Promise<CloudBackend> {
  const { clock, random, telemetry } = context;
  return OnnxBackend.start({
    host: new OnnxModelHost(loadPackage, { answerMsMax: config.callMsMax }),
    packageDir: config.package,
    threads: config.threads,
    clock,
    random,
    events: childEvents(target, telemetry),
  });
}

const childEvents = (target: string, telemetry: Telemetry): ChildEvents => ({
  loaded: (event) => telemetry.emit(modelLoaded, { target, ...event }),
  lost: ({ digest, exitCode }) => telemetry.emit(modelLost, { target, digest, exitCode: `${exitCode}` }),
  loadFailed: ({ reason }) => telemetry.emit(modelLoadFailed, { target, reason }),
});

const remoteContext = (target: string, { clock, random, telemetry }: TargetsContext): RemoteContext => ({
  clock,
  random,
  events: {
    ...childEvents(target, telemetry),
    server: (event) => telemetry.emit(serverSeen, { target, ...event }),
  },
});
