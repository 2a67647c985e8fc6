/**
 * The model that answers frames, and its predecessor.
 *
 * N1. A frame is answered by one slot: its digests, its policy and its labels are that slot's, so they change together and
 *     between two frames.
 * N2. While a model is on trial the committed one stays loaded; a frame that the one on trial fails on is answered by it, once.
 * N3. Non-finite outputs are not an answer: the frame is reported as unreadable, or answered by the committed model (N2).
 * N4. A picture that the model on trial cannot process and the committed one can counts against the trial; one that neither
 *     can process is invalid.
 * N5. A policy belongs to one model: a withdrawal during a trial concerns the model on trial. The committed one keeps its own,
 *     for a revert and for a restart.
 */
import type { RoutingPolicy } from "@tributary/contracts";
import type { InferenceResult, InferenceWant, LoadedModel, ModelPackage } from "@tributary/inference";
import { reasonOf } from "@tributary/kernel";
import type { PolicyKeeper, PolicyOrigin } from "./policy-keeper.ts";
import type { WindowModel } from "./windows.ts";

/** Calls the model; an implementation may reload a lost one. */
export interface Runner {
  infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult>;
  readonly current: LoadedModel | undefined;
  /** A warm one that takes over when the current one ends. */
  readonly spare?: LoadedModel | undefined;
  close(): Promise<void>;
}

export class Slot {
  readonly pkg: ModelPackage;
  readonly policy: PolicyKeeper;
  readonly window: WindowModel;
  runner: Runner;
  /** Null: not tried on this device. */
  goldenPassed: boolean | null;

  constructor(pkg: ModelPackage, policy: PolicyKeeper, runner: Runner, goldenPassed: boolean | null) {
    this.pkg = pkg;
    this.policy = policy;
    this.runner = runner;
    this.goldenPassed = goldenPassed;
    this.window = {
      modelDigest: pkg.digest,
      reference: pkg.referenceSketch,
      latencyBudgetMs: pkg.manifest.latencyBudgetMs,
    };
  }
}

/** A loaded model without reload. */
export const bareRunner = (model: LoadedModel): Runner => {
  let isGone = false;
  void model.exited.then(() => {
    isGone = true;
  });
  return {
    infer: (jpeg, want) => model.infer(jpeg, want),
    get current() {
      return isGone ? undefined : model;
    },
    close: () => model.close(),
  };
};

export type Failing = { readonly code: string; readonly reason: string };
export type Inferred = { readonly slot: Slot; readonly result: InferenceResult };

export class Slots {
  #active: Slot;
  #committed: Slot;
  #failed: Slot | undefined;
  readonly #onFailing: (slot: Slot, failing: Failing) => void;

  constructor(committed: Slot, onFailing: (slot: Slot, failing: Failing) => void) {
    this.#active = committed;
    this.#committed = committed;
    this.#onFailing = onFailing;
  }

  get active(): Slot {
    return this.#active;
  }

  get isOnTrial(): boolean {
    return this.#active !== this.#committed;
  }

  /** Rejects only when everything is closed. */
  async infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<Inferred> {
    const slot = this.#active;
    if (slot === this.#committed) return this.#inferByCommitted(jpeg, want);
    let failing: Failing;
    try {
      const result = numbersOf(await slot.runner.infer(jpeg, want));
      if (result.ok) return { slot, result };
      failing = { code: result.code, reason: result.message };
    } catch (error) {
      failing = { code: "model-crashed", reason: reasonOf(error) };
      this.#fail(slot, failing);
    }
    const inferred = await this.#inferByCommitted(jpeg, want);
    if (inferred.result.ok) this.#fail(slot, failing);
    return inferred;
  }

  async #inferByCommitted(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<Inferred> {
    const slot = this.#committed;
    const { runner } = slot;
    try {
      return { slot, result: numbersOf(await runner.infer(jpeg, want)) };
    } catch (error) {
      // A commit closed it meanwhile: the active one answers.
      if (slot === this.#committed && slot.runner === runner) throw error;
      return this.infer(jpeg, want);
    }
  }

  /** Starts the trial with the next frame. */
  switchTo(slot: Slot): void {
    this.#active = slot;
    void slot.runner.current?.exited.then((code) => {
      this.#fail(slot, { code: "model-crashed", reason: `the model's process ended with ${code}` });
    });
  }

  /** Reported once, and only while it is on trial. */
  #fail(slot: Slot, failing: Failing): void {
    if (slot !== this.#active || slot === this.#committed || slot === this.#failed) return;
    this.#failed = slot;
    this.#onFailing(slot, failing);
  }

  /** The committed model answers again from the next frame on; the other is closed once it has answered its frames. */
  restore(): void {
    const trial = this.#active;
    if (trial === this.#committed) return;
    this.#active = this.#committed;
    void trial.runner.close().catch(() => undefined);
  }

  /** The model on trial becomes the committed one. */
  commit(): void {
    const before = this.#committed;
    if (before === this.#active) return;
    this.#committed = this.#active;
    void before.runner.close().catch(() => undefined);
  }

  /** The policy counts for the model that it names: the active one, or the committed one behind a trial. */
  applyPolicy(bytes: Uint8Array, origin: PolicyOrigin): boolean {
    const waiting = this.#committed;
    if (waiting !== this.#active && waiting.policy.isFor(bytes)) {
      waiting.policy.apply(bytes, origin);
      return false;
    }
    return this.#active.policy.apply(bytes, origin);
  }

  /** N5. The active one has its package's own again. Returns whether anything changed. */
  resetPolicy(): boolean {
    return this.#active.policy.reset();
  }

  /** N5. Of the model that a restart starts with; null: its package's own. */
  get policyToKeep(): Uint8Array | null {
    return this.#committed.policy.fromAbove;
  }

  get policy(): RoutingPolicy {
    return this.#active.policy.policy;
  }

  async close(): Promise<void> {
    await Promise.all([...new Set([this.#active, this.#committed])].map(({ runner }) => runner.close()));
  }
}

const numbersOf = (result: InferenceResult): InferenceResult =>
  !result.ok || areFinite(result.inference.logits)
    ? result
    : { ok: false, code: "model-output-invalid", message: "the model's outputs are not finite numbers" };

/** The sum is finite only if each is, but for an overflow that no softmax would survive either. */
function areFinite(values: Float32Array): boolean {
  let sum = 0;
  for (const value of values) sum += value;
  return Number.isFinite(sum);
}
