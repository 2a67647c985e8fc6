/**
 * Runs the active package's golden frames through the path that camera frames take, with the same slot and the same process: at
 * boot, once a day, after each switch, and when somebody asks for it.
 *
 * What it finds stops no frame and reverts nothing: it is reported, with the logits by which drift-monitor names the fault.
 *
 * C1. Camera frames come first. One golden frame runs at a time, between two of them and while none waits; a device that is
 *     always busy runs one in `GAP_MS_MAX`. So a camera frame waits for one golden frame at most, and its time is its own.
 * C2. A check is of one slot. When another becomes active it is aborted, and the other's starts.
 */
import type { DeviceReported } from "@tributary/contracts";
import { type GoldenFrame, goldenReportFrames, type InferenceResult } from "@tributary/inference";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import { judgeGoldenFrame, type ReadPackageFile } from "@tributary/onnx";
import type { Slot } from "./slots.ts";

const GAP_MS_MAX = 250;
/** After a check that could not be finished. */
const RETRY_MS = 600_000;

export type GoldenReport = NonNullable<DeviceReported["golden"]>;
type CheckedBecause = "boot" | "schedule" | "switch" | "command";
/** `reason`: of the first frame that failed; null: none did. */
export type GoldenChecked = GoldenReport & { readonly because: CheckedBecause; readonly reason: string | null };

export type GoldenCheckPorts = {
  /** The active one. */
  readonly slot: () => Slot;
  readonly read: ReadPackageFile;
  /** A camera frame waits. */
  readonly isBusy: () => boolean;
  readonly clock: Clock;
  readonly onChecked: (checked: GoldenChecked) => void;
  /** A package file could not be read, or the model's process ended. */
  readonly onUntried: (untried: { readonly code: string; readonly reason: string }) => void;
};

export class GoldenCheck {
  readonly #ports: GoldenCheckPorts;
  readonly #everyMs: number;
  /** Undefined before the start and after the stop. */
  #slot: Slot | undefined;
  #last: GoldenReport | null = null;
  #requestedAt: number | undefined;
  #running = new AbortController();
  /** The golden frame in progress. */
  #current: Promise<unknown> | undefined;
  /** Starts the next golden frame. */
  #next: (() => void) | undefined;
  #isOverdue = false;
  #isAnswering = false;

  constructor(everyMs: number, ports: GoldenCheckPorts) {
    this.#everyMs = everyMs;
    this.#ports = ports;
  }

  /** Of the active model; null: not checked yet. */
  get last(): GoldenReport | null {
    return this.#last?.modelDigest === this.#ports.slot().pkg.digest ? this.#last : null;
  }

  start(): void {
    this.#begin("boot");
  }

  stop(): void {
    this.#slot = undefined;
    this.#running.abort(new Failure("stopping", "retry", "the agent stops"));
  }

  /** Another slot may have become active. */
  slotChanged(): void {
    if (this.#slot !== undefined && this.#slot !== this.#ports.slot()) this.#begin("switch");
  }

  /** A request is known by its time: the retained one comes again with every connection. */
  requested(at: number): void {
    if (at === this.#requestedAt) return;
    this.#requestedAt = at;
    if (this.#slot !== undefined) this.#begin("command");
  }

  /** Answers a camera frame, after the golden frame in progress (C1); one with a deadline does not wait for that: where the model is still
   * busy with it, another level answers. */
  async cameraFrame<T>(answer: () => Promise<T>, hasDeadline = false): Promise<T> {
    if (this.#current !== undefined && !hasDeadline) await this.#current;
    this.#isAnswering = true;
    try {
      return await answer();
    } finally {
      this.#isAnswering = false;
      if (this.#isOverdue || !this.#ports.isBusy()) this.#next?.();
    }
  }

  #begin(because: CheckedBecause): void {
    this.#running.abort(new Failure("superseded", "retry", "another check starts"));
    this.#running = new AbortController();
    this.#slot = this.#ports.slot();
    void this.#checkAndWait(this.#slot, because, this.#running.signal);
  }

  async #checkAndWait(slot: Slot, because: CheckedBecause, signal: AbortSignal): Promise<void> {
    const { clock, onChecked, onUntried } = this.#ports;
    let waitMs = this.#everyMs;
    try {
      const { report, reason } = await this.#check(slot, signal);
      this.#last = report;
      onChecked({ ...report, because, reason });
    } catch (error) {
      if (signal.aborted) return;
      onUntried({ code: error instanceof Failure ? error.code : "golden-untried", reason: reasonOf(error) });
      waitMs = RETRY_MS;
    }
    await clock.sleep(waitMs, signal).then(
      () => this.#begin("schedule"),
      () => undefined,
    );
  }

  async #check(slot: Slot, signal: AbortSignal) {
    const { read, clock } = this.#ports;
    const { pkg } = slot;
    const { frames } = pkg.golden;
    const reported = goldenReportFrames(pkg.labels.length, frames.length);
    const logits: number[] = [];
    let [failed, isComplete]: [number, boolean] = [0, true];
    let reason: string | null = null;
    for (const [i, golden] of frames.entries()) {
      const { result, verdict } = await this.#frame(slot, golden, await read(pkg, golden.jpeg), signal);
      if (verdict.kind === "failed") {
        failed += 1;
        reason ??= `${golden.jpeg}: ${verdict.reason}`;
      }
      if (i >= reported) continue;
      const values = result.ok ? Array.from(result.inference.logits, asFloat) : [];
      isComplete &&= result.ok && values.every(Number.isFinite);
      logits.push(...values);
    }
    const { length } = frames;
    const report: GoldenReport = {
      at: clock.now(),
      modelDigest: pkg.digest,
      frames: length,
      failed,
      logits: isComplete ? logits : [],
    };
    return { report, reason };
  }

  async #frame(slot: Slot, golden: GoldenFrame, jpeg: Uint8Array, signal: AbortSignal) {
    const want = { tensorDigest: true, pixels: true };
    const result = await this.#inGap(() => slot.runner.infer(jpeg, want), signal);
    const expected = await this.#ports.read(slot.pkg, golden.pixels);
    signal.throwIfAborted();
    return { result, verdict: judgeGoldenFrame(golden, expected, result) };
  }

  /** C1. Starts `infer` within the call that ends a camera frame, so that the next one finds it in progress. */
  #inGap(infer: () => Promise<InferenceResult>, signal: AbortSignal): Promise<InferenceResult> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<InferenceResult>();
    const started = new AbortController();
    const start = () => {
      this.#next = undefined;
      started.abort();
      const over = () => {
        if (this.#current === current) this.#current = undefined;
      };
      const current = promise.then(over, over);
      this.#current = current;
      infer().then(resolve, reject);
    };
    const abort = () => {
      if (this.#next === start) this.#next = undefined;
      reject(signal.reason);
    };
    this.#isOverdue = false;
    this.#next = start;
    signal.addEventListener("abort", abort, { once: true });
    this.#ports.clock.sleep(GAP_MS_MAX, AbortSignal.any([signal, started.signal])).then(
      () => {
        if (this.#isAnswering) this.#isOverdue = true;
        else if (this.#next === start) start();
      },
      () => undefined,
    );
    return promise.finally(() => signal.removeEventListener("abort", abort));
  }
}

/** As many digits as float32 has: a report is text in the outbox. */
const asFloat = (value: number): number => Number(value.toPrecision(7));
