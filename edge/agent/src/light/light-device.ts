/**
 * One light device: the device's contract whole (reported, predictions, frames, metrics up; desired down), with the agent's
 * own decisions and update machine, but no disk: many fit in a process.
 *
 * D1. It reports the digest of the model that answered its last frames, never of the one it was told to run.
 * D2. A camera whose last frame is still at work skips: a slow model answers fewer frames, and no queue grows (G9).
 * D3. Its latency is its own frame's preprocessing and run. Waiting for the shared child is not a device's, and not told.
 * D4. A prediction is sent under the digest of the model that made it, whatever is at work by then.
 * D5. Who answers is the agent's own rule (../slots.ts): on trial the one before is still held, so going back takes no time
 *     and cannot fail.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  Classifications,
  DeviceDesired,
  DeviceReported,
  EdgeFrame,
  EdgeMetrics,
  type EdgePrediction,
  EdgePredictions,
  mqttTopics,
  PERCEPTION,
  RoutingPolicy,
} from "@tributary/contracts";
import type { Inference, InferenceResult } from "@tributary/inference";
import { BOOTS_FROM, type Clock, Failure, makeBootId, type Random, reasonOf } from "@tributary/kernel";
import { MqttLink } from "@tributary/mqtt";
import type { PackageRef, Progress, Wanted } from "@tributary/updates";
import { FRAME_BYTES_MAX } from "../config.ts";
import { Decider } from "../decider.ts";
import { PolicyKeeper } from "../policy-keeper.ts";
import { AGENT_VERSION } from "../reports.ts";
import { type Runner, Slot, Slots } from "../slots.ts";
import { Triggers } from "../triggers.ts";
import { parseDesired } from "../updates/desired.ts";
import { MomentsByName } from "../windows.ts";
import { MemoryOutbox } from "./memory-outbox.ts";
import type { Answer, SharedModel, SharedModels } from "./shared-models.ts";
import { Updater } from "./updater.ts";

const CAMERA_ID = "cam";
const REPORT_EVERY_MS_MIN = 200;

export type PackageSource = {
  /** Listed by signed metadata, whole and checked in a folder of this machine; rejects with a Failure. */
  fetch(wanted: Wanted, signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<string>;
};

export type LightDeviceOptions = {
  readonly deviceId: string;
  readonly password: string;
  readonly mqtt: { readonly url: string; readonly prefix: string };
  readonly hardwareClass: string;
  readonly fps: number;
  readonly batchWaitMs: number;
  readonly windowMs: number;
};

export type LightDevicePorts = {
  readonly camera: () => Promise<Uint8Array>;
  readonly models: SharedModels;
  /** Null: it keeps the model it has. */
  readonly packages: PackageSource | null;
  /** Held for this device. */
  readonly factory: SharedModel;
  readonly clock: Clock;
  readonly random: Random;
};

type Candidate = { readonly model: SharedModel; readonly slot: Slot };
type Shadow = { left: number; readonly done: () => void; readonly fail: (failure: Failure) => void };
type Owed = Omit<EdgePrediction, "ageMs"> & { readonly capturedMs: number };

export class LightDevice {
  readonly deviceId: string;
  readonly #options: LightDeviceOptions;
  readonly #ports: LightDevicePorts;
  readonly #bootId: bigint;
  readonly #topics: ReturnType<typeof mqttTopics>;
  readonly #link: MqttLink;
  readonly #outbox: MemoryOutbox;
  readonly #decider = new Decider(randomBytes(32), new Triggers());
  readonly #updater: Updater;
  readonly #stopping = new AbortController();
  readonly #slots: Slots;
  /** Fetched for the update at hand, and held. */
  #candidate: Candidate | null = null;
  /** To go back to without asking anyone. */
  readonly #onDisk = new Map<string, string>();
  #shadow: Shadow | null = null;
  #frameSeq = 0n;
  #batch: { readonly by: Slot; readonly predictions: Owed[] } | null = null;
  #moments = new Map<string, MomentsByName>();
  #losses = 0;
  #unreadable = 0;
  #isBusy = false;
  #isSilent = false;
  #slowed: { readonly digest: string; readonly ms: number } | null = null;
  #windowOpenedMs: number;
  #lastTold = "";
  #timers: NodeJS.Timeout[] = [];
  #telling: NodeJS.Timeout | undefined;
  skipped = 0;
  frames = 0;

