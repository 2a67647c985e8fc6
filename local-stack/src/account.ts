/**
 * Compares what the cameras showed with what Kafka holds. Pure.
 *
 * C1. A frame's final answer is its record of the lowest offset; a device's records share a partition, so records are
 *     taken in offset order and the first wins.
 * C2. A later answer of the same frame is a duplicate; one that differs in label or source is a contradiction as well.
 * C3. A killed device never had its last frames in its outbox: frames behind the last answered one of a boot that was
 *     killed are uncommitted, not lost. A gap before it is a loss.
 */
import type { Classifications, EdgeFrame, EdgePredictions, FinalAnswer } from "@tributary/contracts";
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
  readonly #answered = new Map<string, Answered>();
  readonly #edgeLatencyMs = new Map<string, number>();
  readonly #escalations = new Map<string, string>();
  readonly #sent = new Map<string, string>();
  #bytesSent = 0;
  #duplicates = 0;
  #contradictions = 0;
  #predictionsRepeated = 0;
  #unreadable = 0;

  constructor(shown: readonly Shown[]) {
    for (const frame of shown) this.#shown.set(keyOf(frame.deviceId, frame.boot, frame.n), frame);
  }

  classifications({ deviceId, bootId, answers }: Classifications, appendedAt: number): void {
    for (const answer of answers) {
      const key = keyOf(deviceId, bootId, answer.frameSeq);
      const first = this.#answered.get(key)?.answer;
      if (first === undefined) {
        this.#answered.set(key, { answer, appendedAt }); // C1
      } else {
        this.#duplicates++; // C2
        if (first.label !== answer.label || first.source !== answer.source) this.#contradictions++;
      }
    }
  }

  predictions({ deviceId, bootId, predictions }: EdgePredictions, bytes: number): void {
    this.#bytesSent += bytes;
    for (const prediction of predictions) {
      const key = keyOf(deviceId, bootId, prediction.frameSeq);
      if (this.#edgeLatencyMs.has(key)) this.#predictionsRepeated++;
      this.#edgeLatencyMs.set(key, prediction.latencyMs);
      this.#escalations.set(key, prediction.escalation);
    }
  }

  frame({ deviceId, bootId, frameSeq, reason }: EdgeFrame, bytes: number): void {
    this.#bytesSent += bytes;
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
    (isOpen || (killed.has(boot) && isTail) ? uncommitted : lost).push(frame); // C3
  }
  return { lost, uncommitted };
}

export type Quantiles = { readonly n: number; readonly p50: number | null; readonly p99: number | null };

export function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
    return value === undefined ? null : Math.round(value * 10) / 10;
  };
  return { n: sorted.length, p50: at(0.5), p99: at(0.99) };
}

export type Report = {
  readonly frames: number;
  readonly devices: number;
  readonly lost: number;
  readonly duplicates: number;
  /** Duplicates that say something else than the final answer. */
  readonly contradictions: number;
  readonly uncommitted: number;
  /** Records that do not decode: poison that somebody wrote. */
  readonly unreadable: number;
  readonly accuracy: { readonly edge: number; readonly cloud: number | null; readonly hybrid: number };
  /** (hybrid - edge) / (cloud - edge). */
  readonly gapClosed: number | null;
  readonly sent: number;
  readonly sentShare: number;
  readonly escalated: { readonly [reason: string]: number };
  readonly settledBy: { readonly [cause: string]: number };
  /** Of sent frames, those whose final answer is the cloud's. */
  readonly cloudShareOfSent: number | null;
  readonly bytes: { readonly sent: number; readonly ifAllSent: number };
  readonly latencyMs: { readonly edge: Quantiles; readonly kept: Quantiles; readonly sent: Quantiles };
  readonly costPerThousandFrames: number;
};

/** `cloudLabels`: by photo, what the cloud package says offline of the same frames. */
export function reportOf(
  account: Account,
  devices: number,
  cloudLabels: ReadonlyMap<number, string> | undefined,
  excuses: Excuses = {},
): Report {
  const { lost, uncommitted } = lossesOf(account, excuses);
  const right = { edge: 0, cloud: 0, hybrid: 0 };
  const escalated: { [reason: string]: number } = { ambiguous: 0, priority: 0, sample: 0 };
  const settledBy: { [cause: string]: number } = {};
  const kept: number[] = [];
  const sent: number[] = [];
  const edge: number[] = [];
  let [frames, sentFrames, cloudAnswers, costMicros, bytesIfAllSent] = [0, 0, 0, 0, 0];
  for (const [key, frame] of account.shown) {
    bytesIfAllSent += frame.bytes;
    const answered = account.answered.get(key);
    if (answered === undefined) continue;
    const { answer, appendedAt } = answered;
    frames++;
    if (answer.edgeLabel === frame.label) right.edge++;
    if (answer.label === frame.label) right.hybrid++;
    if (cloudLabels?.get(frame.photo) === frame.label) right.cloud++;
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
    if (answer.source === "CLOUD") cloudAnswers++;
    sent.push(appendedAt - frame.capturedAt);
  }
  const share = (part: number, whole: number) => (whole === 0 ? 0 : Math.round((part / whole) * 1e4) / 1e4);
  const accuracy = {
    edge: share(right.edge, frames),
    cloud: cloudLabels === undefined ? null : share(right.cloud, frames),
    hybrid: share(right.hybrid, frames),
  };
  const gap = accuracy.cloud === null ? 0 : accuracy.cloud - accuracy.edge;
  return {
    frames: account.shown.size,
    devices,
    lost: lost.length,
    duplicates: account.duplicates,
    contradictions: account.contradictions,
    uncommitted: uncommitted.length,
    unreadable: account.unreadable,
    accuracy,
    gapClosed: gap > 0 ? Math.round(((accuracy.hybrid - accuracy.edge) / gap) * 1e3) / 1e3 : null,
    sent: sentFrames,
    sentShare: share(sentFrames, frames),
    escalated,
    settledBy,
    cloudShareOfSent: sentFrames === 0 ? null : share(cloudAnswers, sentFrames),
    bytes: { sent: account.bytesSent, ifAllSent: bytesIfAllSent },
    latencyMs: { edge: quantiles(edge), kept: quantiles(kept), sent: quantiles(sent) },
    costPerThousandFrames: frames === 0 ? 0 : Math.round(costMicros / frames) / 1e3,
  };
}
