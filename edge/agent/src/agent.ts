/**
 * One device: cameras, a model and its successor, the outbox and the uplink, composed from ports. Each part gets only what it
 * uses. start-agent.ts has the ports of the shipped agent; many devices of one process share some of theirs.
 *
 * Cameras start when the model and the policy are loaded and the outbox was tried, so no frame is skipped for lack of them.
 * On a stop, no new frame is taken, current frames are finished, everything is committed, `offline` is published, and every
 * child process ends. A missing or broken outbox stops no local answer (G4); readiness reports it, and it is opened again. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Clock } from "@tributary/kernel";
import { readPackageFile } from "@tributary/model-store";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerFeed } from "./answer-feed.ts";
import type { makeCamera } from "./cameras/camera.ts";
import { Capture, type CapturePorts } from "./capture.ts";
import type { AgentConfig } from "./config.ts";
import { Decider } from "./decider.ts";
import { deviceTime, monotonicMs } from "./device-time.ts";
import { Downlink } from "./downlink.ts";
import * as events from "./events.ts";
import { GoldenCheck } from "./golden-check.ts";
import type { HttpPorts } from "./http-server.ts";
import type { ModelRuntime } from "./model-runtime.ts";
import { Models } from "./models.ts";
import { OutboxKeeper } from "./outbox/keeper.ts";
import { outboxLimitsOf } from "./outbox/limits.ts";
import type { StartOutboxThread } from "./outbox/outbox.ts";
import type { Opened } from "./outbox/rows.ts";
import { type LatencyOf, Pipeline } from "./pipeline.ts";
import { Reports } from "./reports.ts";
import { Slots } from "./slots.ts";
import { traceFrame } from "./spans.ts";
import { notReady, type StatusParts, statusOf } from "./status.ts";
import { Tally } from "./tally.ts";
import { Triggers } from "./triggers.ts";
import type { UpdateStore } from "./updates/store.ts";
import { Updater } from "./updates/updater.ts";
import { type OpenLink, Uplink } from "./uplink.ts";

/** Time for records in flight to be acknowledged. */
const GRACE_MS = 1_000;
/** Maintenance windows open and close by the minute. */
const CLOCK_REPORT_EVERY_MS = 20_000;

export type AgentPorts = {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly outbox: StartOutboxThread;
  readonly runtime: ModelRuntime;
  readonly store: UpdateStore;
  readonly camera: typeof makeCamera;
  readonly link: OpenLink;
  readonly latencyMs: LatencyOf;
};

export class Agent implements HttpPorts {
  readonly #config: AgentConfig;
  readonly #ports: AgentPorts;
  readonly #now: ReturnType<typeof deviceTime>;
  readonly #tally = new Tally();
  readonly #triggers = new Triggers();
  readonly #decider = new Decider(randomBytes(32), this.#triggers);
  readonly feed: AnswerFeed;
  readonly #slots: Slots;
  readonly #outbox: OutboxKeeper;
  readonly #capture: Capture;
  readonly #golden: GoldenCheck;
  readonly #updater: Updater;
  readonly #reports: Reports;
  readonly #uplink: Uplink;
  #clockTimer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;

  /** Throws Failure when no package can be used. Starts nothing. */
  static async open(config: AgentConfig, ports: AgentPorts): Promise<Agent> {
    const agent = new Agent(config, ports, await Models.open(config, ports));
    await agent.#outbox.open();
    agent.#policyApplied();
    agent.#reports.state();
    return agent;
  }

