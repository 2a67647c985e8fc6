/**
 * The agent: cameras, one model, the outbox and the uplink, wired. Each part knows only what it uses.
 *
 * A1. Cameras start when the model and the policy stand and the outbox was tried, so no frame is skipped for want of them.
 * A2. Stopping: no new frame, the frames at hand are finished, everything is committed, `offline` is published, no process
 *     is left.
 * A3. No outbox, or a broken one, stops no local answer (G4); readiness says so, and it is opened again.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Server } from "node:http";
import { join } from "node:path";
import type { ModelPackage } from "@tributary/inference";
import { type Clock, systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { type Cores, OnnxModelHost } from "@tributary/onnx";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerFeed } from "./answer-feed.ts";
import { type Camera, makeCamera } from "./cameras/camera.ts";
import { FrameQueue, FrameQueues } from "./cameras/frame-queue.ts";
import type { AgentConfig } from "./config.ts";
import { Decider } from "./decider.ts";
import { deviceTime, monotonicMs } from "./device-time.ts";
import { Downlink } from "./downlink.ts";
import * as events from "./events.ts";
import { portOf, serveHttp } from "./http-server.ts";
import { ModelKeeper } from "./model-keeper.ts";
import { OutboxKeeper } from "./outbox/keeper.ts";
import { outboxLimitsOf } from "./outbox/limits.ts";
import type { Send } from "./outbox/outbox.ts";
import type { Opened } from "./outbox/rows.ts";
import { Pipeline } from "./pipeline.ts";
import { PolicyKeeper } from "./policy-keeper.ts";
import { Reports } from "./reports.ts";
import { traceFrame } from "./spans.ts";
import { exportGauges, notReady, type StatusParts, skippedOf, statusOf } from "./status.ts";
import { Tally } from "./tally.ts";
import { Triggers } from "./triggers.ts";
import { Uplink } from "./uplink.ts";

/** What is in flight may still be acknowledged, and what waits for the model still be answered. */
const GRACE_MS = 1_000;
const LAST_FRAMES_MS = 5_000;

export type RunningAgent = { readonly httpPort: number; stop(): Promise<void> };

export type AgentOptions = {
  readonly clock?: Clock;
  /** How the process's threads were set apart, if they were. */
  readonly cores?: Cores | null;
  /** For benches, which bring a camera of their own. */
  readonly cameraOf?: typeof makeCamera;
};

