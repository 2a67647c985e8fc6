/**
 * The agent: cameras, one model, the outbox and the uplink, wired. Each part knows only what it uses.
 *
 * A1. Cameras start when the model, the policy and the outbox stand, so no frame is skipped for want of them.
 * A2. Stopping: no new frame, the frame at hand is finished, everything is committed, `offline` is published, no process is
 *     left.
 * A3. A broken outbox does not stop local answers; it makes the agent not live (G4).
 */
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import type { Server } from "node:http";
import { join } from "node:path";
import { Classifications, type DeviceReported, RoutingPolicy } from "@tributary/contracts";
import { packageFiles } from "@tributary/inference";
import { type Clock, systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerFeed } from "./answer-feed.ts";
import { type Camera, makeCamera } from "./cameras/camera.ts";
import { FrameQueue, FrameQueues } from "./cameras/frame-queue.ts";
import type { AgentConfig } from "./config.ts";
import { Decider } from "./decider.ts";
import { deviceTime, monotonicMs } from "./device-time.ts";
import * as events from "./events.ts";
import { portOf, serveHttp } from "./http-server.ts";
import { ModelKeeper } from "./model-keeper.ts";
import { outboxLimitsOf } from "./outbox/limits.ts";
import { Outbox } from "./outbox/outbox.ts";
import { reportBody } from "./outbox/records.ts";
import type { ReportStream } from "./outbox/rows.ts";
import { Pipeline } from "./pipeline.ts";
import { PolicyKeeper } from "./policy-keeper.ts";
import { Tally } from "./tally.ts";
import { Triggers } from "./triggers.ts";
import { downlinkFailure, Uplink } from "./uplink.ts";
import { Windows } from "./windows.ts";

export const AGENT_VERSION = "0.1.0";
const PERCEPTION = "perception";
const GRACE_MS = 1_000;
/** How often a window reads the device's health. */
const HEALTH_MS = 5_000;

export type RunningAgent = { readonly httpPort: number; stop(): Promise<void> };