  private constructor(config: AgentConfig, ports: AgentPorts, models: Models) {
    const { clock, telemetry } = ports;
    this.#config = config;
    this.#ports = ports;
    this.#now = deviceTime(config.clock);
    this.feed = new AnswerFeed((code) => telemetry.emit(events.readerRefused, { code }));
    this.#slots = new Slots(models.first, (slot, failing) => {
      if (failing.code === "model-crashed") models.lost(slot, { ...failing, retryMs: 0 });
      this.#updater.failing(failing);
    });
    models.onLost = ({ window }) => {
      this.#tally.modelLosses += 1;
      this.#reports.ofModel(window, "model_losses", 1);
    };
    this.#outbox = this.#makeOutbox();
    this.#capture = this.#makeCapture(this.#makePipeline());
    this.#golden = this.#makeGoldenCheck();
    this.#updater = this.#makeUpdater(models);
    this.#reports = this.#makeReports();
    this.#uplink = new Uplink(config, this.#uplinkPorts(this.#makeDownlink()), clock, Math.random, ports.link);
  }

  start(): void {
    this.#reports.start();
    const reportTime = () => this.#updater.report({ time: this.#now().wallMs });
    reportTime();
    this.#clockTimer = setInterval(reportTime, CLOCK_REPORT_EVERY_MS);
    this.#updater.start();
    this.#uplink.start();
    this.#capture.start();
    this.#golden.start();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#golden.stop();
    await this.#capture.stop();
    clearInterval(this.#clockTimer);
    await this.#updater.stop();
    this.#reports.stop();
    await this.#outbox.flush();
    await this.#uplink.stop(GRACE_MS);
    await this.#outbox.close();
    await this.#slots.close();
    this.feed.close();
  }

  get telemetry(): Telemetry {
    return this.#ports.telemetry;
  }

  get parts(): StatusParts {
    return {
      deviceId: this.#config.deviceId,
      now: this.#now,
      slots: this.#slots,
      updater: this.#updater,
      outbox: this.#outbox,
      uplink: this.#uplink,
      capture: this.#capture,
      golden: this.#golden,
      tally: this.#tally,
    };
  }

  status(): ReturnType<typeof statusOf> {
    return statusOf(this.parts);
  }

  notReady(): readonly string[] {
    return notReady(this.parts);
  }

  conditions: HttpPorts["conditions"] = (met) => {
    if (Object.keys(met).length > 0) this.#updater.report(met);
    const { idle, parked } = this.#updater.conditions;
    return { idle, parked };
  };

  trigger: HttpPorts["trigger"] = (cameraId, trigger) => {
    if (!this.#config.cameras.some(({ id }) => id === cameraId)) return false;
    this.#triggers.arm(cameraId, trigger, monotonicMs());
    return true;
  };

  #makeOutbox(): OutboxKeeper {
    const { deviceId, dataDir, clock } = this.#config;
    const { telemetry } = this.#ports;
    const file = join(dataDir, "outbox.sqlite");
    return new OutboxKeeper(
      { file, deviceId, limits: outboxLimitsOf(this.#config), clock },
      {
        onSend: (send) => this.#uplink.send(send),
        onOpened: (opened) => this.#outboxOpened(opened),
        onUnopened: (unopened) => telemetry.emit(events.outboxUnopened, unopened),
        onSetAside: ({ file, reason }) => telemetry.emit(events.outboxSetAside, { file, reason }),
        onCommitted: ({ dropped, commitMs }) => {
          telemetry.emit(events.outboxCommitted, { commitMs });
          for (const one of dropped) {
            this.#tally.outboxDropped(one);
            telemetry.emit(events.outboxDropped, one);
          }
        },
        onFailed: ({ message, fatal }) => telemetry.emit(events.outboxFailed, { reason: message, fatal }),
      },
      this.#ports.outbox,
      this.#ports.clock,
      Math.random,
    );
  }

  #outboxOpened({ bootId, stats, sampleKey, policy }: Opened): void {
    const { frames, predictions } = stats;
    this.telemetry.emit(events.outboxOpened, { bootId, frames, predictions });
    this.#decider.useSampleKey(sampleKey);
    this.#useKeptPolicy(policy);
    this.#reports.reportAgain();
  }

  /** A policy that this process received is newer than the stored one. */
  #useKeptPolicy(policy: Opened["policy"]): void {
    if (policy === null || policy.length === 0 || this.#slots.active.policy.origin !== "package") return;
    try {
      if (this.#slots.applyPolicy(policy, "outbox")) this.#policyApplied();
    } catch {
      // It was for another model; the package's own stays.
    }
  }

  #policyApplied(): void {
    const { policy, origin } = this.#slots.active.policy;
    this.telemetry.emit(events.policyApplied, { policyVersion: policy.policyVersion, from: origin });
  }

  #makePipeline(): Pipeline {
    const { deviceId, arm } = this.#config;
    const { telemetry, latencyMs } = this.#ports;
    return new Pipeline({ deviceId, arm }, this.#decider, {
      infer: (jpeg) => this.#slots.infer(jpeg),
      outbox: this.#outbox,
      latencyMs,
      trace: (frame) => traceFrame(telemetry.tracer, frame),
      onAnswer: (answer, inference, slot, jpeg) => {
        this.feed.answer(answer);
        this.#tally.answered(answer);
        this.#reports.answered(slot, answer, inference);
        telemetry.emit(events.frameAnswered, answer);
        if (answer.frameSeq === null) telemetry.emit(events.frameUnrecorded, answer);
        this.#updater.answered(slot, answer, inference, jpeg);
      },
      onUnreadable: (unreadable) => {
        this.#tally.unreadable += 1;
        telemetry.emit(events.frameUnreadable, unreadable);
      },
    });
  }

  #makeCapture(pipeline: Pipeline): Capture {
    const { telemetry, camera, clock } = this.#ports;
    const ports: CapturePorts = {
      makeCamera: camera,
      now: this.#now,
      bootId: () => this.#outbox.bootId ?? "0",
      process: (frame) => this.#golden.cameraFrame(() => pipeline.process(frame)),
      onSkipped: (cameraId) => telemetry.emit(events.frameSkipped, { cameraId }),
      events: {
        onStarted: (cameraId) => telemetry.emit(events.cameraStarted, { cameraId }),
        onEnded: (ended) => telemetry.emit(events.cameraEnded, ended),
        onRefused: (refused) => telemetry.emit(events.cameraRefused, refused),
      },
    };
    return new Capture(this.#config, ports, clock);
  }

  #makeGoldenCheck(): GoldenCheck {
    const { clock, telemetry } = this.#ports;
    return new GoldenCheck(this.#config.golden.everyMs, {
      slot: () => this.#slots.active,
      read: readPackageFile,
      isBusy: () => this.#capture.isBusy,
      clock,
      onChecked: (checked) => {
        telemetry.emit(checked.failed === 0 ? events.goldenReproduced : events.goldenFailed, checked);
        this.#reports.state();
      },
      onUntried: (untried) => telemetry.emit(events.goldenUntried, untried),
    });
  }

  #makeUpdater(models: Models): Updater {
    const { telemetry } = this.#ports;
    return new Updater(models.boot, {
      ...models.updaterPorts(this.#slots),
      isBusy: () => this.#capture.isBusy,
      onChanged: () => {
        this.#golden.slotChanged();
        this.#reports.state();
      },
      onMoved: (status) => telemetry.emit(events.updateMoved, status),
      onShadowed: ({ pkg, window }, { agrees, latencyMs }) => {
        this.#reports.ofModel(window, "shadow_agreed", agrees ? 1 : 0);
        this.#reports.ofModel(window, "shadow_latency_ms", latencyMs);
        telemetry.emit(events.frameShadowed, { modelDigest: pkg.digest, agrees, latencyMs });
      },
    });
  }

  #makeReports(): Reports {
    return new Reports({
      config: this.#config,
      slot: () => this.#slots.active,
      update: () => this.#updater,
      golden: () => this.#golden.last,
      outbox: this.#outbox,
      now: this.#now,
      health: () => ({
        process_resident_memory_bytes: process.memoryUsage.rss(),
        outbox_bytes: this.#outbox.stats.bytes,
        outbox_predictions: this.#outbox.stats.predictions,
        online: this.#uplink.online ? 1 : 0,
      }),
      totals: () => ({
        frames_unreadable: this.#tally.unreadable,
        frames_unrecorded: this.#tally.unrecorded,
        frames_skipped: this.#capture.skipped,
        model_losses: this.#tally.modelLosses,
      }),
    });
  }

  #makeDownlink(): Downlink {
    return new Downlink({
      deviceId: this.#config.deviceId,
      slots: this.#slots,
      onDesired: (payload) => this.#updater.desired(payload),
      onSampleKey: (key) => {
        this.#decider.useSampleKey(key);
        this.#outbox.keepSampleKey(key);
      },
      onCheck: (requestedAt) => this.#golden.requested(requestedAt),
      feed: this.feed,
      tally: this.#tally,
      telemetry: this.telemetry,
      onAcks: (bootId, stream, ranges) => this.#outbox.confirmed(bootId, stream, ranges),
      onPolicy: (bytes, isNew) => {
        this.#outbox.keepPolicy(bytes);
        if (!isNew) return;
        this.#policyApplied();
        this.#reports.state();
      },
    });
  }

  #uplinkPorts(downlink: Downlink): ConstructorParameters<typeof Uplink>[1] {
    const { telemetry } = this.#ports;
    return {
      link: (online, epoch) => this.#outbox.link(online, epoch),
      settled: (key, acked, epoch) => this.#outbox.settled(key, acked, epoch),
      onOnline: (connections) => telemetry.emit(events.linkOnline, { connections }),
      onOffline: (offline) => telemetry.emit(events.linkOffline, offline),
      onSettled: (settled) => {
        this.#tally.settled(settled);
        telemetry.emit(events.recordSettled, settled);
      },
      onPolicy: (payload) => downlink.policy(payload),
      onDesired: (payload) => downlink.desired(payload),
      onResults: (payload) => downlink.results(payload),
      onSampleKey: (payload) => downlink.sampleKey(payload),
      onCheck: (payload) => downlink.check(payload),
      onAcks: (payload) => downlink.acks(payload),
      tracer: telemetry.tracer,
    };
  }
}
