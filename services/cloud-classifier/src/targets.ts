/** Builds the configured targets. The one place that knows which backends there are. */
import type { FollowedPackages } from "@tributary/followed-packages";
import type { ModelPackage } from "@tributary/inference";
import type { Clock, Random } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { modelReferenceOf } from "@tributary/models";
import { OnnxModelHost } from "@tributary/onnx";
import type { Health } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { startKserve } from "./backends/kserve.ts";
import { OnnxBackend } from "./backends/onnx.ts";
import { provenHost } from "./backends/proven-host.ts";
import type { RemoteContext } from "./backends/remote-start.ts";
import { ReplaceableBackend } from "./backends/replaceable.ts";
import type { ChildEvents } from "./backends/supervised.ts";
import { startTfServing } from "./backends/tf-serving.ts";
import type { CloudBackend } from "./cloud-backend.ts";
import type { ClassifierConfig, TargetConfig } from "./config.ts";
import {
  callMade,
  circuitChanged,
  costsConfigured,
  modelCloseFailed,
  modelLoaded,
  modelLoadFailed,
  modelLost,
  retryDecided,
  serverSeen,
} from "./events.ts";
import { mustHaveClasses } from "./same-classes.ts";
import { Target } from "./target.ts";
import { tracedBackend } from "./traced-backend.ts";

/** By name. */
export type Targets = ReadonlyMap<string, Target>;
export const TARGETS = Symbol("Targets");

type TargetsContext = { readonly clock: Clock; readonly random: Random; readonly telemetry: Telemetry };

export async function startTargets(
  { targets: configs }: Pick<ClassifierConfig, "targets">,
  clock: Clock,
  random: Random,
  telemetry: Telemetry,
  health: Health,
  packages: Pick<FollowedPackages, "follow">,
): Promise<Targets> {
  const context: TargetsContext = { clock, random, telemetry };
  const targets = new Map<string, Target>();
  for (const [name, config] of Object.entries(configs)) {
    const backend = isFollowed(config)
      ? followedBackend(name, config, context, packages)
      : await startBackend(name, config, context);
    targets.set(name, targetOf(name, config, backend, context));
  }
  for (const target of targets.values()) {
    // A server that is away shows in its gauge and in every result; the service itself is well.
    if (!target.isServer) health.add(`target ${target.name}`, () => target.ready() || "its backend is not there");
  }
  const gauge = (name: string, help: string, read: (target: Target) => number) =>
    telemetry.gauge({ name: `tributary_classifier_${name}`, help, labels: ["target"] }, () =>
      [...targets.values()].map((target) => ({ labels: { target: target.name }, value: read(target) })),
    );
  gauge("queue_frames", "Frames waiting for a backend", (target) => target.queueFrames);
  gauge("target_ready", "1 while the backend could answer", (target) => Number(target.ready()));
  gauge("backend_ready", "1 while the backend could answer: its model is loaded, its server there", (target) =>
    Number(target.ready()),
  );
  gauge("calls_in_flight", "Calls under way", (target) => target.callsInFlight);
  gauge("circuit_open", "1 while the target is not asked, or only probed", (target) =>
    Number(target.circuit !== "closed"),
  );
  const costs = Object.entries(configs).map(([name, { backend, costMicrosPerCall }]) => ({
    name,
    backend,
    costMicrosPerCall,
  }));
  telemetry.emit(costsConfigured, { targets: costs });
  return targets;
}

function targetOf(name: string, config: TargetConfig, backend: CloudBackend, context: TargetsContext): Target {
  const { clock, random, telemetry } = context;
  const { batchMax, batchWaitMs: waitMs, queueFramesMax, queueBytesMax, callsMax } = config;
  return new Target({
    name,
    backend: tracedBackend(backend, name, telemetry.tracer),
    limits: { batchMax, waitMs, queueFramesMax, queueBytesMax, callsMax },
    calls: config,
    isServer: config.backend !== "onnx",
    clock,
    random,
    events: {
      called: (event) => telemetry.emit(callMade, { target: name, ...event }),
      retry: (event) => telemetry.emit(retryDecided, { target: name, ...event }),
      circuit: (state) => telemetry.emit(circuitChanged, { target: name, state }),
    },
  });
}

type FollowedConfig = Exclude<TargetConfig, { backend: "sagemaker" }>;

const isFollowed = (config: TargetConfig): config is FollowedConfig =>
  config.backend !== "sagemaker" && modelReferenceOf(config.package) !== null;

/** One whose package comes from the model registry, and changes while it runs. */
function followedBackend(
  name: string,
  config: FollowedConfig,
  context: TargetsContext,
  packages: Pick<FollowedPackages, "follow">,
): CloudBackend {
  const backend = new ReplaceableBackend((code, message) =>
    context.telemetry.emit(modelCloseFailed, { target: name, code, reason: message }),
  );
  let classes: readonly string[] | undefined;
  packages.follow({
    user: `target ${name}`,
    text: config.package,
    isNeeded: true,
    use: async (dir) => {
      const pkg = await loadPackage(dir);
      if (classes !== undefined) mustHaveClasses(pkg, classes);
      const next = await startBackend(name, { ...config, package: dir }, context, pkg);
      backend.replace(next);
      classes = pkg.labels;
    },
  });
  return backend;
}

/** A backend that needs nothing but its own keys is one line here. `proves`: a local model must first reproduce the golden frames
 * of this package. */
async function startBackend(
  target: string,
  config: TargetConfig,
  context: TargetsContext,
  proves?: ModelPackage,
): Promise<CloudBackend> {
  switch (config.backend) {
    case "onnx":
      return startOnnx(target, config, context, proves);
    case "sagemaker":
      // AWS' client is loaded only where it is used.
      return (await import("./backends/sagemaker.ts")).SagemakerBackend.start(config, context.clock);
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
  proves: ModelPackage | undefined,
): Promise<CloudBackend> {
  const { clock, random, telemetry } = context;
  const host = new OnnxModelHost(loadPackage, { answerMsMax: config.callMsMax });
  return OnnxBackend.start({
    host: proves === undefined ? host : provenHost(host, proves),
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
