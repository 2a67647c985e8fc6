/**
 * One frame through the device: classify, decide, answer, store for sending.
 *
 * The local answer is published before the outbox gets the frame, and waits neither for it nor for the cloud (G4). A frame gets
 * its number when it has its answer, in order of arrival per camera: numbers have no gaps, and a frame that no model could
 * read, or that the outbox has no room for, has none (G2). */
import type { RoutingPolicy } from "@tributary/contracts";
import type { Inference } from "@tributary/inference";
import { calibrate } from "@tributary/routing/device";
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
  /** The camera's own time of the frame, in ms of its clock, as the camera states it: whoever reads its frames too knows which one is answered. Null: it
   * states none. */
  readonly stampMs: number | null;
  readonly modelDigest: string;
  readonly policyVersion: string;
  /** What answered: STALE is the camera's last label again. */
  readonly level: AnswerLevel;
  /** The world model that the label is of as well; null: of perception alone. */
  readonly worldDigest: string | null;
  /** How old the label is: since the capture of the frame that it is of. Null: there is none, the label is UNKNOWN. */
  readonly labelAgeMs: number | null;
  /** Why no model answered this frame in time, e.g. frame-late, agent-late, camera-frame-broken; null: one did. */
  readonly missed: string | null;
};

/** In place of a label that is older than it may be. */
const UNKNOWN = { label: "UNKNOWN", confidence: 0 } as const;

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
  /** Of a frame without a number, which is sent nowhere. */
  readonly onAnswerHere: (answer: LocalAnswer) => void;
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
    const leveled = await this.#ports.infer(frame);
    const { slot, result, level, repeated } = leveled;
    if (!result.ok) {
      this.#ports.onUnreadable({ cameraId: frame.cameraId, code: result.code, reason: result.message });
      if (leveled.missed !== undefined) this.answerHere(frame, leveled);
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
    const recorded = leveled.replacement ?? { label: decided.label, confidence: calibrated.confidence };
    const { label, confidence } = repeated?.isTooOld === true ? UNKNOWN : recorded;
    const latencyMs = this.#ports.latencyMs(frame, result.inference, nowMs);
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
      latencyMs,
      capturedAt: frame.captured.wallMs,
      stampMs: frame.stampMs,
      modelDigest: slot.pkg.digest,
      policyVersion: policy.policyVersion,
      level,
      worldDigest: seen?.worldDigest ?? null,
      labelAgeMs: repeated === undefined ? latencyMs : nowMs - repeated.capturedAt,
      missed: leveled.missed ?? null,
    };
    if (isRecorded && decision.sampleDrawn) seen?.remember(frameId);
    this.#ports.onAnswer(answer, result.inference, slot, frame.jpeg);
    if (!isRecorded) return answer;
    const traced = { ...answer, frameId, capturedMs: frame.captured.monotonicMs, inferFromMs, inferredMs: nowMs };
    const traceparent = decision.escalation === "QUEUED" ? this.#ports.trace(traced) : null;
    const item = this.#itemOf(frame, decided, { ...answer, ...recorded }, slot, nextSeq, traceparent);
    this.#ports.outbox.append(item);
    return answer;
  }

  /** Answers a frame that has no picture, or for which there is no label: here only, and without a number. */
  answerHere(
    { cameraId, captured, stampMs }: Omit<CameraFrame, "jpeg">,
    { slot, result, level, missed, ...last }: Leveled,
  ): void {
    const { policy } = slot.policy;
    const nowMs = monotonicMs();
    const { repeated } = last;
    const calibrated = result.ok ? calibrate(result.inference.logits, policy.temperature) : null;
    const isKnown = calibrated !== null && repeated?.isTooOld === false;
    const { label, confidence } = !isKnown
      ? UNKNOWN
      : (last.replacement ?? {
          label: policy.labels[calibrated.labelIndex] as string,
          confidence: calibrated.confidence,
        });
    this.#ports.onAnswerHere({
      frameId: null,
      deviceId: this.#deviceId,
      bootId: this.#ports.outbox.bootId,
      cameraId,
      frameSeq: null,
      label,
      confidence,
      margin: calibrated?.margin ?? 0,
      entropy: calibrated?.entropy ?? 0,
      score: 0,
      reason: "NONE",
      escalation: "NONE",
      dropReason: "NONE",
      latencyMs: nowMs - captured.monotonicMs,
      capturedAt: captured.wallMs,
      stampMs,
      modelDigest: slot.pkg.digest,
      policyVersion: policy.policyVersion,
      level,
      worldDigest: null,
      labelAgeMs: repeated === undefined ? null : nowMs - repeated.capturedAt,
      missed: missed ?? null,
    });
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
