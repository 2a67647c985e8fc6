/**
 * Writes labels to ground-truth.v1.
 *
 * An invalid label does not fail its batch: each is checked alone, refused with a code, and counted. An accepted label is
 * stored by Kafka (acks of all in-sync replicas), in the order of the batch. If a frame occurs twice in one batch the later
 * label holds; a label that ground-truth.v1 has already is not written again.
 */
import { Inject, Injectable } from "@nestjs/common";
import type { Answer, Label, LabelBatch, LabelResult, NextLabel, NextLabelQuery } from "@tributary/api";
import { type ArchivedFrame, type GroundTruth, type TrainingRun, topics } from "@tributary/contracts";
import { cloudEventHeaders, KafkajsSink, type OutRecord } from "@tributary/kafka";
import { type Clock, Failure, type FrameId, formatFrameId, parseFrameId } from "@tributary/kernel";
import { CLOCK, Problem, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { isEnded } from "@tributary/training";
import { labelRefused, labelsStored } from "../events.ts";
import { ExplainSources } from "../frames/explain.ts";
import { TrainingTable } from "../trainings/training-table.ts";
import { answerOfArchived } from "./archived-answer.ts";
import { ArchivedFrames } from "./archived-frames.ts";
import { LabelCandidates } from "./candidates.ts";
import { judgeLabel, type LabelVerdict, type Sought } from "./check-label.ts";
import { FrameIndex, type FrameTag } from "./frame-index.ts";
import { LabelTable } from "./label-table.ts";
import { framesToLabel, framesToRepeat, sliceOf } from "./training-queue.ts";

type Read = { readonly label: Label; readonly id: FrameId | undefined; readonly frameId: string };

@Injectable()
export class Labels {
  constructor(
    private readonly explained: ExplainSources,
    private readonly index: FrameIndex,
    private readonly table: LabelTable,
    private readonly candidates: LabelCandidates,
    private readonly archived: ArchivedFrames,
    private readonly trainings: TrainingTable,
    private readonly sink: KafkajsSink,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  async take({ labels, allowUnknown, dryRun }: LabelBatch): Promise<LabelResult> {
    const { table } = this;
    const read = labels.map(readLabel);
    const found = await this.#seek(read.flatMap(({ id }) => id ?? []));
    const last = new Map(read.map(({ frameId }, index) => [frameId, index]));
    const refused: LabelResult["refused"] = [];
    const truths: GroundTruth[] = [];
    let [repeated, unchecked] = [0, 0];
    for (const [index, { label, id, frameId }] of read.entries()) {
      const sought = found(frameId);
      const verdict = id === undefined ? malformed(label.frameId) : this.#judge(label, sought, allowUnknown);
      if (verdict.kind === "refuse") {
        refused.push({ index, frameId: label.frameId, code: verdict.code, message: verdict.message });
        this.telemetry.emit(labelRefused, { code: verdict.code, frameId: label.frameId });
      } else if (last.get(frameId) !== index || table.holds(frameId, label)) repeated++;
      else if (id !== undefined) {
        truths.push(this.#truthOf(label, id, sought.kind === "found" ? sought.frame.at : null));
        if (!verdict.checked) unchecked++;
      }
    }
    if (!dryRun) await this.#store(truths);
    return { accepted: truths.length, repeated, unchecked, refused };
  }

  /** Frames that trainings wait for, those of the training that waits longest first; then the others. @throws Problem */
  next({ training, why, deviceId, by }: Omit<NextLabelQuery, "limit">, limit: number): NextLabel[] {
    const found = new Map<string, NextLabel>();
    if (why === undefined || why === "TRAINING") {
      for (const run of this.#waiting(training)) {
        for (const [frameId, frame] of this.#framesOf(run, { deviceId, by }, limit - found.size)) {
          const answer = this.explained.ring.get(frameId) ?? answerOfArchived(frameId, frame);
          if (!found.has(frameId)) found.set(frameId, this.#nextOf(answer, "TRAINING", run.runId));
        }
      }
    }
    if (why !== "TRAINING" && training === undefined) {
      for (const { why: own, answer } of this.candidates.next({ deviceId, why }, limit + found.size)) {
        if (!found.has(answer.frameId)) found.set(answer.frameId, this.#nextOf(answer, own, null));
      }
    }
    return [...found.values()].slice(0, limit);
  }

  /** Those that wait for labels, or the one that is asked for, unless it ended. */
  #waiting(training: string | undefined): readonly TrainingRun[] {
    if (training === undefined) return this.trainings.records(({ phase }) => phase === "LABELLING").reverse();
    const run = this.trainings.get(training);
    return isEnded(run) ? [] : [run];
  }

  #framesOf(run: TrainingRun, { deviceId, by }: Pick<NextLabelQuery, "deviceId" | "by">, limit: number) {
    if (limit <= 0) return [];
    const isOfSlice = sliceOf(run);
    const frames: (readonly [string, ArchivedFrame])[] = [];
    for (const entry of this.archived.present(this.clock.now())) {
      const isWanted = deviceId === undefined || entry[1].deviceId === deviceId;
      if (isWanted && isOfSlice(entry[1])) frames.push(entry);
    }
    const again = by === undefined ? [] : framesToRepeat(frames, (frameId) => this.table.get(frameId), by, limit);
    return [...again, ...framesToLabel(frames, (frameId) => this.table.has(frameId), limit - again.length)];
  }

  #nextOf(answer: Answer, why: NextLabel["why"], training: string | null): NextLabel {
    const { frameId } = answer;
    const image = `/api/v1/frames/${encodeURIComponent(frameId)}/image`;
    return { frameId, why, training, classes: [...(this.#classesOf(answer) ?? [])], image, answer };
  }

  #judge(label: Label, sought: Sought, allowUnknown: boolean): LabelVerdict {
    const classes = sought.kind === "found" ? this.#classesOf(sought.frame) : undefined;
    return judgeLabel(label, sought, classes, allowUnknown);
  }

  #classesOf({ policyVersion, modelDigest }: Omit<FrameTag, "at">): readonly string[] | undefined {
    const { policies } = this.explained;
    const policy =
      policies.version(policyVersion) ?? policies.list().find((one) => one.policy.modelDigest === modelDigest)?.policy;
    return policy?.labels;
  }

  /** The newest answers and archived frames are in memory; others are searched in Kafka. */
  async #seek(ids: readonly FrameId[]): Promise<(frameId: string) => Sought> {
    const { explained, index } = this;
    // A frame that is known now may be forgotten while the others are sought.
    const known = new Map(ids.map(formatFrameId).map((frameId) => [frameId, this.#remembered(frameId)]));
    const older = ids.filter((id) => known.get(formatFrameId(id)) === undefined);
    const found = older.length === 0 ? undefined : await explained.search.within((signal) => index.find(older, signal));
    return (frameId) => {
      const frame = known.get(frameId) ?? this.#remembered(frameId);
      return frame === undefined ? (found?.get(frameId) ?? { kind: "absent" }) : { kind: "found", frame };
    };
  }

  #remembered(frameId: string): FrameTag | undefined {
    const answer = this.explained.ring.get(frameId);
    if (answer !== undefined) {
      const { policyVersion, modelDigest, answeredAt } = answer;
      return { policyVersion, modelDigest, at: Date.parse(answeredAt) };
    }
    const archived = this.archived.get(frameId);
    return archived && { policyVersion: "", modelDigest: archived.modelDigest, at: archived.receivedAt };
  }

  #truthOf(label: Label, id: FrameId, frameAt: number | null): GroundTruth {
    const { source, labelledBy, labelSet, comment } = label;
    const labelledAt = label.labelledAt === undefined ? this.clock.now() : Date.parse(label.labelledAt);
    return { ...id, label: label.label, source, labelledBy, labelledAt, labelSet, comment, frameAt };
  }

  async #store(truths: readonly GroundTruth[]): Promise<void> {
    const { sink, table, telemetry, clock } = this;
    if (truths.length === 0) return;
    try {
      await sink.send(truths.map((truth) => recordOf(truth, clock.now())));
    } catch (error) {
      throw new Problem(
        503,
        "kafka-unavailable",
        "retry",
        "Kafka did not store the labels; some may be in force. Send them again: what is stored already is not written twice.",
        { cause: error },
      );
    }
    for (const truth of truths) table.add(truth);
    telemetry.emit(labelsStored, { count: truths.length });
  }
}

function readLabel(label: Label): Read {
  try {
    const id = parseFrameId(label.frameId);
    return { label, id, frameId: formatFrameId(id) };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { label, id: undefined, frameId: label.frameId };
  }
}

const malformed = (frameId: string): LabelVerdict => ({
  kind: "refuse",
  code: "frame-id-malformed",
  message: `"${frameId}" is not a frame id: expected deviceId:bootId:cameraId:frameSeq, e.g. cam-01:5497558138881:front:17`,
});

function recordOf(truth: GroundTruth, now: number): OutRecord {
  const { name: topic, codec } = topics.groundTruth;
  return {
    topic,
    key: truth.deviceId,
    value: codec.encodeConfluent(truth),
    headers: cloudEventHeaders({
      id: `${formatFrameId(truth)}:label:${truth.labelledAt}`,
      source: "/tributary/gateway",
      type: `tributary.v1.${codec.name}`,
      time: now,
    }),
  };
}
