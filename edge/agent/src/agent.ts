/**
 * One device: cameras, a model and its successor, the outbox and the uplink, composed from ports. Each part gets only what it
 * uses. start-agent.ts has the ports of the shipped agent; many devices of one process share some of theirs.
 *
 * Cameras start when the model and the policy are loaded and the outbox was tried, so no frame is skipped for lack of them.
 * On a stop, no new frame is taken, current frames are finished, everything is committed, `offline` is published, and every
 * child process ends. A missing or broken outbox stops no local answer (G4); readiness reports it, and it is opened again. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { PERCEPTION, WORLD } from "@tributary/contracts";
import type { Inference } from "@tributary/inference";
import type { Clock } from "@tributary/kernel";
import { readPackageFile } from "@tributary/model-store";
import { calibrate } from "@tributary/routing/device";
import type { Telemetry } from "@tributary/telemetry";
import type { Conditions, UpdateStatus } from "@tributary/updates";
import { AnswerFeed } from "./answer-feed.ts";
import type { makeCamera } from "./cameras/camera.ts";
import { FRAME_INCOMPLETE } from "./cameras/frame-queue.ts";
import { Capture, type CapturePorts } from "./capture.ts";
import type { AgentConfig } from "./config.ts";
import { Decider } from "./decider.ts";
import { deviceTime, monotonicMs, uptimeMs } from "./device-time.ts";
import { Downlink } from "./downlink.ts";
import { CameraWatch } from "./driving/camera-watch.ts";
import { Driver, type LevelChange } from "./driving/driver.ts";
import { Hook } from "./driving/hook.ts";
import type { Load } from "./driving/load.ts";
import { Sensors, thermalZones } from "./driving/sensors.ts";
import * as events from "./events.ts";
import { GoldenCheck } from "./golden-check.ts";
import type { HttpPorts } from "./http-server.ts";
import type { ModelRuntime } from "./model-runtime.ts";
import { Models } from "./models.ts";
import type { Captured } from "./outbox/age.ts";
import { OutboxKeeper } from "./outbox/keeper.ts";
import { outboxLimitsOf } from "./outbox/limits.ts";
import type { StartOutboxThread } from "./outbox/outbox.ts";
import type { Opened } from "./outbox/rows.ts";
import { type LatencyOf, Pipeline } from "./pipeline.ts";
import { Reports, slotStateOf } from "./reports.ts";
import { type Slot, Slots } from "./slots.ts";
import { traceFrame } from "./spans.ts";
import { notReady, type StatusParts, statusOf } from "./status.ts";
import { Tally } from "./tally.ts";
import { Triggers } from "./triggers.ts";
import { ModelTrial } from "./updates/model-trial.ts";
import type { Candidate } from "./updates/prove.ts";
import type { UpdateStore } from "./updates/store.ts";
import { Updater } from "./updates/updater.ts";
import { type OpenLink, Uplink } from "./uplink.ts";
import { type OpenedWorld, openWorld } from "./world/open-world.ts";
import { WorldSlot } from "./world/world-slot.ts";

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
  /** Of slot `world`; null: no context is configured. */
  readonly worldStore: UpdateStore | null;
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
  readonly #decider: Decider;
  readonly feed: AnswerFeed;
  readonly #slots: Slots;
  readonly #lite: Slot | null;
  readonly #driver: Driver;
  readonly #watch: CameraWatch;
  readonly #sensors: Sensors;
  readonly #hook: Hook | null;
  readonly #outbox: OutboxKeeper;
  readonly #capture: Capture;
  readonly #golden: GoldenCheck;
  readonly #world: WorldSlot | null;
  #movedSlot: string = PERCEPTION;
  /** In memory only: a retained desired state brings it again after a restart. */
  #arm: string;
  readonly #trial: ModelTrial;
  readonly #updater: Updater<Candidate>;
  readonly #reports: Reports;
  readonly #uplink: Uplink;
  readonly #withDeadline: ReadonlySet<string>;
  #clockTimer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;

  /** Throws Failure when no package can be used. Starts nothing. */
  static async open(config: AgentConfig, ports: AgentPorts): Promise<Agent> {
    const { worldStore, telemetry } = ports;
    const world =
      config.world === undefined || worldStore === null
        ? null
        : await openWorld(worldStore, config.world.package, config.updates.backoff, telemetry);
    const agent = new Agent(config, ports, await Models.open(config, ports), world);
    await agent.#outbox.open();
    agent.#policyApplied();
    agent.#reports.state();
    return agent;
  }

  private constructor(config: AgentConfig, ports: AgentPorts, models: Models, opened: OpenedWorld | null) {
    const { clock, telemetry } = ports;
    this.#config = config;
    this.#ports = ports;
    this.#arm = config.arm;
    this.#now = deviceTime(config.clock);
    this.#decider = new Decider(randomBytes(32), this.#triggers, config.driving.fallback);
    this.#withDeadline = new Set(
      config.cameras.flatMap(({ id, deadlineMs }) => (deadlineMs === undefined ? [] : [id])),
    );
    this.feed = new AnswerFeed((code) => telemetry.emit(events.readerRefused, { code }));
    if (this.#hasDeadlines) this.feed.level({ from: "FULL", to: "FULL", reason: "started", isMrmRequested: false });
    this.#slots = new Slots(models.first, (slot, failing) => {
      if (failing.code === "model-crashed") models.lost(slot, { ...failing, retryMs: 0 });
      this.#updater.failing(failing);
    });
    models.onLost = ({ window }) => {
      this.#tally.modelLosses += 1;
      this.#reports.ofModel(window, "model_losses", 1);
    };
    this.#lite = models.lite;
    // Cells cost time: only where an answer is for the present, they are worth it.
    const judged = config.driving.plausibility ? [...this.#withDeadline] : [];
    this.#watch = new CameraWatch(judged, (verdict) => telemetry.emit(events.cameraJudged, verdict));
    this.#driver = this.#makeDriver();
    this.#sensors = new Sensors(config.driving.sensors ?? thermalZones(), clock, (refused) =>
      telemetry.emit(events.sensorRefused, refused),
    );
    const { hook } = config.driving;
    this.#hook = hook === undefined ? null : new Hook(hook, (reason) => telemetry.emit(events.hookFailed, { reason }));
    this.#outbox = this.#makeOutbox();
    this.#capture = this.#makeCapture(this.#makePipeline());
    this.#golden = this.#makeGoldenCheck();
    this.#world = this.#makeWorld(opened);
    this.#trial = this.#makeTrial(models);
    this.#updater = this.#makeUpdater(models);
    this.#reports = this.#makeReports();
    this.#uplink = new Uplink(config, this.#uplinkPorts(this.#makeDownlink()), clock, Math.random, ports.link);
  }

  start(): void {
    this.#reports.start();
    const reportTime = () => this.#report({ time: this.#now().wallMs });
    reportTime();
    this.#clockTimer = setInterval(reportTime, CLOCK_REPORT_EVERY_MS);
    this.#updater.start();
    this.#world?.start();
    this.#uplink.start();
    this.#capture.start();
    if (this.#hasDeadlines) {
      this.#driver.start();
      const { sensorsEveryMs } = this.#config.driving;
      this.#sensors.start(sensorsEveryMs, (reading) => this.#driver.observe({ kind: "reading", reading }));
    }
    this.#golden.start();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#golden.stop();
    this.#sensors.stop();
    this.#driver.stop();
    this.#hook?.stop();
    await this.#capture.stop();
    clearInterval(this.#clockTimer);
    await Promise.all([this.#updater.stop(), this.#world?.stop()]);
    this.#reports.stop();
    await this.#outbox.flush();
    await this.#uplink.stop(GRACE_MS);
    await this.#outbox.close();
    await Promise.all([this.#slots.close(), this.#lite?.runner.close()]);
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
      driving: this.#hasDeadlines ? this.#driver : null,
      lite: this.#lite,
      world: this.#world,
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
    if (Object.keys(met).length > 0) this.#report(met);
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

  get #hasDeadlines(): boolean {
    return this.#withDeadline.size > 0;
  }

  #makeWorld(opened: OpenedWorld | null): WorldSlot | null {
    const { deviceId, world } = this.#config;
    if (opened === null || world === undefined) return null;
    const { telemetry, clock } = this.#ports;
    return new WorldSlot(opened, deviceId, world, {
      telemetry,
      clock,
      labels: () => this.#slots.active.pkg.labels,
      parkedMsMax: this.#config.updates.parkedMsMax,
      onTruth: (modelDigest, gainNats) => this.#reports.ofModel({ modelDigest }, "world_gain_nats", gainNats),
      onChanged: () => this.#reports.state(),
      onMoved: (status) => this.#updateMoved(WORLD, status),
    });
  }

  /** Its two updaters follow one generation: a slot that a desired state does not name stays as it is. */
  #desired(payload: Buffer): void {
    const arm = this.#updater.desired(payload);
    this.#arm = arm === NO_EXPERIMENT ? this.#config.arm : arm;
    this.#world?.updater.desired(payload);
  }

  #updateMoved(slot: string, status: UpdateStatus): void {
    this.#movedSlot = slot;
    this.telemetry.emit(events.updateMoved, status);
  }

  #lastMoved() {
    const updater = this.#movedSlot === WORLD && this.#world !== null ? this.#world.updater : this.#updater;
    return { generation: this.#updater.generation, now: updater.now, slot: this.#movedSlot };
  }

  #report(met: Partial<Conditions>): void {
    this.#updater.report(met);
    this.#world?.updater.report(met);
  }

  /** For GET /v1/level; null: no camera has a deadline. */
  level: HttpPorts["level"] = () => {
    if (!this.#hasDeadlines) return null;
    const { level, reason, levelMs, isDegraded } = this.#driver;
    return { level, reason, sinceMs: levelMs, isDegraded, isMrmRequested: level === "SAFE" };
  };

  #makeDriver(): Driver {
    return new Driver(this.#config, {
      slots: this.#slots,
      lite: this.#lite,
      watch: this.#watch,
      onChange: (change) => this.#levelChanged(change),
      onMissed: (missed) => this.telemetry.emit(events.frameMissed, missed),
      onStampRefused: (refused) => this.telemetry.emit(events.stampRefused, refused),
      onLoad: (load) => this.telemetry.emit(load.isWithin ? events.loadWithin : events.loadExceeded, load),
    });
  }

  #levelChanged(change: LevelChange): void {
    this.feed.level(change);
    this.#hook?.run(change);
    this.telemetry.emit(events.levelChanged, change);
    this.#tally.levelChanges += 1;
    this.#reports.state();
  }

  #drivingState(): ReturnType<ConstructorParameters<typeof Reports>[0]["driving"]> {
    if (!this.#hasDeadlines) return null;
    const { level, reason, levelMs, isDegraded } = this.#driver;
    const { wallMs } = this.#now();
    return {
      level,
      reason,
      since: wallMs === null ? null : Math.round((wallMs - levelMs) / 1_000) * 1_000,
      isDegraded,
      lite: this.#lite && slotStateOf(this.#lite.pkg),
    };
  }

  #makePipeline(): Pipeline {
    const { telemetry, latencyMs } = this.#ports;
    return new Pipeline(this.#config.deviceId, this.#decider, {
      infer: async (frame) => {
        if (this.#withDeadline.has(frame.cameraId)) return this.#driver.infer(frame);
        return { ...(await this.#slots.infer(frame.jpeg)), level: "FULL" };
      },
      outbox: this.#outbox,
      isDegraded: () => this.#driver.isDegraded,
      inContext: (logits, slot) => {
        const { temperature } = slot.policy.policy;
        return this.#world?.world.inContext(logits, temperature, slot.pkg.labels) ?? { logits, ...ALONE };
      },
      context: () => {
        const state = this.#world?.context();
        return state?.context == null ? null : state.text;
      },
      arm: () => this.#arm,
      latencyMs,
      trace: (frame) => traceFrame(telemetry.tracer, frame),
      onAnswer: (answer, inference, slot, jpeg) => {
        this.feed.answer(answer);
        this.#tally.answered(answer);
        this.#driver.answered(answer);
        const own = answer.worldDigest === null ? answer : { ...answer, ...perceptionOf(slot, inference) };
        this.#reports.answered(slot, own, inference);
        telemetry.emit(events.frameAnswered, answer);
        if (answer.frameSeq === null) telemetry.emit(events.frameUnrecorded, answer);
        if (answer.level !== "FULL") return;
        const isSlow = this.#trial.answered(this.#updater.onTrial, slot, own, inference, jpeg);
        if (isSlow !== null) this.#updater.answered(isSlow);
      },
      onAnswerHere: (answer) => {
        this.feed.answer(answer);
        this.#tally.answeredHere(answer);
        telemetry.emit(events.frameAnswered, answer);
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
      captured: (cameraId, stampMs) => this.#captured(cameraId, stampMs),
      answerMsOf: (cameraId) => this.#driver.answerMsOf(cameraId),
      bootId: () => this.#outbox.bootId ?? "0",
      process: (frame, hasDeadline) => this.#golden.cameraFrame(() => pipeline.process(frame), hasDeadline),
      onSkipped: (frame) => {
        this.#driver.skipped(frame);
        telemetry.emit(events.frameSkipped, { cameraId: frame.cameraId });
      },
      onRefusedFrame: (frame) => {
        const { cameraId, code } = frame;
        if (code === FRAME_INCOMPLETE) telemetry.emit(events.cameraRefused, { cameraId, code, count: 1 });
        const answer = this.#driver.refused(frame);
        if (answer !== null) pipeline.answerHere(frame, answer);
      },
      events: {
        onStarted: (cameraId) => {
          this.#driver.cameraStarted(cameraId);
          telemetry.emit(events.cameraStarted, { cameraId });
        },
        onEnded: (ended) => {
          if (ended.retryMs === null) this.#driver.cameraEnded(ended.cameraId);
          telemetry.emit(events.cameraEnded, ended);
        },
        onRefused: (refused) => telemetry.emit(events.cameraRefused, refused),
      },
    };
    return new Capture(this.#config, ports, clock);
  }

  #captured(cameraId: string, stampMs: number | null): Captured {
    const now = this.#now();
    if (!this.#withDeadline.has(cameraId)) return now;
    const monotonicMs = this.#driver.capturedAt(cameraId, stampMs);
    const wallMs = now.wallMs === null ? null : Math.round(now.wallMs - (now.monotonicMs - monotonicMs));
    return { ...now, monotonicMs, wallMs };
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

  #makeTrial(models: Models): ModelTrial {
    const { telemetry } = this.#ports;
    return new ModelTrial({
      ...models.trialPorts(this.#slots),
      isBusy: () => this.#capture.isBusy,
      onShadowed: ({ pkg, window }, { agrees, latencyMs }) => {
        this.#reports.ofModel(window, "shadow_agreed", agrees ? 1 : 0);
        this.#reports.ofModel(window, "shadow_latency_ms", latencyMs);
        telemetry.emit(events.frameShadowed, { modelDigest: pkg.digest, agrees, latencyMs });
      },
    });
  }

  #makeUpdater(models: Models): Updater<Candidate> {
    return new Updater(models.boot, {
      ...models.updaterPorts(),
      slot: PERCEPTION,
      onlyParked: false,
      parkedMsMax: this.#config.updates.parkedMsMax,
      uptimeMs,
      trial: this.#trial,
      onChanged: () => {
        this.#golden.slotChanged();
        this.#reports.state();
      },
      onMoved: (status) => this.#updateMoved(PERCEPTION, status),
    });
  }

  #makeReports(): Reports {
    return new Reports({
      config: this.#config,
      slot: () => this.#slots.active,
      update: () => this.#lastMoved(),
      world: () => this.#world?.world.active ?? null,
      golden: () => this.#golden.last,
      driving: () => this.#drivingState(),
      outbox: this.#outbox,
      now: this.#now,
      health: () => ({
        process_resident_memory_bytes: process.memoryUsage.rss(),
        outbox_bytes: this.#outbox.stats.bytes,
        outbox_predictions: this.#outbox.stats.predictions,
        online: this.#uplink.online ? 1 : 0,
        ...(this.#hasDeadlines && latenessOf(this.#driver.load)),
      }),
      totals: () => ({
        frames_unreadable: this.#tally.unreadable,
        frames_unrecorded: this.#tally.unrecorded,
        frames_skipped: this.#capture.skipped,
        model_losses: this.#tally.modelLosses,
        ...(this.#hasDeadlines && this.#tally.byLevel()),
      }),
    });
  }

  #makeDownlink(): Downlink {
    return new Downlink({
      deviceId: this.#config.deviceId,
      slots: this.#slots,
      onDesired: (payload) => this.#desired(payload),
      onDesiredCleared: () => {
        this.#arm = this.#config.arm;
      },
      onTruth: (frameId, label) => this.#world?.world.truth(frameId, label),
      onSampleKey: (key) => {
        this.#decider.useSampleKey(key);
        this.#outbox.keepSampleKey(key);
      },
      onCheck: (requestedAt) => this.#golden.requested(requestedAt),
      bootId: () => this.#outbox.bootId,
      onCloudAnswer: (cameraId, answer) => this.#driver.cloudAnswered(cameraId, answer),
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

const latenessOf = ({ p99Ms, longestMs }: Load) => ({ lateness_p99_ms: p99Ms, lateness_longest_ms: longestMs });

/** Arm of a desired state outside experiments. */
const NO_EXPERIMENT = "default";

const ALONE = { worldDigest: null, remember: () => undefined };

/** What perception says by itself: drift is measured by that, and another model compared with it. */
function perceptionOf({ policy: { policy } }: Slot, { logits }: Inference) {
  const { labelIndex, confidence, margin, entropy } = calibrate(logits, policy.temperature);
  return { label: policy.labels[labelIndex] as string, confidence, margin, entropy };
}
