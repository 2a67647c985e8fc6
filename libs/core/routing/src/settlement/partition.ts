/**
 * The settlement of one partition's frames: a deterministic fold over predictions, frames, cloud results and ticks of the
 * clock. It changes its state in place and collects what is to be written in `Effects`; it reads no clock and does no I/O.
 *
 * A record is processed once per (device, boot, stream, seq): dedupe-window.ts; of boot 0, once in the last 1,024:
 * digest-window.ts. An open frame is settled as EDGE at `deadlineAt` = min(receipt, now) - age + deadline, by the earlier of
 * its two records; a cloud answer written after that moment is ignored. Drawn frames bypass budget and deadline, and still go
 * to the cloud when they are late or settled; a claimed draw that finds no room (shares.ts D4) is treated like any other frame.
 * Frames per device are bounded (G9): the one settled first is forgotten first; if none is, the oldest is answered.
 *
 * S1. Every frame gets exactly one answer (G2). Its owner: a kept or dropped frame's prediction record; else the frame's
 *     journey (cloud result, refusal), or the clock. Whichever of prediction and frame comes first opens the journey.
 * S4. A settled frame is remembered until both its records were seen, so that neither answers again. One whose frame never
 *     comes is forgotten 2 x lateFrameMsMax after its deadline; an unknown frame that late is left to its prediction, which
 *     exists exactly once (ADR 5). A frame of boot 0 has no prediction: it is all there is, and is never left to one.
 * S6. After a restart, `restore` then `replay` of the answers written since make the fold know all that it wrote: whatever
 *     prefix of the effects was stored, no frame is answered again (G2). */
import type {
  Classifications,
  CloudResult,
  EdgeFrame,
  EdgePredictions,
  FinalAnswer,
  SettledBy,
} from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { Admission } from "./admission.ts";
import { Alarms } from "./alarms.ts";
import {
  answerOfCloud,
  answerOfFrame,
  answerOfPrediction,
  causeOfOutcome,
  finished,
  isUsable,
  requestOf,
  tracedBy,
} from "./answers.ts";
import {
  type DeviceChanges,
  type DeviceSnapshot,
  DeviceState,
  type FrameName,
  frameKeyOf,
  NO_BOOT,
  type OpenFrame,
  type Stream,
} from "./device-state.ts";
import type { Effects } from "./effects.ts";
import { type SettlementLimits, settlementLimits } from "./limits.ts";

export type PartitionOptions = {
  readonly admission: Admission;
  /** Cloud target asked. */
  readonly target: string;
  readonly limits?: SettlementLimits;
  /** Arm of a frame, by its identity and the arm that its device reports; the device's own by default. Always
   * the same for a frame, as its two records both ask. */
  readonly armOf?: ArmOf;
  /** Whether a claimed draw is the one that the device's key gives. Every claim is accepted by default; how many
   * are is bounded either way. */
  readonly isDrawn?: IsDrawn;
};

export type IsDrawn = (frame: EdgeFrame) => boolean;

export type ArmOf = (frame: FrameName & { readonly deviceId: string }, reported: string) => string;

type Seen = { readonly deadlineMs: number; readonly ageMs: number };
type Times = { readonly capturedAt: Instant; readonly deadlineAt: Instant };

export class SettlementPartition {
  readonly #admission: Admission;
  readonly #target: string;
  readonly #limits: SettlementLimits;
  readonly #armOf: ArmOf;
  readonly #isDrawn: IsDrawn;
  readonly #devices = new Map<string, DeviceState>();
  readonly #alarms = new Alarms();
  #unsettled = 0;

  constructor(options: PartitionOptions) {
    this.#admission = options.admission;
    this.#target = options.target;
    this.#limits = options.limits ?? settlementLimits;
    this.#armOf = options.armOf ?? ((_frame, reported) => reported);
    this.#isDrawn = options.isDrawn ?? (() => true);
  }

  get devices(): number {
    return this.#devices.size;
  }

  /** Frames without an answer. */
  get openFrames(): number {
    return this.#unsettled;
  }

