/**
 * One frame through the device: classify, decide, answer, store for sending.
 *
 * The local answer is published before the outbox gets the frame, and waits neither for it nor for the cloud (G4). A frame gets
 * its number when it has its answer, in order of arrival per camera: numbers have no gaps, and a frame that no model could
 * read, or that the outbox has no room for, has none (G2). */
import type { RoutingPolicy } from "@tributary/contracts";
import type { Inference } from "@tributary/inference";
import type { CameraFrame } from "./cameras/frame-queue.ts";
import type { Decided, Decider } from "./decider.ts";
import { monotonicMs } from "./device-time.ts";
import type { AnswerLevel, Leveled } from "./driving/driver.ts";
import type { DecidedBy, OutboxItem, PredictionBody } from "./outbox/rows.ts";
import type { Slot } from "./slots.ts";
import type { DecidedFrame } from "./spans.ts";
import type { InContext } from "./world/world.ts";

export type LocalAnswer = {
  /** Null: answered here only. */
  readonly frameId: string | null;
  readonly deviceId: string;
  /** Null while there is no outbox, which counts boots. */
  readonly bootId: string | null;
  readonly cameraId: string;
  readonly frameSeq: number | null;
  readonly label: string;
  readonly confidence: number;
  readonly margin: number;
  readonly entropy: number;
  readonly score: number;
  readonly reason: string;
  readonly escalation: string;
  readonly dropReason: string;
  readonly latencyMs: number;
  readonly capturedAt: number | null;
  readonly modelDigest: string;
  readonly policyVersion: string;
  /** What answered: STALE is the camera's last label again. */
  readonly level: AnswerLevel;
  /** The world model that the label is of as well; null: of perception alone. */
  readonly worldDigest: string | null;
};

export type LatencyOf = (frame: CameraFrame, inference: Inference, nowMs: number) => number;
export const sinceCapture: LatencyOf = ({ captured }, _, nowMs) => nowMs - captured.monotonicMs;

export type PipelinePorts = {
  /** Of one model, which every field of the answer is of (slots.ts N1). */
  readonly infer: (frame: CameraFrame) => Promise<Leveled>;
  readonly outbox: { readonly hasRoom: boolean; readonly bootId: string | null; append(item: OutboxItem): void };
  /** A model's answer in the present context (world.ts). */
  readonly inContext: (logits: Float32Array, slot: Slot) => InContext;
  /** As in predictions; null: not known. */
  readonly context: () => string | null;
  /** Of an experiment, that the device is in now. */
  readonly arm: () => string;
  /** The hardware cannot be relied on, so some frames go to the cloud for that reason. */
  readonly isDegraded: () => boolean;
  /** What the answer took, in ms. */
  readonly latencyMs: LatencyOf;
  /** Begins the trace of a frame that is sent. */
  readonly trace: (frame: DecidedFrame) => string | null;
  readonly onAnswer: (answer: LocalAnswer, inference: Inference, slot: Slot, jpeg: Uint8Array) => void;
  readonly onUnreadable: (unreadable: {
    readonly cameraId: string;
    readonly code: string;
    readonly reason: string;
  }) => void;
};

export class Pipeline {
  readonly #deviceId: string;
  readonly #decider: Decider;
  readonly #ports: PipelinePorts;
  readonly #frameSeqs = new Map<string, number>();
  #bootId: string | null = null;
  #decidedBy: DecidedBy | undefined;

  constructor(deviceId: string, decider: Decider, ports: PipelinePorts) {
    this.#deviceId = deviceId;
    this.#decider = decider;
    this.#ports = ports;
  }

