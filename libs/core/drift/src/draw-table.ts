/**
 * Frames of one device that the random sample drew, and what their labels say of the model's answers. Kept as the bytes that
 * are stored, since there may be 100,000 devices.
 *
 * T1. The order in which labels and predictions arrive does not matter: a label waits for its frame.
 * T2. All draws are of one model: those of an earlier one go when another answers.
 * T3. Bounded: the newest frames without a label, the newest with one, the newest labels that wait.
 * T4. Of several labels of a frame the newest holds, also if it cannot be judged; one without a class takes its frame out. */
import type { EdgePredictions, GroundTruth } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { LabelledDraw } from "./findings.ts";
import type { LabelOutcome } from "./outcomes.ts";
import { invalid, type StateReader, type StateWriter } from "./state-bytes.ts";

const UNLABELLED_MAX = 256;
const LABELLED_MAX = 256;
const WAITING_MAX = 256;
/** Boots, and cameras; a device that has more starts again. */
const NAMES_MAX = 255;
const SEQ_MAX = 0xffff_ffff;
const CLASS_MAX = 0xffff;

// A row: received at (f64), number of the frame (u32), propensity (f32), class (u16), true class (u16), boot (u8), camera (u8), judgement
// (u8), nothing.
const ROW = 24;
const [AT, SEQ, PROPENSITY, CLASS, TRUE_CLASS, BOOT, CAMERA, JUDGEMENT] = [0, 8, 12, 16, 18, 20, 21, 22];
const [UNLABELLED, RIGHT, WRONG] = [0, 1, 2];

type Frame = { readonly bootId: bigint; readonly cameraId: string; readonly frameSeq: bigint };
/** Index by label. */
type Classes = ReadonlyMap<string, number>;
type WaitingLabel = Frame & { readonly label: string };

export class DrawTable {
  #modelDigest = "";
  #boots: bigint[] = [];
  #cameras: string[] = [];
  #bytes = new Uint8Array(0);
  #rows = 0;
  #waiting: WaitingLabel[] = [];

  /** Package that answered the frames, hex; empty before the first. */
  get modelDigest(): string {
    return this.#modelDigest;
  }