export async function startAgent(
  config: AgentConfig,
  telemetry: Telemetry,
  { clock = systemClock, cores = null, cameraOf = makeCamera }: AgentOptions = {},
): Promise<RunningAgent> {
  const { deviceId } = config;
  const now = deviceTime(config.clock);
  const tally = new Tally();
  const triggers = new Triggers();

  const pkg = await loadPackage(config.model.package);
  const policy = new PolicyKeeper(pkg, sha256Hex);
  let uplink: Uplink | undefined;
  const decider = new Decider(randomBytes(32), triggers);
  let reports: Reports | undefined;
  const outbox = await openOutbox(config, telemetry, tally, clock, cores, {
    onSend: (send) => uplink?.send(send),
    onOpened: (opened) => {
      decider.useSampleKey(opened.sampleKey);
      useKeptPolicy(policy, opened, telemetry);
      reports?.state(policy.policy.policyVersion);
    },
  });
  tellPolicy(policy, telemetry);
  const model = await openModel(config, telemetry, tally, clock, cores).catch(async (error: unknown) => {
    await outbox.close();
    throw error;
  });

  const feed = new AnswerFeed((code) => telemetry.emit(events.readerRefused, { code }));
  const queues = config.cameras.map(
    ({ id, queueFramesMax, whenFull }) =>
      new FrameQueue({ cameraId: id, framesMax: queueFramesMax, whenFull }, now, () =>
        telemetry.emit(events.frameSkipped, { cameraId: id }),
      ),
  );
  const told = new Reports({
    config,
    pkg,
    outbox,
    now,
    health: () => ({
      process_resident_memory_bytes: process.memoryUsage.rss(),
      outbox_bytes: outbox.stats.bytes,
      outbox_predictions: outbox.stats.predictions,
      online: uplink?.online ? 1 : 0,
    }),
    totals: () => ({
      frames_unreadable: tally.unreadable,
      frames_unrecorded: tally.unrecorded,
      frames_skipped: skippedOf(queues),
      model_losses: tally.modelLosses,
    }),
  });
  reports = told;
  told.state(policy.policy.policyVersion);
  const downlink = new Downlink({
    deviceId,
    policy,
    feed,
    tally,
    telemetry,
    onAcks: (bootId, stream, ranges) => outbox.confirmed(bootId, stream, ranges),
    onPolicy: (bytes, isNew) => {
      outbox.keepPolicy(bytes);
      if (!isNew) return;
      tellPolicy(policy, telemetry);
      told.state(policy.policy.policyVersion);
    },
  });
  uplink = new Uplink(
    config,
    {
      link: (online, epoch) => outbox.link(online, epoch),
      settled: (key, acked, epoch) => outbox.settled(key, acked, epoch),
      onOnline: (connections) => telemetry.emit(events.linkOnline, { connections }),
      onOffline: (offline) => telemetry.emit(events.linkOffline, offline),
      onSettled: (settled) => {
        tally.settled(settled);
        telemetry.emit(events.recordSettled, settled);
      },
      onPolicy: (payload) => downlink.policy(payload),
      onResults: (payload) => downlink.results(payload),
      onAcks: (payload) => downlink.acks(payload),
      tracer: telemetry.tracer,
    },
    clock,
    Math.random,
  );

  const pipeline = pipelineOf(config, pkg, {
    policy,
    outbox,
    model,
    decider,
    trace: (frame) => traceFrame(telemetry.tracer, frame),
    onAnswer: (answer, inference) => {
      feed.answer(answer);
      tally.answered(answer);
      told.answered(answer, inference);
      telemetry.emit(events.frameAnswered, answer);
      if (answer.frameSeq === null) telemetry.emit(events.frameUnrecorded, answer);
    },
    onUnreadable: (unreadable) => {
      tally.unreadable += 1;
      telemetry.emit(events.frameUnreadable, unreadable);
    },
  });
  const cameras = config.cameras.map((camera, i) =>
    cameraOf(camera, {
      queue: queues[i] as FrameQueue,
      frameBytesMax: config.limits.cameraFrameBytesMax,
      bootId: () => outbox.bootId ?? "0",
      events: {
        onStarted: (cameraId) => telemetry.emit(events.cameraStarted, { cameraId }),
        onEnded: (ended) => telemetry.emit(events.cameraEnded, ended),
        onRefused: (refused) => telemetry.emit(events.cameraRefused, refused),
      },
    }),
  );

  const parts: StatusParts = { deviceId, now, pkg, model, policy, outbox, uplink, cameras, queues, tally };
  exportGauges(telemetry, parts);
  const server = await serveHttp(config.http.host, config.http.port, {
    feed,
    metrics: () => telemetry.metrics(),
    metricsContentType: telemetry.metricsContentType,
    status: () => statusOf(parts),
    notReady: () => notReady(parts),
    trigger: (cameraId, trigger) => {
      if (!cameras.some(({ id }) => id === cameraId)) return false;
      triggers.arm(cameraId, trigger, monotonicMs());
      return true;
    },
  });

  const noMore = new AbortController();
  const working = work(new FrameQueues(queues), pipeline, noMore.signal);
  told.start();
  uplink.start();
  for (const camera of cameras) camera.start(); // A1

  // A2
  const stop = async (): Promise<void> => {
    await Promise.all(cameras.map((camera: Camera) => camera.stop()));
    noMore.abort(new Error("stopping"));
    await Promise.race([working, clock.sleep(LAST_FRAMES_MS)]);
    told.stop();
    await outbox.flush();
    await uplink.stop(GRACE_MS);
    await outbox.close();
    await model.close();
    feed.close();
    await closeServer(server);
  };
  let stopped: Promise<void> | undefined;
  return {
    httpPort: portOf(server),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** Until no frame waits and none will come. */
async function work(frames: FrameQueues, pipeline: Pipeline, noMore: AbortSignal): Promise<void> {
  for (;;) {
    const frame = await frames.next(noMore);
    if (frame === undefined) return;
    try {
      await pipeline.process(frame);
    } catch (error) {
      if (noMore.aborted) return; // The model was closed under it.
      throw error;
    }
  }
}

type OutboxUsers = { readonly onSend: (send: Send) => void; readonly onOpened: (opened: Opened) => void };

function openOutbox(
  config: AgentConfig,
  telemetry: Telemetry,
  tally: Tally,
  clock: Clock,
  cores: Cores | null,
  users: OutboxUsers,
) {
  const { deviceId, dataDir } = config;
  return OutboxKeeper.open(
    {
      file: join(dataDir, "outbox.sqlite"),
      deviceId,
      limits: outboxLimitsOf(config),
      clock: config.clock,
      ...(cores && { backgroundCore: cores.background }),
    },
    {
      onSend: users.onSend,
      onOpened: (opened) => {
        const { frames, predictions } = opened.stats;
        telemetry.emit(events.outboxOpened, { bootId: opened.bootId, frames, predictions });
        users.onOpened(opened);
      },
      onUnopened: (unopened) => telemetry.emit(events.outboxUnopened, unopened),
      onSetAside: ({ file, reason }) => telemetry.emit(events.outboxSetAside, { file, reason }),
      onCommitted: ({ dropped, commitMs }) => {
        telemetry.emit(events.outboxCommitted, { commitMs });
        for (const one of dropped) {
          tally.outboxDropped(one);
          telemetry.emit(events.outboxDropped, one);
        }
      },
      onFailed: ({ message, fatal }) => telemetry.emit(events.outboxFailed, { reason: message, fatal }),
    },
    clock,
    Math.random,
  );
}

function openModel(
  config: AgentConfig,
  telemetry: Telemetry,
  tally: Tally,
  clock: Clock,
  cores: Cores | null,
): Promise<ModelKeeper> {
  return ModelKeeper.open(
    new OnnxModelHost(loadPackage),
    {
      packageDir: config.model.package,
      threads: config.model.threads,
      ...(cores && { backgroundCore: cores.background }),
    },
    {
      onLoaded: ({ digest: modelDigest, manifest: { name, version }, pid }) =>
        telemetry.emit(events.modelLoaded, { modelDigest, name, version, pid }),
      onLost: (lost) => {
        tally.modelLosses += 1;
        telemetry.emit(events.modelLost, lost);
      },
    },
    clock,
    Math.random,
  );
}

type PipelineParts = {
  readonly policy: PolicyKeeper;
  readonly outbox: OutboxKeeper;
  readonly model: ModelKeeper;
  readonly decider: Decider;
} & Pick<ConstructorParameters<typeof Pipeline>[2], "trace" | "onAnswer" | "onUnreadable">;

function pipelineOf(config: AgentConfig, pkg: ModelPackage, parts: PipelineParts): Pipeline {
  const { policy, outbox, model, decider, trace, onAnswer, onUnreadable } = parts;
  const { deviceId, arm } = config;
  const { digest: modelDigest, preprocessingDigest } = pkg;
  return new Pipeline({ deviceId, arm, modelDigest, preprocessingDigest }, decider, {
    infer: (jpeg) => model.infer(jpeg),
    policy: () => policy.policy,
    outbox, // A3
    trace,
    onAnswer,
    onUnreadable,
  });
}

/** One that came down to this process is newer than what the outbox keeps. */
function useKeptPolicy(policy: PolicyKeeper, opened: Opened, telemetry: Telemetry): void {
  if (opened.policy === null || opened.policy.length === 0 || policy.origin !== "package") return;
  try {
    if (policy.apply(opened.policy, "outbox")) tellPolicy(policy, telemetry);
  } catch {
    // It was for another model; the package's own stands.
  }
}

function tellPolicy({ policy, origin }: PolicyKeeper, telemetry: Telemetry): void {
  telemetry.emit(events.policyApplied, { policyVersion: policy.policyVersion, from: origin });
}

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