  predictions(batch: EdgePredictions, receivedAt: Instant, now: Instant, effects: Effects): void {
    const device = this.#device(batch.deviceId, now);
    if (!this.#first(device, batch.bootId, "predictions", batch.seq, effects)) return;
    const answers: FinalAnswer[] = [];
    let known = 0;
    for (const prediction of batch.predictions) {
      const name = { bootId: batch.bootId, cameraId: prediction.cameraId, frameSeq: prediction.frameSeq };
      const key = frameKeyOf(name);
      const { capturedAt, deadlineAt } = this.#times(prediction, receivedAt, now);
      const arm = this.#armOf({ ...name, deviceId: batch.deviceId }, batch.arm);
      let open = device.frames.get(key);
      if (prediction.escalation !== "QUEUED") {
        this.#admission.kept(batch.deviceId, now);
        if (open === undefined) {
          const cause = prediction.escalation === "DROPPED" ? "DEVICE_DROPPED" : "KEPT";
          answers.push(finished(answerOfPrediction(batch, prediction, arm), cause, capturedAt, now));
        } else if (open.settled) {
          device.drop(key); // S6: answered before a restart
          known++;
        } else {
          device.change(key, open, { predictionSeen: true }); // its frame came after all, and is answered by its journey
        }
        continue;
      }
      if (open === undefined) {
        const answer = answerOfPrediction(batch, prediction, arm);
        this.#open(
          device,
          { ...name, ...NEW, predictionSeen: true, deadlineAt, capturedAtEstimate: capturedAt, answer },
          now,
          effects,
        );
        continue;
      }
      open = this.#sooner(device, key, open, { deadlineAt, capturedAt }, { predictionSeen: true });
      if (open.settled) {
        known++;
        this.#leave(device, key, open);
      }
    }
    effects.answer(batch.deviceId, batch.bootId, answers);
    if (known > 0) effects.notes.push({ kind: "alreadyAnswered", deviceId: batch.deviceId, frames: known });
    this.#settleOverdue(now, effects);
  }