export async function startAgent(
  config: AgentConfig,
  telemetry: Telemetry,
  clock: Clock = systemClock,
  /** For benches, which bring a camera of their own. */
  cameraOf: typeof makeCamera = makeCamera,
): Promise<RunningAgent> {
  const { deviceId } = config;
  const now = deviceTime(config.clock);
  const tally = new Tally();
  const triggers = new Triggers();
  mkdirSync(config.dataDir, { recursive: true });

  const pkg = await loadPackage(config.model.package);
  const policyKeeper = new PolicyKeeper({ ...pkg, digest: pkg.digest }, sha256Hex);
  let brokenOutbox: string | undefined;
  let uplink: Uplink | undefined;
  const outbox = await Outbox.open(
    { file: join(config.dataDir, "outbox.sqlite"), deviceId, limits: outboxLimitsOf(config), clock: config.clock },
    {
      onSend: (send) => uplink?.send(send),
      onCommitted: ({ dropped, commitMs }) => {
        telemetry.emit(events.outboxCommitted, { commitMs });
        for (const one of dropped) {
          tally.outboxDropped(one);
          telemetry.emit(events.outboxDropped, one);
        }
      },
      onFailed: ({ message, fatal }) => {
        if (fatal) brokenOutbox = message; // A3
        telemetry.emit(events.outboxFailed, { reason: message, fatal });
      },
    },
  );
  const { bootId, sampleKey, policy: keptPolicy } = outbox.opened;
  if (keptPolicy !== null) {
    try {
      policyKeeper.apply(keptPolicy, "outbox");
    } catch {
      // It was for another model; the package's own stands.
    }
  }
  const tellPolicy = () =>
    telemetry.emit(events.policyApplied, {
      policyVersion: policyKeeper.policy.policyVersion,
      from: policyKeeper.origin,
    });
  tellPolicy();

  const model = await ModelKeeper.open(
    new OnnxModelHost(loadPackage),
    { packageDir: config.model.package, threads: config.model.threads },
    {
      onLoaded: ({ digest, manifest, pid }) =>
        telemetry.emit(events.modelLoaded, {
          modelDigest: digest,
          name: manifest.name,
          version: manifest.version,
          pid,
        }),
      onLost: (lost) => {
        tally.modelLosses += 1;
        telemetry.emit(events.modelLost, lost);
      },
    },
    clock,
    Math.random,
  ).catch(async (error: unknown) => {
    await outbox.close();
    throw error;
  });

  const windows = new Windows(
    {
      modelDigest: pkg.digest,
      preprocessingDigest: pkg.preprocessingDigest,
      reference: pkg.referenceSketch,
      latencyBudgetMs: pkg.manifest.latencyBudgetMs,
    },
    monotonicMs(),
  );
  const feed = new AnswerFeed((code) => telemetry.emit(events.readerRefused, { code }));
  const pipeline = new Pipeline(
    { deviceId, bootId, arm: config.arm, modelDigest: pkg.digest, preprocessingDigest: pkg.preprocessingDigest },
    new Decider(sampleKey, triggers),
    {
      infer: (jpeg) => model.infer(jpeg),
      policy: () => policyKeeper.policy,
      outbox: {
        get hasRoom() {
          return brokenOutbox === undefined && outbox.hasRoom;
        },
        append: (item) => outbox.append(item),
      },
      onAnswer: (answer, inference) => {
        feed.answer(answer);
        tally.answered(answer);
        windows.answered(answer, inference);
        telemetry.emit(events.frameAnswered, answer);
        if (answer.frameSeq !== null) return;
        tally.unrecorded += 1;
        telemetry.emit(events.frameUnrecorded, answer);
      },
      onUnreadable: (unreadable) => {
        tally.unreadable += 1;
        telemetry.emit(events.frameUnreadable, unreadable);
      },
    },
  );

  const report = (stream: ReportStream, body: unknown) => {
    if (brokenOutbox === undefined) outbox.append({ kind: "report", stream, closed: now(), body: reportBody(body) });
  };
  const reportState = () => {
    const slot = { modelDigest: pkg.digest, modelName: pkg.manifest.name, modelVersion: pkg.manifest.version };
    report("reported", {
      agentVersion: AGENT_VERSION,
      hardwareClass: config.hardwareClass,
      generation: 0n,
      slots: { [PERCEPTION]: slot },
      policyVersion: policyKeeper.policy.policyVersion,
      acceptedSchemas: [RoutingPolicy, Classifications].flatMap((codec) => codec.versions.map((v) => v.fingerprint)),
      cameras: config.cameras.map(({ id }) => id),
    } satisfies Omit<DeviceReported, "deviceId" | "bootId" | "seq" | "clockState">);
  };
  reportState();

  uplink = new Uplink(
    config,
    {
      link: (online, epoch) => outbox.link(online, epoch),
      settled: (key, acked, epoch) => outbox.settled(key, acked, epoch),
      onOnline: (connections) => telemetry.emit(events.linkOnline, { connections }),
      onOffline: (offline) => telemetry.emit(events.linkOffline, offline),
      onSettled: (settled) => {
        telemetry.emit(events.recordSettled, settled);
        if (!settled.acked) return;
        tally.sentRecords += 1;
        tally.sentBytes += settled.bytes;
      },
      onPolicy: (payload) => {
        try {
          const isNew = policyKeeper.apply(payload, "downlink");
          outbox.keepPolicy(payload);
          if (!isNew) return;
          tellPolicy();
          reportState();
        } catch (error) {
          telemetry.emit(events.downlinkRefused, { channel: "policy", ...downlinkFailure(error) });
        }
      },
      onResults: (payload) => {
        try {
          const { answers, bootId: boot } = Classifications.decodeSingleObject(payload);
          for (const answer of answers) {
            tally.final(answer.source);
            telemetry.emit(events.finalAnswerReceived, answer);
            const frameId = `${deviceId}:${boot}:${answer.cameraId}:${answer.frameSeq}`;
            const { costMicros, frameSeq, ...rest } = answer;
            feed.final({ frameId, ...rest, frameSeq: Number(frameSeq), costMicros: Number(costMicros) });
          }
        } catch (error) {
          telemetry.emit(events.downlinkRefused, { channel: "results", ...downlinkFailure(error) });
        }
      },
    },
    clock,
    Math.random,
  );

  const queues = config.cameras.map(
    ({ id, queueFramesMax, whenFull }) =>
      new FrameQueue({ cameraId: id, framesMax: queueFramesMax, whenFull }, now, () =>
        telemetry.emit(events.frameSkipped, { cameraId: id }),
      ),
  );
  const cameras: readonly Camera[] = config.cameras.map((camera, i) =>
    cameraOf(camera, {
      queue: queues[i] as FrameQueue,
      frameBytesMax: config.limits.cameraFrameBytesMax,
      bootId,
      events: {
        onStarted: (cameraId) => telemetry.emit(events.cameraStarted, { cameraId }),
        onEnded: (ended) => telemetry.emit(events.cameraEnded, ended),
        onRefused: (refused) => telemetry.emit(events.cameraRefused, refused),
      },
    }),
  );

  const stopping = new AbortController();
  const frames = new FrameQueues(queues);
  const working = (async () => {
    for (;;) {
      const frame = await frames.next(stopping.signal);
      if (frame === undefined) return;
      try {
        await pipeline.process(frame);
      } catch (error) {
        if (stopping.signal.aborted) return;
        throw error;
      }
    }
  })();

  const status = () => ({
    deviceId,
    bootId,
    agentVersion: AGENT_VERSION,
    clockState: now().wallMs === null ? "UNSYNCHRONIZED" : "SYNCHRONIZED",
    online: uplink.online,
    model: {
      name: pkg.manifest.name,
      version: pkg.manifest.version,
      digest: pkg.digest,
      running: model.current !== undefined,
      pid: model.current?.pid ?? null,
      losses: tally.modelLosses,
    },
    policy: { version: policyKeeper.policy.policyVersion, from: policyKeeper.origin },
    cameras: cameras.map(({ id, kind, state }, i) => ({
      id,
      kind,
      state,
      arrived: queues[i]?.arrived ?? 0,
      skipped: queues[i]?.skipped ?? 0,
      waiting: queues[i]?.waiting ?? 0,
    })),
    frames: tally.frames,
    kept: tally.kept,
    sent: tally.sent,
    dropped: tally.dropped,
    unreadable: tally.unreadable,
    unrecorded: tally.unrecorded,
    skipped: queues.reduce((sum, queue) => sum + queue.skipped, 0),
    outbox: { ...outbox.stats, uncommitted: outbox.appended - outbox.committed, broken: brokenOutbox ?? null },
    uplink: { records: tally.sentRecords, bytes: tally.sentBytes },
    finalAnswers: tally.finals,
    latencyMs: tally.latencyMs(),
  });
  const server = await serveHttp(config.http.host, config.http.port, {
    feed,
    metrics: () => telemetry.metrics(),
    metricsContentType: telemetry.metricsContentType,
    status,
    notLive: () => (brokenOutbox === undefined ? [] : [`outbox: ${brokenOutbox}`]),
    notReady: () => [
      ...(model.current === undefined ? [`model: ${packageFiles.model} is being loaded`] : []),
      ...(brokenOutbox === undefined ? [] : [`outbox: ${brokenOutbox}`]),
    ],
    trigger: (cameraId, trigger) => {
      if (!cameras.some(({ id }) => id === cameraId)) return false;
      triggers.arm(cameraId, trigger, monotonicMs());
      return true;
    },
  });
  exportGauges(telemetry, outbox, () => uplink.online);

  const health = setInterval(() => {
    windows.device("process_resident_memory_bytes", process.memoryUsage.rss());
    windows.device("outbox_bytes", outbox.stats.bytes);
    windows.device("outbox_predictions", outbox.stats.predictions);
    windows.device("online", uplink.online ? 1 : 0);
  }, HEALTH_MS);
  const counted = new Map<string, number>();
  const countInWindow = (name: string, total: number) => {
    windows.device(name, total - (counted.get(name) ?? 0));
    counted.set(name, total);
  };
  const closeWindow = () => {
    countInWindow("frames_unreadable", tally.unreadable);
    countInWindow("frames_unrecorded", tally.unrecorded);
    countInWindow("model_losses", tally.modelLosses);
    countInWindow(
      "frames_skipped",
      queues.reduce((sum, queue) => sum + queue.skipped, 0),
    );
    const { metrics, sketches } = windows.close(monotonicMs());
    report("metrics", metrics);
    if (sketches !== undefined) report("sketches", sketches);
  };
  const windowTimer = setInterval(closeWindow, config.windows.lengthMs);

  uplink.start();
  for (const camera of cameras) camera.start(); // A1

  let stopped: Promise<void> | undefined;
  // A2
  const stop = async () => {
    clearInterval(health);
    clearInterval(windowTimer);
    await Promise.all(cameras.map((camera) => camera.stop()));
    stopping.abort(new Error("stopping"));
    await working;
    closeWindow();
    await outbox.flush();
    await uplink.stop(GRACE_MS);
    await outbox.close();
    await model.close();
    feed.close();
    await closeServer(server);
  };
  return { httpPort: portOf(server), stop: () => (stopped ??= stop()) };
}

function exportGauges(telemetry: Telemetry, outbox: Outbox, online: () => boolean): void {
  const gauge = (name: string, help: string, read: () => number) =>
    telemetry.gauge({ name: `tributary_agent_${name}`, help }, read);
  gauge("outbox_bytes", "Bytes the outbox holds", () => outbox.stats.bytes);
  gauge("outbox_frames", "Frames that wait with their image", () => outbox.stats.frames);
  gauge("outbox_predictions", "Predictions that wait", () => outbox.stats.predictions);
  gauge("outbox_unacked_records", "Records sent and not acknowledged", () => outbox.stats.unacked);
  gauge("outbox_uncommitted_items", "Items not yet on disk", () => outbox.appended - outbox.committed);
  gauge("online", "1 while connected", () => (online() ? 1 : 0));
}

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
