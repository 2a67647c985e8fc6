/**
 * Follows the device's desired state: runs the next action of the state machine (@tributary/updates) and reports its result
 * to it.
 *
 * The durable state is on disk before the action that it allows (machine.ts U6). Packages that it does not name any more are
 * deleted before anything is fetched: the desired one may need their space (G9).
 *
 * A revert happens before any wait: from the next frame on the committed model answers.
 */

import type { Inference } from "@tributary/inference";
import type { Clock } from "@tributary/kernel";
import { Failure, type Random } from "@tributary/kernel";
import {
  type Action,
  type ActionKind,
  type Boot,
  bootUpdates,
  type Conditions,
  type Desired,
  type Done,
  type Input,
  type Progress,
  type Step,
  step,
  stopped,
  type UpdateStatus,
  type Updates,
  updateStatusOf,
  type Wanted,
} from "@tributary/updates";
import type { LocalAnswer } from "../pipeline.ts";
import type { Runner, Slot, Slots } from "../slots.ts";
import { parseDesired } from "./desired.ts";
import { doneOf } from "./done.ts";
import type { Candidate } from "./prove.ts";
import { Shadow, type Shadowed } from "./shadow.ts";
import type { UpdateStore } from "./store.ts";

export type UpdaterPorts = {
  readonly deviceId: string;
  readonly packageStore: Pick<UpdateStore["packageStore"], "write" | "prune">;
  readonly slots: Slots;
  readonly fetch: UpdateStore["fetch"];
  /** `anySpeed`: however slow it is. */
  readonly prove: (wanted: Wanted, anySpeed: boolean, signal: AbortSignal) => Promise<Candidate>;
  /** Takes a loaded model over, to load it again when it is lost. */
  readonly keep: (slot: Slot, candidate: Candidate) => Runner;
  readonly isBusy: () => boolean;
  readonly onChanged: () => void;
  readonly onShadowed: (slot: Slot, shadowed: Shadowed) => void;
  readonly onMoved: (status: UpdateStatus) => void;
  readonly clock: Clock;
  readonly random: Random;
};

const NOTHING: Progress = { phase: "WAITING", bytesDone: 0, bytesAll: 0 };

/** What `reported.update` holds. */
export type UpdateNow = UpdateStatus & { readonly bytesDone: number; readonly bytesAll: number };

export class Updater {
  readonly #ports: UpdaterPorts;
  #state: Updates;
  #first: Step | undefined;
  #progress: Progress = NOTHING;
  #written = "";
  #acting: { readonly abort: AbortController; readonly over: Promise<void> } | undefined;
  #candidate: Candidate | undefined;
  #onTrial: Candidate | undefined;
  /** The model on trial that is reloaded after a loss. */
  #kept: Candidate | undefined;
  #shadow: Shadow | undefined;
  /** A failure of the model on trial that came while the state machine ran another action. */
  #failing: { readonly code: string; readonly reason: string } | undefined;
  #reportedPhase = "";
  #isStopped = false;
  #hasStarted = false;
  /** The newest that came before the first step was taken. */
  #early: Desired | undefined;

  constructor(boot: Boot, ports: UpdaterPorts) {
    this.#ports = ports;
    this.#first = bootUpdates(boot);
    this.#state = this.#first.state;
  }

  start(): void {
    const first = this.#first;
    this.#first = undefined;
    // Deletes what an earlier process left unfinished, except the parts that this one continues.
    void this.#prune().then(() => {
      if (first === undefined || this.#isStopped) return;
      const { conditions } = this.#state; // Reported meanwhile.
      this.#take({ ...first, state: { ...first.state, conditions } });
      this.#hasStarted = true;
      if (this.#early !== undefined) this.#send({ kind: "desired", desired: this.#early });
      this.#early = undefined;
    });
  }

  get generation(): bigint {
    return this.#state.durable.generation;
  }

  get durable() {
    return this.#state.durable;
  }

  get conditions(): Conditions {
    return this.#state.conditions;
  }