  frame(frame: EdgeFrame, receivedAt: Instant, now: Instant, effects: Effects): void {
    const device = this.#device(frame.deviceId, now);
    if (!this.#first(device, frame.bootId, "frames", frame.seq, effects)) return;
    const key = frameKeyOf(frame);
    const { capturedAt, deadlineAt } = this.#times(frame, receivedAt, now);
    let open = device.frames.get(key);
    const alone = frame.bootId === NO_BOOT;
    const forgotten = open === undefined && !alone && now > deadlineAt + this.#limits.lateFrameMsMax;
    if (forgotten) {
      effects.notes.push({ kind: "leftToPrediction", deviceId: frame.deviceId });
    } else if (open === undefined) {
      const answer = answerOfFrame(frame, this.#armOf(frame, frame.arm));
      const half = { ...NEW, frameSeen: true, predictionSeen: alone };
      open = { ...pick(frame), ...half, deadlineAt, capturedAtEstimate: capturedAt, answer };
      this.#open(device, open, now, effects);
    } else {
      const answer = open.answer && tracedBy(open.answer, frame); // its prediction has no trace
      open = this.#sooner(device, key, open, { deadlineAt, capturedAt }, { frameSeen: true, answer });
    }
    this.#askOrRefuse(device, key, frame, open, open?.deadlineAt ?? deadlineAt, now, effects);
    const after = device.frames.get(key);
    if (after?.settled) this.#leave(device, key, after);
  }

  result(result: CloudResult, writtenAt: Instant, now: Instant, effects: Effects): void {
    const key = frameKeyOf(result);
    const latencyMs = this.#admission.returned(`${result.deviceId}:${key}`, result, now);
    if (latencyMs !== null) effects.notes.push({ kind: "cloudLatency", latencyMs, outcome: result.outcome });
    const device = this.#devices.get(result.deviceId);
    const open = device?.frames.get(key);
    if (device === undefined || open === undefined || open.answer === null) {
      effects.notes.push({ kind: "resultIgnored", why: open ? "late" : "unknown", deviceId: result.deviceId });
      return;
    }
    const traced = tracedBy(open.answer, result);
    const settle = (answer: FinalAnswer, by: SettledBy) =>
      this.#settle(device, key, { ...open, answer }, by, now, effects);
    if (Math.min(writtenAt, now) > open.deadlineAt) {
      effects.notes.push({ kind: "resultIgnored", why: "late", deviceId: result.deviceId });
      settle(traced, "DEADLINE");
    } else if (isUsable(result)) {
      settle(answerOfCloud(traced, result), "CLOUD_ANSWER");
    } else {
      const { target: cloudTarget, costMicros } = result;
      settle({ ...traced, cloudTarget, costMicros }, causeOfOutcome(result.outcome));
    }
  }

  /** Settles what is overdue and forgets what is no longer needed (S4). */
  tick(now: Instant, effects: Effects): void {
    this.#settleOverdue(now, effects);
  }

  /** Forgets devices unused for so long that no record of theirs can return. Returns their ids: their states may go too. */
  prune(now: Instant, idleMsMax: number): readonly string[] {
    // A settled frame that still awaits a record waits in vain by now.
    const isDone = (device: DeviceState) => [...device.frames.values()].every((frame) => frame.settled);
    const gone = [...this.#devices.values()].filter((d) => now - d.touchedAt > idleMsMax && isDone(d));
    for (const device of gone) this.#devices.delete(device.deviceId);
    return gone.map((device) => device.deviceId);
  }

  snapshot(deviceId: string): DeviceSnapshot | undefined {
    return this.#devices.get(deviceId)?.snapshot();
  }

  /** What became of a device since this was last asked: what its stored state lacks. */
  takeChanges(deviceId: string): DeviceChanges | undefined {
    return this.#devices.get(deviceId)?.takeChanges();
  }

  restore(snapshot: DeviceSnapshot, savedAt: Instant): void {
    const device = DeviceState.restore(snapshot, savedAt);
    this.#devices.set(snapshot.deviceId, device);
    for (const [key, open] of device.frames) {
      if (!open.settled) this.#unsettled++;
      this.#alarm(device, key, open);
    }
  }

  /** S6. Answers that were written after the state that was restored. The device's state is to be saved before its next
   * answers, or these would be lost to the restart after the next. */
  replay(record: Classifications, writtenAt: Instant): void {
    const device = this.#device(record.deviceId, writtenAt);
    for (const answer of record.answers) {
      const name: FrameName = { bootId: record.bootId, cameraId: answer.cameraId, frameSeq: answer.frameSeq };
      const key = frameKeyOf(name);
      const open = device.frames.get(key);
      if (open === undefined && record.bootId === NO_BOOT && !isOfPrediction(answer)) {
        device.markDigest("frames", answer.frameSeq); // offered again, it is known by its number
      } else if (open === undefined) {
        // Neither of its records is covered by the state, so both will be offered again.
        const settled = {
          ...name,
          ...NEW,
          settled: true,
          deadlineAt: writtenAt,
          capturedAtEstimate: writtenAt,
          answer: null,
        };
        device.put(key, settled);
        if (device.frames.size > this.#limits.framesMax) this.#forgetRestored(device);
      } else if (!open.settled) {
        this.#leave(device, key, this.#markSettled(device, key, open));
      }
    }
  }

  #device(deviceId: string, now: Instant): DeviceState {
    let device = this.#devices.get(deviceId);
    if (device === undefined) {
      device = new DeviceState(deviceId, now);
      this.#devices.set(deviceId, device);
    }
    device.touchedAt = Math.max(device.touchedAt, now);
    return device;
  }

  #first(device: DeviceState, bootId: bigint, stream: Stream, seq: bigint, effects: Effects): boolean {
    const { deviceId } = device;
    if (bootId === NO_BOOT) {
      const fresh = device.markDigest(stream, seq);
      if (fresh) effects.touched.add(deviceId);
      else effects.notes.push({ kind: "duplicate", stream, deviceId });
      return fresh;
    }
    const { fresh, skipped, forgotten } = device.mark(bootId, stream, seq, this.#limits.bootsMax);
    if (forgotten !== null) effects.notes.push({ kind: "evicted", what: "boot", deviceId });
    if (skipped > 0) effects.notes.push({ kind: "holes", stream, deviceId, records: skipped });
    if (!fresh) effects.notes.push({ kind: "duplicate", stream, deviceId });
    else effects.touched.add(deviceId);
    return fresh;
  }

  #times(seen: Seen, receivedAt: Instant, now: Instant): Times {
    const capturedAt = Math.min(receivedAt, now) - seen.ageMs; // A bridge whose clock is ahead postpones nothing
    return { capturedAt, deadlineAt: capturedAt + Math.min(seen.deadlineMs, this.#limits.deadlineMsMax) };
  }

  #open(device: DeviceState, open: OpenFrame, now: Instant, effects: Effects): void {
    const key = frameKeyOf(open);
    device.put(key, open);
    this.#unsettled++;
    this.#alarm(device, key, open);
    if (device.frames.size > this.#limits.framesMax) this.#evict(device, now, effects);
  }

  #evict(device: DeviceState, now: Instant, effects: Effects): void {
    if (this.#forgetSettled(device)) {
      effects.notes.push({ kind: "evicted", what: "settled", deviceId: device.deviceId });
      return;
    }
    const [key, oldest] = device.frames.entries().next().value as [string, OpenFrame];
    this.#settle(device, key, oldest, "FLEET_BUDGET", now, effects);
    device.drop(key);
    effects.notes.push({ kind: "evicted", what: "open", deviceId: device.deviceId });
  }

  /** Of the settled ones that the state knew, if there are any: of the others both records are still to come. */
  #forgetRestored(device: DeviceState): void {
    for (const [key, { settled }] of device.frames) {
      if (!settled) continue;
      device.drop(key);
      return;
    }
  }

  /** The one settled first. False when there is none. */
  #forgetSettled(device: DeviceState): boolean {
    const key = device.oldestSettled;
    if (key !== undefined) device.drop(key);
    return key !== undefined;
  }

  /** The earlier of two estimates is nearer the truth: every delay on the way makes a capture look later. */
  #sooner(device: DeviceState, key: string, open: OpenFrame, times: Times, learnt: Partial<OpenFrame>): OpenFrame {
    const deadlineAt = Math.min(open.deadlineAt, times.deadlineAt);
    const capturedAtEstimate = Math.min(open.capturedAtEstimate, times.capturedAt);
    const changed = device.change(key, open, { ...learnt, deadlineAt, capturedAtEstimate });
    if (deadlineAt < open.deadlineAt && !open.settled) this.#alarm(device, key, changed);
    return changed;
  }