  constructor(options: LightDeviceOptions, ports: LightDevicePorts) {
    const { deviceId, password, mqtt } = options;
    this.deviceId = deviceId;
    // It keeps no count; a minute later it is a later boot.
    this.#bootId = makeBootId(Math.floor((ports.clock.now() - BOOTS_FROM) / 60_000), randomBytes(8).readBigUInt64BE());
    this.#options = options;
    this.#ports = ports;
    this.#topics = mqttTopics(mqtt.prefix);
    this.#slots = new Slots(this.#slotOf(ports.factory, null), (_, { code, reason }) =>
      this.#updater.failing(code, reason),
    );
    this.#onDisk.set(ports.factory.pkg.digest, ports.factory.pkg.dir);
    this.#windowOpenedMs = ports.clock.monotonicMs();
    this.#outbox = new MemoryOutbox((stream, payload, settled) =>
      this.#link.publish(this.#topics.up(deviceId, stream), payload, settled),
    );
    this.#updater = new Updater(refOf(this.#slots.active), this.#works(), ports.random);
    this.#link = new MqttLink(
      {
        url: mqtt.url,
        clientId: deviceId,
        username: deviceId,
        password,
        keepaliveSeconds: 30,
        connectTimeoutMs: 20_000,
        backoff: { minMs: 250, maxMs: 5_000 },
        availabilityTopic: this.#topics.availability(deviceId),
        subscriptions: [this.#topics.desired(deviceId)],
      },
      {
        onOnline: () => this.#outbox.online(),
        onOffline: () => this.#outbox.offline(),
        onMessage: (topic, payload) => {
          if (topic === this.#topics.desired(deviceId)) this.#desired(payload);
        },
      },
      ports.clock,
      ports.random,
    );
  }

  get online(): boolean {
    return this.#link.online;
  }

  status() {
    const { name, version, digest } = refOf(this.#slots.active);
    const said = this.#updater.said;
    return {
      deviceId: this.deviceId,
      online: this.online,
      silent: this.#isSilent,
      model: { name, version, digest },
      generation: String(this.#updater.generation),
      update: said === null ? null : { ...said, generation: String(said.generation) },
      ...{ frames: this.frames, skipped: this.skipped, losses: this.#losses, dropped: this.#outbox.dropped },
    };
  }

  async start(): Promise<void> {
    const { fps, batchWaitMs, windowMs } = this.#options;
    const proof = await this.#ports.factory.prove();
    this.#slots.active.goldenPassed = proof.ok;
    this.#tell();
    this.#link.start();
    // Devices are not in step.
    await this.#ports.clock.sleep((this.#ports.random() * 1_000) / fps, this.#stopping.signal).catch(() => undefined);
    if (this.#stopping.signal.aborted) return;
    this.#timers = [
      setInterval(() => void this.#frame(), 1_000 / fps),
      setInterval(() => this.#closeBatch(), batchWaitMs),
      setInterval(() => this.#closeWindow(), windowMs),
    ];
  }

  /** Nothing leaves any more, as when whatever is between the device and the service is cut; it goes on working. */
  silence(): void {
    this.#isSilent = true;
  }

  /** From now on this model takes so much longer for a frame, as on a machine that grows hot. */
  slow(digest: string, ms: number): void {
    this.#slowed = { digest, ms };
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#telling);
    this.#updater.stop();
    await this.#link.stop();
  }

  async #frame(): Promise<void> {
    if (this.#isBusy) {
      this.skipped += 1; // D2
      return;
    }
    this.#isBusy = true;
    try {
      const { clock } = this.#ports;
      const capturedMs = clock.monotonicMs();
      const jpeg = await this.#ports.camera();
      const { slot, result } = await this.#slots.infer(jpeg);
      if (!result.ok) {
        this.#unreadable += 1;
        return;
      }
      const slowedMs = this.#slowed?.digest === slot.pkg.digest ? this.#slowed.ms : 0;
      if (slowedMs > 0) await clock.sleep(slowedMs, this.#stopping.signal);
      this.#answered(slot, jpeg, result.inference, { capturedMs, slowedMs });
      await this.#showShadow(jpeg);
    } catch {
      // No picture, or the model cannot be loaded any more: the next frame tries again.
    } finally {
      this.#isBusy = false;
    }
  }

  #answered(
    slot: Slot,
    jpeg: Uint8Array,
    inference: Inference,
    { capturedMs, slowedMs }: { readonly capturedMs: number; readonly slowedMs: number },
  ): void {
    const { clock } = this.#ports;
    const { pkg } = slot;
    const { policy } = slot.policy;
    this.frames += 1;
    this.#frameSeq += 1n;
    const frameId = `${this.deviceId}:${this.#bootId}:${CAMERA_ID}:${this.#frameSeq}`;
    const decided = this.#decider.decide(inference.logits, policy, CAMERA_ID, frameId, clock.monotonicMs());
    const { calibrated, decision, label } = decided;
    const latencyMs = inference.timingsMs.preprocess + inference.timingsMs.run + slowedMs; // D3
    const isSlow = latencyMs > pkg.manifest.latencyBudgetMs;
    const said = {
      cameraId: CAMERA_ID,
      frameSeq: this.#frameSeq,
      label,
      ...{ confidence: calibrated.confidence, margin: calibrated.margin, entropy: calibrated.entropy },
      score: decision.score,
      capturedAt: clock.now(),
      ...{ reason: decision.reason, deadlineMs: policy.deadlineMs },
      sampleCorrectness: decision.sampleCorrectness,
      samplePropensity: decision.samplePropensity,
      sampleDrawn: decision.sampleDrawn,
    };
    const isTooLarge = decision.escalation === "QUEUED" && jpeg.length > FRAME_BYTES_MAX;
    const dropped = { escalation: "DROPPED", dropReason: "FRAME_TOO_LARGE" } as const;
    const { escalation, dropReason } = isTooLarge ? dropped : decision;
    if (this.#batch?.by !== slot) this.#closeBatch(); // D4
    this.#batch ??= { by: slot, predictions: [] };
    const { wouldSend } = decision;
    this.#batch.predictions.push({ ...said, latencyMs, escalation, dropReason, wouldSend, capturedMs });
    if (escalation === "QUEUED" && !this.#isSilent) {
      this.#outbox.add("frames", (seq) =>
        EdgeFrame.encodeSingleObject({
          ...this.#sender(seq),
          ...said,
          ageMs: clock.monotonicMs() - capturedMs,
          clockState: "SYNCHRONIZED",
          jpeg: Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.byteLength),
          ...decidedBy(slot),
          traceparent: null,
        }),
      );
    }
    const moments = this.#momentsOf(pkg.digest);
    moments.add("answer_latency_ms", latencyMs);
    moments.add("inference_latency_ms", latencyMs);
    moments.add("confidence", calibrated.confidence);
    moments.add("escalated", escalation === "QUEUED" ? 1 : 0);
    moments.add("dropped", escalation === "DROPPED" ? 1 : 0);
    moments.add("sla_missed", isSlow ? 1 : 0);
    if (slot === this.#slots.active) this.#updater.answered(isSlow);
  }

  /** An answered frame. */
  async #showShadow(jpeg: Uint8Array): Promise<void> {
    const [shadow, candidate] = [this.#shadow, this.#candidate];
    if (shadow === null || candidate === null) return;
    const answer = await candidate.model.infer(jpeg).catch(unusable);
    shadow.left -= 1;
    if (answer.losses > 0) shadow.fail(new Failure("model-crashed", "give-up", "its process ended on a frame"));
    else if (answer.kind === "unreadable") shadow.fail(new Failure(answer.code, "give-up", answer.reason));
    else if (shadow.left === 0) shadow.done();
  }

  #closeBatch(): void {
    const batch = this.#batch;
    this.#batch = null;
    if (batch === null || this.#isSilent) return;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#outbox.add("predictions", (seq) =>
      EdgePredictions.encodeSingleObject({
        ...this.#sender(seq),
        ...decidedBy(batch.by),
        clockState: "SYNCHRONIZED",
        predictions: batch.predictions.map(({ capturedMs, ...one }) => ({ ...one, ageMs: nowMs - capturedMs })),
        traceparent: null,
      }),
    );
  }

  #closeWindow(): void {
    this.#updater.told({ time: this.#ports.clock.now() });
    const nowMs = this.#ports.clock.monotonicMs();
    const device = new MomentsByName();
    device.add("model_losses", this.#losses);
    device.add("frames_unreadable", this.#unreadable);
    device.add("online", this.online ? 1 : 0);
    const models = [...this.#moments].map(([modelDigest, moments]) => ({ modelDigest, metrics: moments.read() }));
    const windowMs = nowMs - this.#windowOpenedMs;
    [this.#windowOpenedMs, this.#losses, this.#unreadable] = [nowMs, 0, 0];
    this.#moments = new Map();
    if (this.#isSilent) return;
    this.#outbox.add("metrics", (seq) =>
      EdgeMetrics.encodeSingleObject({
        ...this.#sender(seq),
        ...{ windowMs, ageMs: 0, clockState: "SYNCHRONIZED" as const },
        device: device.read(),
        models,
      }),
    );
  }

  #desired(payload: Buffer): void {
    if (payload.length === 0) return;
    try {
      this.#updater.desired(parseDesired(payload, this.deviceId));
    } catch {
      // It changes nothing.
    }
  }

  #works(): ConstructorParameters<typeof Updater>[1] {
    const { models, packages, clock } = this.#ports;
    const drop = async () => {
      const candidate = this.#candidate;
      this.#candidate = null;
      if (candidate !== null) await models.release(candidate.model);
    };
    return {
      fetch: async (wanted, signal, onProgress) => {
        if (packages === null) throw new Failure("registry-missing", "give-up", "no registry is configured");
        this.#onDisk.set(wanted.digest, await packages.fetch(wanted, signal, onProgress));
      },
      prove: async (wanted) => {
        await drop();
        const dir = this.#onDisk.get(wanted.digest);
        if (dir === undefined) throw new Failure("package-missing", "retry", `${wanted.digest} is not on this device`);
        const model = await models.hold(dir, wanted.digest);
        try {
          const proof = await model.prove();
          if (!proof.ok) throw new Failure(proof.code, "give-up", proof.reason);
          this.#candidate = { model, slot: this.#slotOf(model, true) };
        } catch (error) {
          await models.release(model);
          throw error;
        }
      },
      shadow: async (_wanted, frames, signal) => {
        try {
          await new Promise<void>((resolve, reject) => {
            this.#shadow = { left: frames, done: resolve, fail: reject };
            signal.addEventListener("abort", () => resolve(), { once: true });
          });
        } catch (error) {
          await drop();
          throw error;
        } finally {
          this.#shadow = null;
        }
      },
      switchTo: async ({ digest }) => {
        const candidate = this.#candidate;
        if (candidate === null) throw new Failure("model-unusable", "give-up", `${digest} is gone`);
        this.#candidate = null;
        this.#slots.switchTo(candidate.slot);
      },
      restore: async () => this.#slots.restore(),
      commit: async () => this.#slots.commit(),
      unload: drop,
      wait: (ms, signal) => clock.sleep(ms, signal),
      told: () => this.#soonTell(),
    };
  }

  /** Phases follow each other fast; what is told is the state of the moment. */
  #soonTell(): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#tell();
    }, REPORT_EVERY_MS_MIN);
  }

  #tell(): void {
    if (this.#isSilent) return;
    const { active } = this.#slots;
    const { name, version, digest } = refOf(active);
    const { said, progress, generation } = this.#updater;
    const accepted = [RoutingPolicy, Classifications, DeviceDesired];
    const body = {
      agentVersion: AGENT_VERSION,
      hardwareClass: this.#options.hardwareClass,
      clockState: "SYNCHRONIZED" as const,
      generation,
      slots: { [PERCEPTION]: { modelDigest: digest, modelName: name, modelVersion: version } }, // D1
      policyVersion: active.policy.policy.policyVersion,
      acceptedSchemas: accepted.flatMap((codec) => codec.versions.map((v) => v.fingerprint)),
      cameras: [CAMERA_ID],
      update:
        said === null
          ? null
          : {
              ...said,
              slot: PERCEPTION,
              bytesDone: BigInt(progress?.bytesDone ?? 0),
              bytesAll: BigInt(progress?.bytesAll ?? 0),
            },
      goldenPassed: active.goldenPassed,
    } satisfies Omit<DeviceReported, "deviceId" | "bootId" | "seq">;
    const told = JSON.stringify(body, (_, value) => (typeof value === "bigint" ? String(value) : value));
    if (told === this.#lastTold) return;
    this.#lastTold = told;
    this.#outbox.add("reported", (seq) => DeviceReported.encodeSingleObject({ ...this.#sender(seq), ...body }));
  }

  /** With the package's own policy: the one that came with the model counts. Held for this device; closed, it is let go. */
  #slotOf(model: SharedModel, goldenPassed: boolean | null): Slot {
    const runner: Runner = {
      current: undefined,
      infer: async (jpeg) => {
        const answer = await model.infer(jpeg);
        this.#losses += answer.losses;
        const isOnTrial = this.#slots.isOnTrial && this.#slots.active.runner === runner;
        // As in the agent, where a model on trial is not loaded again.
        if (isOnTrial && answer.losses > 0)
          throw new Failure("model-crashed", "give-up", "its process ended on a frame");
        return resultOf(answer);
      },
      close: () => this.#ports.models.release(model),
    };
    return new Slot(model.pkg, new PolicyKeeper(model.pkg, sha256Hex), runner, goldenPassed);
  }

  #sender(seq: bigint) {
    return { deviceId: this.deviceId, bootId: this.#bootId, seq };
  }

  #momentsOf(digest: string): MomentsByName {
    const moments = this.#moments.get(digest) ?? new MomentsByName();
    this.#moments.set(digest, moments);
    return moments;
  }
}

const refOf = ({ pkg }: Slot): PackageRef => ({
  digest: pkg.digest,
  name: pkg.manifest.name,
  version: pkg.manifest.version,
});

const decidedBy = ({ pkg, policy }: Slot) => ({
  modelDigest: pkg.digest,
  preprocessingDigest: pkg.preprocessingDigest,
  policyVersion: policy.policy.policyVersion,
  arm: "default",
});

const unusable = (error: unknown): Answer => ({
  ...{ kind: "unreadable", losses: 0, code: "model-unusable", reason: reasonOf(error) },
});

const resultOf = (answer: Answer): InferenceResult =>
  answer.kind === "answered"
    ? { ok: true, inference: answer.inference }
    : { ok: false, code: answer.code, message: answer.reason };

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