  /** Null: nothing was wanted so far. */
  get now(): UpdateNow | null {
    const status = updateStatusOf(this.#state, this.#progress.phase);
    if (status === null) return null;
    const { bytesDone, bytesAll } = this.#progress;
    return { ...status, bytesDone, bytesAll };
  }

  /** Throws Failure or ContractError for what cannot be used, and for a generation older than the last one. */
  desired(payload: Uint8Array): void {
    const desired = parseDesired(payload, this.#ports.deviceId);
    if (desired.generation < this.generation) {
      const what = `generation ${desired.generation} is older than ${this.generation}, which was here`;
      throw new Failure("desired-older", "give-up", what);
    }
    if (this.#hasStarted) this.#send({ kind: "desired", desired });
    else if (desired.generation > (this.#early?.generation ?? 0n)) this.#early = desired;
  }

  report(met: Partial<Conditions>): void {
    this.#send({ kind: "conditions", met: { ...this.#state.conditions, ...met } });
  }

  /** Called after a frame's answer is published. Returns at once without an update. */
  answered(slot: Slot, answer: LocalAnswer, inference: Inference, jpeg: Uint8Array): void {
    if (this.#shadow !== undefined) this.#shadow.offer(jpeg, answer.label);
    else if (this.#onTrial?.slot === slot && this.#state.stage.kind === "probation") {
      const ms = inference.timingsMs.preprocess + inference.timingsMs.run;
      this.#send({ kind: "answered", isSlow: ms > slot.pkg.manifest.latencyBudgetMs });
    }
  }

  failing(failing: { readonly code: string; readonly reason: string }): void {
    if (this.#state.stage.kind === "probation") this.#send({ kind: "failing", ...failing });
    else this.#failing = failing;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#acting?.abort.abort(new Failure("stopping", "retry", "the agent stops"));
    await this.#acting?.over;
    const durable = stopped(this.#state);
    // Unwritten, this stop counts as one try more.
    if (durable !== null) await this.#ports.packageStore.write(durable).catch(() => undefined);
    await this.#candidate?.model.close();
  }

  #send(input: Input): void {
    if (this.#isStopped) return;
    this.#take(step(this.#state, input, this.#ports.random));
    const failing = this.#failing;
    if (failing !== undefined && this.#state.stage.kind === "probation") {
      this.#failing = undefined;
      this.#send({ kind: "failing", ...failing });
    }
  }

  #take({ state, next, callOff }: Step): void {
    const before = this.#state;
    this.#state = state;
    if (state.durable.generation !== before.durable.generation) this.#progress = NOTHING;
    if (callOff) this.#acting?.abort.abort(new Failure("superseded", "retry", "something newer is wanted"));
    if (next !== null) this.#start(next);
    if (next !== null || state.stage.kind !== before.stage.kind || state.durable !== before.durable) this.#changed();
  }

  #changed(): void {
    this.#ports.onChanged();
    const status = updateStatusOf(this.#state, this.#progress.phase);
    const phase = `${status?.generation} ${status?.phase} ${status?.code}`;
    if (status === null || phase === this.#reportedPhase) return;
    this.#reportedPhase = phase;
    this.#ports.onMoved(status);
  }

  #start(action: Action): void {
    if (action.kind === "restore") this.#revert();
    const abort = new AbortController();
    const over = this.#act(action, abort.signal)
      .catch((error: unknown) => doneOf(error, "update-failed"))
      .then((done) => {
        this.#acting = undefined;
        if (!this.#isStopped) this.#send({ kind: "done", done });
      });
    this.#acting = { abort, over };
  }

  #revert(): void {
    this.#ports.slots.restore();
    this.#onTrial = undefined;
    this.#failing = undefined;
  }

  async #act(action: Action, signal: AbortSignal): Promise<Done> {
    if (action.kind === "commit") this.#keepTrial();
    await this.#write(action);
    switch (action.kind) {
      case "wait":
        await this.#ports.clock.sleep(action.ms, signal);
        return { ok: true };
      case "fetch":
        await this.#prune();
        return this.#fetch(action.wanted, signal);
      case "prove":
        this.#candidate = await this.#ports.prove(action.wanted, action.wasActive, signal);
        return { ok: true };
      case "shadow":
        return this.#shadowOf(action.frames, signal);
      case "unload":
        await this.#drop();
        return { ok: true };
      case "switch":
        return this.#switch();
      case "commit":
        this.#ports.slots.commit();
        this.#onTrial = undefined;
        await this.#prune();
        return { ok: true };
      case "save":
        if (action.durable.outcome !== null) await this.#prune();
        return { ok: true };
      case "restore":
        return { ok: true };
      default:
        return action satisfies never;
    }
  }

  async #fetch(wanted: Wanted, signal: AbortSignal): Promise<Done> {
    const { fetch } = this.#ports;
    if (fetch === null) {
      const reason = "the agent's configuration names no registry (models.registry, models.root)";
      return { ok: false, code: "models-no-registry", reason, retry: "never" };
    }
    const onProgress = (progress: Progress) => {
      this.#progress = progress;
      if (!signal.aborted) this.#changed();
    };
    return fetch(wanted, onProgress, signal);
  }

  async #shadowOf(frames: number, signal: AbortSignal): Promise<Done> {
    const candidate = this.#candidate;
    if (candidate === undefined) return { ok: false, code: "model-crashed", reason: "it is gone", retry: "never" };
    const { isBusy, onShadowed, clock } = this.#ports;
    this.#shadow = new Shadow(candidate.model, frames, {
      isBusy,
      clock,
      onShadowed: (shadowed) => onShadowed(candidate.slot, shadowed),
    });
    try {
      await this.#shadow.run(signal);
      return { ok: true };
    } catch (error) {
      await this.#drop();
      throw error;
    } finally {
      this.#shadow = undefined;
    }
  }

  #switch(): Done {
    const candidate = this.#candidate;
    this.#candidate = undefined;
    if (candidate?.slot.runner.current === undefined) {
      return {
        ok: false,
        code: "model-crashed",
        reason: "its process ended before it was switched to",
        retry: "never",
      };
    }
    this.#onTrial = candidate;
    this.#failing = undefined;
    this.#ports.slots.switchTo(candidate.slot);
    return { ok: true };
  }

  /** From here on it is reloaded after a loss, like any model. */
  #keepTrial(): void {
    const trial = this.#onTrial;
    if (trial === undefined || trial === this.#kept) return; // A commit may be tried again.
    trial.slot.runner = this.#ports.keep(trial.slot, trial);
    this.#kept = trial;
  }

  async #drop(): Promise<void> {
    const candidate = this.#candidate;
    this.#candidate = undefined;
    await candidate?.model.close();
  }

  async #write({ kind, durable }: Action): Promise<void> {
    const text = JSON.stringify(durable, (_, value) => (typeof value === "bigint" ? String(value) : value));
    if (text === this.#written) return;
    try {
      await this.#ports.packageStore.write(durable);
      this.#written = text;
    } catch (error) {
      if (NEEDS_NO_WRITE.has(kind)) return;
      if (kind === "switch") await this.#drop();
      throw error;
    }
  }

  async #prune(): Promise<void> {
    const { generation, good, previous, trial, wanted, outcome } = this.#state.durable;
    // Nothing was wanted yet, or the durable state was lost: it names no package, and the one wanted next may be here, whole.
    // (package-store.ts S1)
    if (generation === 0n) return;
    const keep = [good, previous, trial, outcome === null ? wanted : null];
    await this.#ports.packageStore.prune(keep.flatMap((ref) => (ref === null ? [] : [ref.digest])));
  }
}

/** They allow nothing, and have to be done. */
const NEEDS_NO_WRITE: ReadonlySet<ActionKind> = new Set(["wait", "unload", "restore"]);
