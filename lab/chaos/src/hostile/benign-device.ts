/**
 * A device that behaves, and is measured: the time until each PUBACK, the source of each answer, and which frames were acknowledged.
 *
 * It remembers every frame that any acknowledged record speaks of: each of them must get an answer, however late (G1).
 */
import { Classifications, mqttTopics } from "@tributary/contracts";
import { formatFrameId } from "@tributary/kernel";
import { somePrediction } from "@tributary/testing";
import type { Talker } from "../talker.ts";

export type Measured = {
  asked: number;
  cloud: number;
  /** Why each answer that was not the cloud's was not. */
  edge: string[];
  pubackMs: number[];
};

/** What it shows. */
export type Shown = {
  /** Frames that it keeps, in each second. */
  readonly keptPerSecond: number;
  /** Seconds from one frame that it sends to the next, 1 or more. */
  readonly sentEvery: number;
  /** Hardware that is degraded sends FALLBACK. */
  readonly reason: "AMBIGUOUS" | "FALLBACK";
  /** Of the frames that it sends, one in so many has another label than the cloud's; all have the same by default. */
  readonly disagreesEvery?: number;
};

export type Answered = { readonly frameId: string; readonly isDisagreed: boolean };

const CAMERA = "cam";
const DEADLINE_MS = 5_000;
const [USUAL_LABEL, OTHER_LABELS] = ["cat", ["truck", "frog"]] as const;

export class BenignDevice {
  readonly shown: Shown;
  readonly #talker: Talker;
  readonly #sent = new Set<bigint>();
  readonly #seconds: { count: number };
  /** Sent frames and their answers, oldest first. */
  readonly answered: Answered[] = [];
  readonly acknowledged = new Set<string>();
  measured: Measured = nothing();
  #sentCount = 0;
  #unacknowledged = 0;
  #cloudLabel: string | undefined;

  /** `first`: of the devices, so that they do not all send in the same seconds. */
  constructor(talker: Talker, shown: Shown, first = 0) {
    this.#talker = talker;
    this.shown = shown;
    this.#seconds = { count: first };
  }

  get deviceId(): string {
    return this.#talker.deviceId;
  }

  /** Records that were published and are not acknowledged yet. */
  get unacknowledged(): number {
    return this.#unacknowledged;
  }

  async subscribe(): Promise<void> {
    const { client, deviceId, bootId } = this.#talker;
    client.on("message", (_topic, payload) => {
      const record = Classifications.decodeSingleObject(payload);
      if (record.bootId !== bootId) return;
      for (const { frameSeq, source, settledBy, cloudLabel, edgeLabel } of record.answers) {
        if (cloudLabel !== null) this.#cloudLabel = cloudLabel;
        const isDisagreed = cloudLabel !== null && cloudLabel !== edgeLabel;
        this.answered.push({ frameId: this.#idOf(frameSeq), isDisagreed });
        if (!this.#sent.delete(frameSeq)) continue;
        if (source === "CLOUD") this.measured.cloud++;
        else this.measured.edge.push(settledBy);
      }
    });
    await client.subscribeAsync(mqttTopics().results(deviceId), { qos: 1 });
  }

  reset(): void {
    this.#sent.clear();
    this.measured = nothing();
  }

  /** The frames of one second. */
  async second(): Promise<void> {
    const talker = this.#talker;
    const kept = Array.from({ length: this.shown.keptPerSecond }, () =>
      somePrediction({ frameSeq: talker.nextFrame(), ageMs: 0 }),
    );
    const names = kept.map(({ frameSeq }) => this.#idOf(frameSeq));
    const isSending = this.#seconds.count++ % this.shown.sentEvery === 0;
    if (!isSending) {
      if (kept.length > 0) await this.#stored(talker.batch(kept), names);
      return;
    }
    const frameSeq = talker.nextFrame();
    this.#sent.add(frameSeq);
    this.measured.asked++;
    const { reason } = this.shown;
    const seen = { frameSeq, label: this.#nextLabel(), reason, score: 0.3, deadlineMs: DEADLINE_MS, ageMs: 0 } as const;
    const predictions = [somePrediction({ ...seen, escalation: "QUEUED" }), ...kept];
    await Promise.all([
      this.#stored(talker.frame(seen), [this.#idOf(frameSeq)]),
      this.#stored(talker.batch(predictions), [this.#idOf(frameSeq), ...names]),
    ]);
  }

  async #stored(publishing: Promise<number>, frameIds: readonly string[]): Promise<void> {
    const { measured } = this;
    this.#unacknowledged++;
    await publishing.then(
      (ms) => {
        measured.pubackMs.push(ms);
        for (const frameId of frameIds) this.acknowledged.add(frameId);
        this.#unacknowledged--;
      },
      () => {}, // It stays unacknowledged.
    );
  }

  #nextLabel(): string {
    const { disagreesEvery } = this.shown;
    if (disagreesEvery === undefined || this.#cloudLabel === undefined) return USUAL_LABEL;
    const isOther = this.#sentCount++ % disagreesEvery === 0;
    return isOther ? (OTHER_LABELS.find((label) => label !== this.#cloudLabel) ?? USUAL_LABEL) : this.#cloudLabel;
  }

  #idOf(frameSeq: bigint): string {
    const { deviceId, bootId } = this.#talker;
    return formatFrameId({ deviceId, bootId, cameraId: CAMERA, frameSeq });
  }
}

const nothing = (): Measured => ({ asked: 0, cloud: 0, edge: [], pubackMs: [] });