  /** Frames that were added: those that the device's own model answered. */
  predictions(batch: EdgePredictions, receivedAt: Instant, classes: Classes): number {
    const own = batch.predictions.filter(({ level }) => level === "FULL");
    if (own.length === 0) return 0; // LITE's, which are of another package, would restart the table.
    if (batch.modelDigest !== this.#modelDigest) this.#restart(batch.modelDigest); // T2
    let added = 0;
    for (const { cameraId, frameSeq, label, samplePropensity, sampleDrawn } of own) {
      if (!sampleDrawn || !(samplePropensity > 0 && samplePropensity <= 1) || frameSeq > SEQ_MAX) continue;
      const answer = classes.get(label);
      if (answer === undefined || answer > CLASS_MAX) continue;
      const frame = { bootId: batch.bootId, cameraId, frameSeq };
      this.#add(frame, receivedAt, samplePropensity, answer);
      added++;
      const waiting = this.#waiting.findIndex((other) => isSame(other, frame));
      if (waiting < 0) continue;
      const [truth] = this.#waiting.splice(waiting, 1);
      this.#judge(this.#rows - 1, truth?.label ?? "", classes); // T1
    }
    this.#trim();
    return added;
  }

  groundTruth(truth: GroundTruth, classes: Classes | undefined): LabelOutcome {
    this.#waiting = this.#waiting.filter((other) => !isSame(other, truth));
    const row = this.#rowOf(truth);
    if (row >= 0) this.#bytes[row * ROW + JUDGEMENT] = UNLABELLED; // T4
    if (truth.label === null) return "without-class";
    if (row < 0) {
      this.#waiting.push({ ...truth, label: truth.label });
      if (this.#waiting.length > WAITING_MAX) this.#waiting.shift();
      return "frame-unknown";
    }
    if (classes === undefined) return "package-unknown";
    const outcome = this.#judge(row, truth.label, classes);
    this.#trim();
    return outcome;
  }

  /** Oldest first. */
  labelled(): readonly LabelledDraw[] {
    const view = this.#view();
    const draws: LabelledDraw[] = [];
    for (let row = 0; row < this.#rows; row++) {
      const judgement = view.getUint8(row * ROW + JUDGEMENT);
      if (judgement === UNLABELLED) continue;
      draws.push({
        cameraId: this.#cameras[view.getUint8(row * ROW + CAMERA)] as string,
        at: view.getFloat64(row * ROW + AT, true),
        propensity: view.getFloat32(row * ROW + PROPENSITY, true),
        truth: view.getUint16(row * ROW + TRUE_CLASS, true),
        loss: judgement === WRONG,
      });
    }
    return draws;
  }

  write(to: StateWriter): void {
    to.text(this.#modelDigest);
    to.u8(this.#boots.length);
    for (const boot of this.#boots) to.i64(boot);
    to.u8(this.#cameras.length);
    for (const camera of this.#cameras) to.text(camera);
    to.u16(this.#rows);
    to.bytes(this.#bytes.subarray(0, this.#rows * ROW));
    to.u16(this.#waiting.length);
    for (const { bootId, cameraId, frameSeq, label } of this.#waiting) {
      to.i64(bootId);
      to.text(cameraId);
      to.i64(frameSeq);
      to.text(label);
    }
  }

  static read(from: StateReader): DrawTable {
    const table = new DrawTable();
    table.#modelDigest = from.text(64);
    table.#boots = Array.from({ length: from.u8(NAMES_MAX) }, () => from.i64());
    table.#cameras = Array.from({ length: from.u8(NAMES_MAX) }, () => from.text(64));
    table.#rows = from.u16(UNLABELLED_MAX + LABELLED_MAX);
    table.#bytes = from.bytes(table.#rows * ROW);
    table.#waiting = Array.from({ length: from.u16(WAITING_MAX) }, () => ({
      bootId: from.i64(),
      cameraId: from.text(64),
      frameSeq: from.i64(),
      label: from.text(1_024),
    }));
    table.#check();
    return table;
  }

  #check(): void {
    const view = this.#view();
    for (let row = 0; row < this.#rows; row++) {
      const at = row * ROW;
      const propensity = view.getFloat32(at + PROPENSITY, true);
      const isGood =
        Number.isFinite(view.getFloat64(at + AT, true)) &&
        propensity > 0 &&
        propensity <= 1 &&
        view.getUint8(at + BOOT) < this.#boots.length &&
        view.getUint8(at + CAMERA) < this.#cameras.length &&
        view.getUint8(at + JUDGEMENT) <= WRONG;
      if (!isGood) throw invalid(`its draw ${row} is no draw`);
    }
  }

  #restart(modelDigest: string): void {
    this.#modelDigest = modelDigest;
    this.#boots = [];
    this.#cameras = [];
    this.#bytes = new Uint8Array(0);
    this.#rows = 0;
  }

  #add(frame: Frame, at: Instant, propensity: number, answer: number): void {
    const isFull = this.#boots.length === NAMES_MAX || this.#cameras.length === NAMES_MAX;
    if (isFull) this.#restart(this.#modelDigest);
    const boot = indexIn(this.#boots, frame.bootId);
    const camera = indexIn(this.#cameras, frame.cameraId);
    const start = this.#rows * ROW;
    if (start + ROW > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(8 * ROW, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#rows++;
    const view = this.#view();
    view.setFloat64(start + AT, at, true);
    view.setUint32(start + SEQ, Number(frame.frameSeq), true);
    view.setFloat32(start + PROPENSITY, propensity, true);
    view.setUint16(start + CLASS, answer, true);
    view.setUint16(start + TRUE_CLASS, 0, true);
    view.setUint8(start + BOOT, boot);
    view.setUint8(start + CAMERA, camera);
    view.setUint16(start + JUDGEMENT, UNLABELLED, true);
  }

  #judge(row: number, truth: string, classes: Classes): LabelOutcome {
    const view = this.#view();
    const shown = classes.get(truth);
    if (shown === undefined || shown > CLASS_MAX) {
      view.setUint8(row * ROW + JUDGEMENT, UNLABELLED);
      return "class-unknown";
    }
    const isRight = view.getUint16(row * ROW + CLASS, true) === shown;
    view.setUint16(row * ROW + TRUE_CLASS, shown, true);
    view.setUint8(row * ROW + JUDGEMENT, isRight ? RIGHT : WRONG);
    return "used";
  }

  #rowOf({ bootId, cameraId, frameSeq }: Frame): number {
    const [boot, camera] = [this.#boots.indexOf(bootId), this.#cameras.indexOf(cameraId)];
    if (boot < 0 || camera < 0) return -1;
    const view = this.#view();
    for (let row = this.#rows - 1; row >= 0; row--) {
      const at = row * ROW;
      const isIt = view.getUint32(at + SEQ, true) === Number(frameSeq) && view.getUint8(at + BOOT) === boot;
      if (isIt && view.getUint8(at + CAMERA) === camera) return row;
    }
    return -1;
  }

  /** T3 */
  #trim(): void {
    const view = this.#view();
    const [kept, left] = [[] as number[], [UNLABELLED_MAX, LABELLED_MAX]];
    for (let row = this.#rows - 1; row >= 0; row--) {
      const kind = view.getUint8(row * ROW + JUDGEMENT) === UNLABELLED ? 0 : 1;
      left[kind] = (left[kind] as number) - 1;
      if ((left[kind] as number) >= 0) kept.push(row);
    }
    if (kept.length < this.#rows) this.#keep(kept.reverse());
  }

  #keep(rows: readonly number[]): void {
    for (const [i, row] of rows.entries()) this.#bytes.copyWithin(i * ROW, row * ROW, (row + 1) * ROW);
    this.#rows = rows.length;
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
  }
}

const isSame = (a: Frame, b: Frame): boolean =>
  a.frameSeq === b.frameSeq && a.bootId === b.bootId && a.cameraId === b.cameraId;

function indexIn<T>(names: T[], name: T): number {
  const index = names.indexOf(name);
  return index >= 0 ? index : names.push(name) - 1;
}
