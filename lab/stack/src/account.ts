/**
 * Compares what the cameras produced with what Kafka holds. Pure.
 *
 * A frame's final answer is its record of the lowest offset; a device's records share a partition, so records are taken in
 * offset order and the first wins. A later answer of the same frame is a duplicate; one that differs in label or source is a
 * contradiction as well. A killed device did not commit its last frames to its outbox: frames after the last answered one of
 * a boot that was killed are uncommitted, not lost. A gap before it is a loss. If a camera writes no ledger, its frames are
 * those in predictions and every number missing before them: an agent numbers frames without gaps. Frames after the last
 * prediction cannot be counted.
 */
import type { Classifications, EdgeFrame, EdgePrediction, EdgePredictions, FinalAnswer } from "@tributary/contracts";
import { clopperPearson } from "@tributary/statistics";
import { quantilesOf } from "@tributary/testing";
import { keyOf, type Shown } from "./ledger.ts";
import type { Records } from "./topic-log.ts";

export type Answered = {
  readonly answer: FinalAnswer;
  /** When Kafka appended it. */
  readonly appendedAt: number;
};

export type Account = {
  readonly shown: ReadonlyMap<string, Shown>;
  readonly answered: ReadonlyMap<string, Answered>;
  /** Local answer latency by frame, in ms. */
  readonly edgeLatencyMs: ReadonlyMap<string, number>;
  readonly escalations: ReadonlyMap<string, string>;
  /** Reason by frame, of frames that reached Kafka. */
  readonly sent: ReadonlyMap<string, string>;
  readonly bytesSent: number;
  readonly duplicates: number;
  readonly contradictions: number;
  /** Prediction records that named a frame a second time. */
  readonly predictionsRepeated: number;
  /** Records of any topic that do not decode. */
  readonly unreadable: number;
};

export class Accountant implements Records {
  readonly #shown = new Map<string, Shown>();
  readonly #withoutLedger: ReadonlySet<string>;
  /** Devices whose frames are counted: light devices are not among them. */
  readonly #counted: ReadonlySet<string>;
  /** By boot of a device without a ledger, the first number that nobody has named or missed yet. */
  readonly #next = new Map<string, number>();
  readonly #answered = new Map<string, Answered>();
  readonly #edgeLatencyMs = new Map<string, number>();
  readonly #escalations = new Map<string, string>();
  readonly #sent = new Map<string, string>();
  #bytesSent = 0;
  #duplicates = 0;
  #contradictions = 0;
  #predictionsRepeated = 0;
  #unreadable = 0;

  /** `withoutLedger`: devices whose cameras keep none. */
  constructor(shown: readonly Shown[], withoutLedger: readonly string[] = []) {
    this.#withoutLedger = new Set(withoutLedger);
    this.#counted = new Set([...shown.map(({ deviceId }) => deviceId), ...withoutLedger]);
    for (const frame of shown) this.#shown.set(keyOf(frame.deviceId, frame.boot, frame.n), frame);
  }

  classifications({ deviceId, bootId, answers }: Classifications, appendedAt: number): void {
    for (const answer of answers) {
      const key = keyOf(deviceId, bootId, answer.frameSeq);
      const first = this.#answered.get(key)?.answer;
      if (first === undefined) {
        this.#answered.set(key, { answer, appendedAt });
      } else {
        this.#duplicates++;
        if (first.label !== answer.label || first.source !== answer.source) this.#contradictions++;
      }
    }
  }