  /** Null when the frame could not be read. One call a camera at a time. */
  async process(frame: CameraFrame): Promise<LocalAnswer | null> {
    const inferFromMs = monotonicMs();
    const { slot, result, level, replacement } = await this.#ports.infer(frame);
    if (!result.ok) {
      this.#ports.onUnreadable({ cameraId: frame.cameraId, code: result.code, reason: result.message });
      return null;
    }
    const deviceId = this.#deviceId;
    const { policy } = slot.policy;
    const { bootId, hasRoom: isRecorded } = this.#ports.outbox;
    if (bootId !== this.#bootId) this.#frameSeqs.clear();
    this.#bootId = bootId;
    const nextSeq = (this.#frameSeqs.get(frame.cameraId) ?? 0) + 1;
    const frameId = `${deviceId}:${bootId}:${frame.cameraId}:${nextSeq}`;
    const nowMs = monotonicMs();
    const { logits } = result.inference;
    const isFresh = level === "FULL" || level === "LITE";
    const seen = isFresh ? this.#ports.inContext(logits, slot) : null;
    const decided = this.#decider.decide(
      seen?.logits ?? logits,
      policy,
      { cameraId: frame.cameraId, frameId, isDegraded: this.#ports.isDegraded() },
      nowMs,
    );
    if (isRecorded) this.#frameSeqs.set(frame.cameraId, nextSeq);
    const { calibrated, decision } = decided;
    const { label, confidence } = replacement ?? { label: decided.label, confidence: calibrated.confidence };
    const answer: LocalAnswer = {
      frameId: isRecorded ? frameId : null,
      deviceId,
      bootId,
      cameraId: frame.cameraId,
      frameSeq: isRecorded ? nextSeq : null,
      label,
      confidence,
      margin: calibrated.margin,
      entropy: calibrated.entropy,
      score: decision.score,
      reason: decision.reason,
      escalation: decision.escalation,
      dropReason: decision.dropReason,
      latencyMs: this.#ports.latencyMs(frame, result.inference, nowMs),
      capturedAt: frame.captured.wallMs,
      modelDigest: slot.pkg.digest,
      policyVersion: policy.policyVersion,
      level,
      worldDigest: seen?.worldDigest ?? null,
    };
    if (isRecorded && decision.sampleDrawn) seen?.remember(frameId);
    this.#ports.onAnswer(answer, result.inference, slot, frame.jpeg);
    if (!isRecorded) return answer;
    const traced = { ...answer, frameId, capturedMs: frame.captured.monotonicMs, inferFromMs, inferredMs: nowMs };
    const traceparent = decision.escalation === "QUEUED" ? this.#ports.trace(traced) : null;
    this.#ports.outbox.append(this.#itemOf(frame, decided, answer, slot, nextSeq, traceparent));
    return answer;
  }

  #itemOf(
    frame: CameraFrame,
    decided: Decided,
    answer: LocalAnswer,
    slot: Slot,
    seq: number,
    traceparent: string | null,
  ): OutboxItem {
    const { decision, calibrated } = decided;
    const { policy } = slot.policy;
    const body: PredictionBody = {
      cameraId: frame.cameraId,
      frameSeq: seq,
      label: answer.label,
      confidence: answer.confidence,
      margin: calibrated.margin,
      entropy: calibrated.entropy,
      score: decision.score,
      latencyMs: answer.latencyMs,
      capturedAt: frame.captured.wallMs,
      reason: decision.reason,
      deadlineMs: decided.deadlineMs,
      sampleCorrectness: decision.sampleCorrectness,
      samplePropensity: decision.samplePropensity,
      sampleDrawn: decision.sampleDrawn,
      wouldSend: decision.wouldSend,
      level: answer.level,
      worldDigest: answer.worldDigest,
      context: this.#ports.context(),
    };
    return {
      kind: "frame",
      captured: frame.captured,
      decidedBy: this.#decidedByOf(slot.pkg, policy),
      body,
      escalation: decision.escalation,
      dropReason: decision.dropReason,
      jpeg: decision.escalation === "QUEUED" ? frame.jpeg : null,
      traceparent,
    };
  }

  #decidedByOf({ digest, preprocessingDigest }: Slot["pkg"], { policyVersion }: RoutingPolicy): DecidedBy {
    const arm = this.#ports.arm();
    const last = this.#decidedBy;
    if (last?.policyVersion === policyVersion && last.modelDigest === digest && last.arm === arm) return last;
    const decidedBy = { modelDigest: digest, preprocessingDigest, policyVersion, arm };
    this.#decidedBy = decidedBy;
    return decidedBy;
  }
}