  #askOrRefuse(
    device: DeviceState,
    key: string,
    frame: EdgeFrame,
    open: OpenFrame | undefined,
    deadlineAt: Instant,
    now: Instant,
    effects: Effects,
  ): void {
    const settled = open === undefined || open.settled;
    if (settled && !frame.sampleDrawn) return;
    const { deviceId } = device;
    const { reason, score, sampleDrawn } = frame;
    const hasAnswer = frame.label !== "";
    const arm = this.#armOf(frame, frame.arm);
    const isDrawVerified = sampleDrawn && this.#isDrawn(frame);
    const remainingMs = deadlineAt - now;
    const asking = {
      deviceId,
      arm,
      reason,
      hasAnswer,
      score,
      sampleDrawn,
      isDrawVerified,
      remainingMs,
      isSettled: settled,
    };
    const decision = this.#admission.decide(asking, now);
    for (const why of decision.unfair) effects.notes.push({ kind: "unfair", why, deviceId });
    const weighed = open?.answer && { ...open.answer, admission: decision.facts, sampleDrawn: decision.sampleDrawn };
    if (decision.settledBy !== null && !settled) {
      effects.notes.push({ kind: "refused", why: decision.settledBy, deviceId: device.deviceId });
      this.#settle(device, key, { ...open, answer: weighed ?? null }, decision.settledBy, now, effects);
    } else if (open !== undefined && weighed) {
      const asked = decision.send !== null && {
        target: this.#target,
        answer: { ...weighed, cloudTarget: this.#target },
      };
      device.change(key, open, asked || { answer: weighed });
    }
    if (decision.send === null) return;
    effects.requests.push({
      lane: decision.send,
      request: requestOf(
        { ...frame, sampleDrawn: decision.sampleDrawn },
        { target: this.#target, arm },
        { deadlineAt, now },
      ),
    });
    this.#admission.called(`${device.deviceId}:${key}`, arm, now);
  }

  #settle(device: DeviceState, key: string, open: OpenFrame, by: SettledBy, now: Instant, effects: Effects): void {
    if (open.answer === null) return;
    effects.touched.add(device.deviceId);
    effects.answer(device.deviceId, open.bootId, [finished(open.answer, by, open.capturedAtEstimate, now)]);
    this.#leave(device, key, this.#markSettled(device, key, open));
  }

  #markSettled(device: DeviceState, key: string, open: OpenFrame): OpenFrame {
    this.#unsettled--;
    return device.change(key, open, { settled: true, answer: null });
  }

  /** S4. Forgets a settled frame, now or later. */
  #leave(device: DeviceState, key: string, open: OpenFrame): void {
    if (open.frameSeen && open.predictionSeen) device.drop(key);
    else this.#alarm(device, key, open);
  }

  #alarm(device: DeviceState, frameKey: string, open: OpenFrame): void {
    const at = this.#alarmAt(open);
    if (at !== null) this.#alarms.set({ at, deviceId: device.deviceId, frameKey });
  }

  /** When the clock has to look at a frame again; null: never, a record will come. */
  #alarmAt(open: OpenFrame): Instant | null {
    if (!open.settled) return open.deadlineAt;
    return open.predictionSeen && !open.frameSeen ? open.deadlineAt + 2 * this.#limits.lateFrameMsMax : null;
  }

  #settleOverdue(now: Instant, effects: Effects): void {
    for (let alarm = this.#alarms.due(now); alarm !== undefined; alarm = this.#alarms.due(now)) {
      const device = this.#devices.get(alarm.deviceId);
      const open = device?.frames.get(alarm.frameKey);
      if (device === undefined || open === undefined) continue;
      const at = this.#alarmAt(open);
      if (at === null || at > now) continue; // a later alarm is set, if one is needed
      if (!open.settled) {
        this.#settle(device, alarm.frameKey, open, "DEADLINE", now, effects);
      } else {
        device.drop(alarm.frameKey);
        effects.touched.add(alarm.deviceId);
      }
    }
  }
}

const NEW = { settled: false, predictionSeen: false, frameSeen: false, target: null };

/** Whether a prediction alone answered it. */
const isOfPrediction = ({ settledBy }: FinalAnswer): boolean => settledBy === "KEPT" || settledBy === "DEVICE_DROPPED";

const pick = ({ bootId, cameraId, frameSeq }: FrameName): FrameName => ({ bootId, cameraId, frameSeq });
