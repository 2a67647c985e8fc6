/**
 * The agent: cameras, a model and what takes its place, the outbox and the uplink, wired. Each part knows only what it uses.
 *
 * A1. Cameras start when the model and the policy stand and the outbox was tried, so no frame is skipped for want of them.
 * A2. Stopping: no new frame, the frames at hand are finished, everything is committed, `offline` is published, no process
 *     is left.
 * A3. No outbox, or a broken one, stops no local answer (G4); readiness says so, and it is opened again.
 */
import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import { join } from "node:path";
import { type Clock, systemClock } from "@tributary/kernel";
import type { Cores } from "@tributary/onnx";
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
import { Models } from "./models.ts";
import { OutboxKeeper } from "./outbox/keeper.ts";
import { outboxLimitsOf } from "./outbox/limits.ts";
import type { Send } from "./outbox/outbox.ts";
import type { Opened } from "./outbox/rows.ts";
import { Pipeline } from "./pipeline.ts";
import { Reports } from "./reports.ts";
import { Slots } from "./slots.ts";
import { traceFrame } from "./spans.ts";
import { exportGauges, notReady, type StatusParts, skippedOf, statusOf } from "./status.ts";
import { Tally } from "./tally.ts";
import { Triggers } from "./triggers.ts";
import { Updater } from "./updates/updater.ts";
import { Uplink } from "./uplink.ts";

/** What is in flight may still be acknowledged, and what waits for the model still be answered. */
const GRACE_MS = 1_000;
const LAST_FRAMES_MS = 5_000;
/** Maintenance windows open and close by the minute. */
const CLOCK_TOLD_EVERY_MS = 20_000;

