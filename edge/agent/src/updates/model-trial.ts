/** A model of slot `perception` on its way to answering frames: proved in a process of its own, run in shadow, on probation, kept. */
import type { Inference } from "@tributary/inference";
import type { Clock } from "@tributary/kernel";
import type { Wanted } from "@tributary/updates";
import type { LocalAnswer } from "../pipeline.ts";
import type { Runner, Slot, Slots } from "../slots.ts";
import type { Candidate } from "./prove.ts";
import { Shadow, type Shadowed } from "./shadow.ts";
import type { Trial } from "./updater.ts";

export type ModelTrialPorts = {
  readonly slots: Slots;
  readonly prove: (wanted: Wanted, anySpeed: boolean, signal: AbortSignal) => Promise<Candidate>;
  /** Takes a loaded model over, to load it again when it is lost. */
  readonly keep: (slot: Slot, candidate: Candidate) => Runner;
  readonly isBusy: () => boolean;
  readonly onShadowed: (slot: Slot, shadowed: Shadowed) => void;
  readonly clock: Clock;
};

export class ModelTrial implements Trial<Candidate> {
  readonly #ports: ModelTrialPorts;
  #kept: Candidate | undefined;
  #shadow: Shadow | undefined;

  constructor(ports: ModelTrialPorts) {
    this.#ports = ports;
  }

  prove(wanted: Wanted, anySpeed: boolean, signal: AbortSignal): Promise<Candidate> {
    return this.#ports.prove(wanted, anySpeed, signal);
  }

  isGone({ slot }: Candidate): boolean {
    return slot.runner.current === undefined;
  }

  async shadow(candidate: Candidate, frames: number, signal: AbortSignal): Promise<void> {
    const { isBusy, onShadowed, clock } = this.#ports;
    this.#shadow = new Shadow(candidate.model, frames, {
      isBusy,
      clock,
      onShadowed: (shadowed) => onShadowed(candidate.slot, shadowed),
    });
    try {
      await this.#shadow.run(signal);
    } finally {
      this.#shadow = undefined;
    }
  }

  switchTo({ slot }: Candidate): void {
    this.#ports.slots.switchTo(slot);
  }

  restore(): void {
    this.#ports.slots.restore();
  }

  keep(candidate: Candidate): void {
    if (candidate === this.#kept) return; // A commit may be tried again.
    candidate.slot.runner = this.#ports.keep(candidate.slot, candidate);
    this.#kept = candidate;
  }

  commit(): void {
    this.#ports.slots.commit();
  }

  drop({ model }: Candidate): Promise<void> {
    return model.close();
  }

  /** Called after a frame's answer is published. Whether the model on trial was too slow for it; null: it was not on trial. Returns at
   * once without an update. */
  answered(
    onTrial: Candidate | undefined,
    slot: Slot,
    answer: LocalAnswer,
    { timingsMs }: Inference,
    jpeg: Uint8Array,
  ): boolean | null {
    this.#shadow?.offer(jpeg, answer.label);
    if (onTrial?.slot !== slot) return null;
    return timingsMs.preprocess + timingsMs.run > slot.pkg.manifest.latencyBudgetMs;
  }
}