  predictions({ deviceId, bootId, predictions }: EdgePredictions, bytes: number): void {
    if (this.#counted.has(deviceId)) this.#bytesSent += bytes;
    for (const prediction of predictions) {
      if (this.#withoutLedger.has(deviceId)) this.#named(deviceId, `${bootId}`, prediction);
      const key = keyOf(deviceId, bootId, prediction.frameSeq);
      if (this.#edgeLatencyMs.has(key)) this.#predictionsRepeated++;
      this.#edgeLatencyMs.set(key, prediction.latencyMs);
      this.#escalations.set(key, prediction.escalation);
    }
  }

  /** Of a device without a ledger: the frame is one that was shown, and so is every missing number before it. */
  #named(deviceId: string, boot: string, { frameSeq, capturedAt }: EdgePrediction): void {
    const last = Number(frameSeq);
    for (let n = this.#next.get(`${deviceId}:${boot}`) ?? 1; n <= last; n++) {
      this.#shown.set(keyOf(deviceId, boot, n), { deviceId, boot, n, capturedAt: capturedAt ?? 0 });
      this.#next.set(`${deviceId}:${boot}`, n + 1);
    }
  }

  frame({ deviceId, bootId, frameSeq, reason }: EdgeFrame, bytes: number): void {
    if (this.#counted.has(deviceId)) this.#bytesSent += bytes;
    this.#sent.set(keyOf(deviceId, bootId, frameSeq), reason);
  }

  unreadable(): void {
    this.#unreadable++;
  }

  account(): Account {
    return {
      shown: this.#shown,
      answered: this.#answered,
      edgeLatencyMs: this.#edgeLatencyMs,
      escalations: this.#escalations,
      sent: this.#sent,
      bytesSent: this.#bytesSent,
      duplicates: this.#duplicates,
      contradictions: this.#contradictions,
      predictionsRepeated: this.#predictionsRepeated,
      unreadable: this.#unreadable,
    };
  }
}

export type Losses = { readonly lost: readonly Shown[]; readonly uncommitted: readonly Shown[] };

export type Excuses = {
  /** deviceId:boot of boots that were ended with -9. */
  readonly killed?: ReadonlySet<string>;
  /** The run was stopped: what was captured later is on its way or in a durable outbox, for the next run to answer. */
  readonly openSince?: number;
};

export function lossesOf(account: Account, { killed = new Set(), openSince }: Excuses = {}): Losses {
  const lastAnswered = new Map<string, number>();
  for (const [key, frame] of account.shown) {
    const boot = `${frame.deviceId}:${frame.boot}`;
    if (account.answered.has(key)) lastAnswered.set(boot, Math.max(lastAnswered.get(boot) ?? 0, frame.n));
  }
  const lost: Shown[] = [];
  const uncommitted: Shown[] = [];
  for (const [key, frame] of account.shown) {
    if (account.answered.has(key)) continue;
    const boot = `${frame.deviceId}:${frame.boot}`;
    const isTail = frame.n > (lastAnswered.get(boot) ?? 0);
    const isOpen = frame.capturedAt >= (openSince ?? Number.POSITIVE_INFINITY);
    (isOpen || (killed.has(boot) && isTail) ? uncommitted : lost).push(frame);
  }
  return { lost, uncommitted };
}

export type Quantiles = { readonly n: number; readonly p50: number | null; readonly p99: number | null };

export function quantiles(values: readonly number[]): Quantiles {
  const [p50, p99] = quantilesOf(values, 0.5, 0.99);
  const rounded = (value: number) => (Number.isNaN(value) ? null : Math.round(value * 10) / 10);
  return { n: values.length, p50: rounded(p50), p99: rounded(p99) };
}

/** A share of right answers, with its exact 95 % interval. */
export type Accuracy = {
  readonly share: number;
  readonly lower: number;
  readonly upper: number;
  readonly frames: number;
  /** Different ones among them. The interval counts these: a repeated photo adds no information. */
  readonly photos: number;
};

export type Report = {
  readonly frames: number;
  readonly devices: number;
  readonly lost: number;
  readonly duplicates: number;
  /** Duplicates that differ from the final answer. */
  readonly contradictions: number;
  readonly uncommitted: number;
  /** Records that do not decode: poison that somebody wrote. */
  readonly unreadable: number;
  /** Of frames whose truth is known; null: of none. `onCloudAnswers`: both models on the frames that the cloud answered. */
  readonly accuracy: {
    readonly edge: Accuracy;
    readonly hybrid: Accuracy;
    readonly onCloudAnswers: { readonly edge: Accuracy; readonly cloud: Accuracy } | null;
  } | null;
  readonly sent: number;
  readonly sentShare: number;
  readonly escalated: { readonly [reason: string]: number };
  readonly settledBy: { readonly [cause: string]: number };
  /** Final answers that are the cloud's, their share of the sent frames, and of them those that agree with the edge. */
  readonly cloudAnswers: number;
  readonly cloudShareOfSent: number | null;
  readonly agreementShare: number | null;
  /** `ifAllSent`: null where nobody wrote down how large frames were. */
  readonly bytes: { readonly sent: number; readonly ifAllSent: number | null };
  readonly latencyMs: { readonly edge: Quantiles; readonly kept: Quantiles; readonly sent: Quantiles };
  readonly costPerThousandFrames: number;
};

/** How often something was right, counting frames and different photos. */
class Rights {
  #frames = 0;
  #right = 0;
  readonly #photos = new Set<number>();

  add(photo: number | undefined, isRight: boolean): void {
    this.#frames++;
    if (isRight) this.#right++;
    if (photo !== undefined) this.#photos.add(photo);
  }

  get accuracy(): Accuracy | null {
    if (this.#frames === 0) return null;
    const photos = this.#photos.size || this.#frames;
    const { lower, upper } = clopperPearson((this.#right / this.#frames) * photos, photos);
    return {
      share: shareOf(this.#right, this.#frames),
      lower: rounded(lower),
      upper: rounded(upper),
      frames: this.#frames,
      photos,
    };
  }
}

export function reportOf(account: Account, devices: number, excuses: Excuses = {}): Report {
  const { lost, uncommitted } = lossesOf(account, excuses);
  const rights = { edge: new Rights(), hybrid: new Rights(), edgeThere: new Rights(), cloud: new Rights() };
  const escalated: { [reason: string]: number } = { ambiguous: 0, priority: 0, sample: 0 };
  const settledBy: { [cause: string]: number } = {};
  const kept: number[] = [];
  const sent: number[] = [];
  const edge: number[] = [];
  let [frames, sentFrames, cloudAnswers, agreed, costMicros] = [0, 0, 0, 0, 0];
  let bytesIfAllSent: number | null = 0;
  for (const [key, frame] of account.shown) {
    bytesIfAllSent = bytesIfAllSent === null || frame.bytes === undefined ? null : bytesIfAllSent + frame.bytes;
    const answered = account.answered.get(key);
    if (answered === undefined) continue;
    const { answer, appendedAt } = answered;
    frames++;
    const isCloud = answer.source === "CLOUD";
    if (frame.label !== undefined) {
      const isRight = { edge: answer.edgeLabel === frame.label, final: answer.label === frame.label };
      rights.edge.add(frame.photo, isRight.edge);
      rights.hybrid.add(frame.photo, isRight.final);
      if (isCloud) rights.edgeThere.add(frame.photo, isRight.edge);
      if (isCloud) rights.cloud.add(frame.photo, isRight.final);
    }
    settledBy[answer.settledBy] = (settledBy[answer.settledBy] ?? 0) + 1;
    costMicros += Number(answer.costMicros);
    const latency = account.edgeLatencyMs.get(key);
    if (latency !== undefined) edge.push(latency);
    const reason = account.sent.get(key);
    if (reason === undefined) {
      kept.push(appendedAt - frame.capturedAt);
      continue;
    }
    sentFrames++;
    escalated[reason.toLowerCase()] = (escalated[reason.toLowerCase()] ?? 0) + 1;
    if (isCloud) cloudAnswers++;
    if (isCloud && answer.edgeLabel === answer.label) agreed++;
    sent.push(appendedAt - frame.capturedAt);
  }
  return {
    frames: account.shown.size,
    devices,
    lost: lost.length,
    duplicates: account.duplicates,
    contradictions: account.contradictions,
    uncommitted: uncommitted.length,
    unreadable: account.unreadable,
    accuracy: accuracyOf(rights),
    sent: sentFrames,
    sentShare: shareOf(sentFrames, frames),
    escalated,
    settledBy,
    cloudAnswers,
    cloudShareOfSent: sentFrames === 0 ? null : shareOf(cloudAnswers, sentFrames),
    agreementShare: cloudAnswers === 0 ? null : shareOf(agreed, cloudAnswers),
    bytes: { sent: account.bytesSent, ifAllSent: bytesIfAllSent },
    latencyMs: { edge: quantiles(edge), kept: quantiles(kept), sent: quantiles(sent) },
    costPerThousandFrames: frames === 0 ? 0 : Math.round(costMicros / frames) / 1e3,
  };
}

type RightsOf = Readonly<Record<"edge" | "hybrid" | "edgeThere" | "cloud", Rights>>;
function accuracyOf(rights: RightsOf): Report["accuracy"] {
  const [edge, hybrid] = [rights.edge.accuracy, rights.hybrid.accuracy];
  const [edgeThere, cloud] = [rights.edgeThere.accuracy, rights.cloud.accuracy];
  if (edge === null || hybrid === null) return null;
  return { edge, hybrid, onCloudAnswers: edgeThere && cloud && { edge: edgeThere, cloud } };
}

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;
const shareOf = (part: number, whole: number): number => (whole === 0 ? 0 : rounded(part / whole));