export type RunningAgent = {
  readonly ports: { readonly http: number; readonly metrics?: number };
  stop(): Promise<void>;
};

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

  let reports: Reports | undefined;
  const models = await Models.open({
    ...{ config, telemetry, clock, cores },
    onLost: (slot) => {
      tally.modelLosses += 1;
      reports?.ofModel(slot.window, "model_losses", 1);
    },
  });
  const slots = new Slots(models.first, (slot, failing) => {
    if (failing.code === "model-crashed") models.lost(slot, { ...failing, retryMs: 0 });
    updater.failing(failing);
  });
  let uplink: Uplink | undefined;
  const decider = new Decider(randomBytes(32), triggers);
  const outbox = await openOutbox(config, telemetry, tally, clock, cores, {
    onSend: (send) => uplink?.send(send),
    onOpened: (opened) => {
      decider.useSampleKey(opened.sampleKey);
      useKeptPolicy(slots, opened, telemetry);
      reports?.tellAgain();
    },
  });
  tellPolicy(slots, telemetry);

  const feed = new AnswerFeed((code) => telemetry.emit(events.readerRefused, { code }));
  const queues = config.cameras.map(
    ({ id, queueFramesMax, whenFull }) =>
      new FrameQueue({ cameraId: id, framesMax: queueFramesMax, whenFull }, now, () =>
        telemetry.emit(events.frameSkipped, { cameraId: id }),
      ),
  );
  const updater = new Updater(models.boot, {
    ...models.updaterPorts(slots),
    isBusy: () => queues.some(({ waiting }) => waiting > 0),
    onChanged: () => told.state(),
    onMoved: (said) => telemetry.emit(events.updateMoved, said),
    onShadowed: ({ pkg, window }, { agrees, latencyMs }) => {
      told.ofModel(window, "shadow_agreed", agrees ? 1 : 0);
      told.ofModel(window, "shadow_latency_ms", latencyMs);
      telemetry.emit(events.frameShadowed, { modelDigest: pkg.digest, agrees, latencyMs });
    },
  });
  const told = new Reports({
    config,
    slot: () => slots.active,
    update: () => updater,
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
  told.state();
  const downlink = new Downlink({
    deviceId,
    slots,
    onDesired: (payload) => updater.desired(payload),
    onSampleKey: (key) => {
      decider.useSampleKey(key);
      outbox.keepSampleKey(key);
    },
    feed,
    tally,
    telemetry,
    onAcks: (bootId, stream, ranges) => outbox.confirmed(bootId, stream, ranges),
    onPolicy: (bytes, isNew) => {
      outbox.keepPolicy(bytes);
      if (!isNew) return;
      tellPolicy(slots, telemetry);
      told.state();
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
      onDesired: (payload) => downlink.desired(payload),
      onResults: (payload) => downlink.results(payload),
      onSampleKey: (payload) => downlink.sampleKey(payload),
      onAcks: (payload) => downlink.acks(payload),
      tracer: telemetry.tracer,
    },
    clock,
    Math.random,
  );

  const pipeline = new Pipeline({ deviceId, arm: config.arm }, decider, {
    infer: (jpeg) => slots.infer(jpeg),
    outbox, // A3
    trace: (frame) => traceFrame(telemetry.tracer, frame),
    onAnswer: (answer, inference, slot, jpeg) => {
      feed.answer(answer);
      tally.answered(answer);
      told.answered(slot, answer, inference);
      telemetry.emit(events.frameAnswered, answer);
      if (answer.frameSeq === null) telemetry.emit(events.frameUnrecorded, answer);
      updater.answered(slot, answer, inference, jpeg);
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

  const parts: StatusParts = { deviceId, now, slots, updater, outbox, uplink, cameras, queues, tally };
  exportGauges(telemetry, parts);
  const [server, metricsServer] = await serveHttp(config.http, {
    feed,
    telemetry,
    status: () => statusOf(parts),
    notReady: () => notReady(parts),
    conditions: (met) => {
      if (Object.keys(met).length > 0) updater.told(met);
      const { idle, parked } = updater.conditions;
      return { idle, parked };
    },
    trigger: (cameraId, trigger) => {
      if (!cameras.some(({ id }) => id === cameraId)) return false;
      triggers.arm(cameraId, trigger, monotonicMs());
      return true;
    },
  });

  const noMore = new AbortController();
  const working = work(new FrameQueues(queues), pipeline, noMore.signal);
  told.start();
  const tellTime = () => updater.told({ time: now().wallMs });
  tellTime();
  const clockTimer = setInterval(tellTime, CLOCK_TOLD_EVERY_MS);
  updater.start();
  uplink.start();
  for (const camera of cameras) camera.start(); // A1

  // A2
  const stop = async (): Promise<void> => {
    await Promise.all(cameras.map((camera: Camera) => camera.stop()));
    noMore.abort(new Error("stopping"));
    await Promise.race([working, clock.sleep(LAST_FRAMES_MS)]);
    clearInterval(clockTimer);
    await updater.stop();
    told.stop();
    await outbox.flush();
    await uplink.stop(GRACE_MS);
    await outbox.close();
    await slots.close();
    feed.close();
    await closeServer(server);
    if (metricsServer !== undefined) await closeServer(metricsServer);
  };
  let stopped: Promise<void> | undefined;
  return {
    ports: { http: portOf(server), ...(metricsServer && { metrics: portOf(metricsServer) }) },
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

/** One that came down to this process is newer than what the outbox keeps. */
function useKeptPolicy(slots: Slots, opened: Opened, telemetry: Telemetry): void {
  if (opened.policy === null || opened.policy.length === 0 || slots.active.policy.origin !== "package") return;
  try {
    if (slots.applyPolicy(opened.policy, "outbox")) tellPolicy(slots, telemetry);
  } catch {
    // It was for another model; the package's own stands.
  }
}

function tellPolicy(slots: Slots, telemetry: Telemetry): void {
  const { policy, origin } = slots.active.policy;
  telemetry.emit(events.policyApplied, { policyVersion: policy.policyVersion, from: origin });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
