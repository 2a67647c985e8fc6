/**
 * Follows the device's desired state: runs the next action of the state machine (@tributary/updates) and reports its result
 * to it.
 *
 * The durable state is on disk before the action that it allows (machine.ts U6). Packages that it does not name any more are
 * deleted before anything is fetched: the desired one may need their space (G9).
 *
 * A revert happens before any wait: from the next frame on the committed model answers.
 *
 * A report that the device is parked holds for `parkedMsMax`, and ends with the agent: whoever reports it may be gone while the device
 * drives. It is looked at before every step, by a time that no clock's correction moves and that goes on while the machine sleeps.
 */

import type { Clock } from "@tributary/kernel";
import { Failure, type Random } from "@tributary/kernel";
import {
  type Action,
  type ActionKind,
  type Boot,
  bootUpdates,
  CONDITION_ENDED,
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
  unmet,
  updateStatusOf,
  type Wanted,
} from "@tributary/updates";
import { parseDesired } from "./desired.ts";
import { doneOf } from "./done.ts";
import type { UpdateStore } from "./store.ts";

/** What is done with a package of a slot, `C` once it is proved. */
export type Trial<C> = {
  /** `anySpeed`: however slow it is. */
  prove(wanted: Wanted, anySpeed: boolean, signal: AbortSignal): Promise<C>;
  /** It ended by itself. */
  isGone(candidate: C): boolean;
  /** Runs it beside the active one. */
  shadow(candidate: C, frames: number, signal: AbortSignal): Promise<void>;
  /** It answers from the next frame on. */
  switchTo(candidate: C): void;
  /** The committed one answers again. */
  restore(): void;
  /** Before it is committed: from now on it is loaded again after a loss. May be called twice. */
  keep(candidate: C): void;
  commit(): void;
  /** It was proved, and is not wanted. */
  drop(candidate: C): Promise<void>;
};

export type UpdaterPorts<C> = {
  readonly deviceId: string;
  readonly slot: string;
  /** What answers changes only while the device is parked, whatever is wanted. (machine.ts U8) */
  readonly onlyParked: boolean;
  readonly parkedMsMax: number;
  /** Since the machine's boot. */
  readonly uptimeMs: () => number;
  readonly packageStore: Pick<UpdateStore["packageStore"], "write" | "prune">;
  readonly fetch: UpdateStore["fetch"];
  readonly trial: Trial<C>;
  readonly onChanged: () => void;
  readonly onMoved: (status: UpdateStatus) => void;
  readonly clock: Clock;
  readonly random: Random;
};

const NOTHING: Progress = { phase: "WAITING", bytesDone: 0, bytesAll: 0 };

/** What `reported.update` holds. */
export type UpdateNow = UpdateStatus & { readonly bytesDone: number; readonly bytesAll: number };

export class Updater<C> {
  readonly #ports: UpdaterPorts<C>;
  #state: Updates;
  /** When the device was last reported as parked; null: it drives, or nobody reported. */
  #parkedAtMs: number | null = null;
  #first: Step | undefined;
  #progress: Progress = NOTHING;
  #written = "";
  #acting: { readonly abort: AbortController; readonly over: Promise<void> } | undefined;
  #candidate: C | undefined;
  #onTrial: C | undefined;
  /** A failure of the model on trial that came while the state machine ran another action. */
  #failing: { readonly code: string; readonly reason: string } | undefined;
  #reportedPhase = "";
  #isStopped = false;
  #hasStarted = false;
  /** The newest that came before the first step was taken. */
  #early: Desired | undefined;

  constructor(boot: Boot, ports: UpdaterPorts<C>) {
    this.#ports = ports;
    this.#first = bootUpdates({ ...boot, onlyParked: ports.onlyParked });
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

  /** machine.ts U8 */
  get isInterrupted(): boolean {
    return this.#state.isInterrupted;
  }

  get conditions(): Conditions {
    this.#expire();
    return this.#state.conditions;
  }

  /** Null: nothing was wanted so far. */
  get now(): UpdateNow | null {
    this.#expire();
    const status = updateStatusOf(this.#state, this.#progress.phase);
    if (status === null) return null;
    const { bytesDone, bytesAll } = this.#progress;
    return { ...status, bytesDone, bytesAll };
  }

  /** Throws Failure or ContractError for what cannot be used, and for a generation older than the last one. Returns the arm of
   * an experiment that the device is in. */
  desired(payload: Uint8Array): string {
    const { deviceId, slot } = this.#ports;
    const { desired, arm } = parseDesired(payload, deviceId, slot);
    const { generation } = desired;
    const newest = this.#early?.generation ?? this.generation;
    if (generation < newest) {
      throw new Failure("desired-older", "give-up", `generation ${generation} is older than ${newest}, which was here`);
    }
    if (this.#hasStarted) this.#send({ kind: "desired", desired });
    else this.#early = desired;
    return arm;
  }

  report(met: Partial<Conditions>): void {
    this.#expire();
    if (met.parked !== undefined) this.#parkedAtMs = met.parked ? this.#ports.uptimeMs() : null;
    this.#send({ kind: "conditions", met: { ...this.#state.conditions, ...met } });
  }

  /** What is switched to, and not committed yet. */
  get onTrial(): C | undefined {
    return this.#onTrial;
  }

  /** A frame was answered by what is on trial. */
  answered(isSlow: boolean): void {
    if (this.#state.stage.kind === "probation") this.#send({ kind: "answered", isSlow });
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
    await this.#drop();
  }

  #expire(): void {
    if (this.#parkedAtMs === null || this.#isStopped) return;
    const ageMs = this.#ports.uptimeMs() - this.#parkedAtMs;
    if (ageMs >= 0 && ageMs <= this.#ports.parkedMsMax) return;
    this.#parkedAtMs = null;
    this.#take(
      step(this.#state, { kind: "conditions", met: { ...this.#state.conditions, parked: false } }, this.#ports.random),
    );
  }

  #send(input: Input): void {
    if (this.#isStopped) return;
    this.#expire();
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
    this.#ports.trial.restore();
    this.#onTrial = undefined;
    this.#failing = undefined;
  }

  async #act(action: Action, signal: AbortSignal): Promise<Done> {
    if (action.kind === "commit" && this.#onTrial !== undefined) this.#ports.trial.keep(this.#onTrial);
    await this.#write(action);
    switch (action.kind) {
      case "wait":
        await this.#ports.clock.sleep(action.ms, signal);
        return { ok: true };
      case "fetch":
        await this.#prune();
        return this.#fetch(action.wanted, signal);
      case "prove":
        this.#candidate = await this.#ports.trial.prove(action.wanted, action.wasActive, signal);
        return { ok: true };
      case "shadow":
        return this.#shadowOf(action.frames, signal);
      case "unload":
        await this.#drop();
        return { ok: true };
      case "switch":
        return this.#switch();
      case "commit":
        this.#ports.trial.commit();
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
    try {
      await this.#ports.trial.shadow(candidate, frames, signal);
      return { ok: true };
    } catch (error) {
      await this.#drop();
      throw error;
    }
  }

  async #switch(): Promise<Done> {
    // An agent that stops hears of no condition any more.
    if (this.#isStopped) {
      await this.#drop();
      return { ok: false, code: "stopping", reason: "the agent stops", retry: "many" };
    }
    // The write took a while: a device that drives by now switches nothing. (machine.ts U7)
    this.#expire();
    const what = unmet(this.#state);
    if (what !== null) {
      await this.#drop();
      const reason = `its condition (${what}) ended before the switch`;
      return { ok: false, code: CONDITION_ENDED, reason, retry: "many" };
    }
    const candidate = this.#candidate;
    this.#candidate = undefined;
    if (candidate === undefined || this.#ports.trial.isGone(candidate)) {
      return {
        ok: false,
        code: "model-crashed",
        reason: "its process ended before it was switched to",
        retry: "never",
      };
    }
    this.#onTrial = candidate;
    this.#failing = undefined;
    this.#ports.trial.switchTo(candidate);
    return { ok: true };
  }

  async #drop(): Promise<void> {
    const candidate = this.#candidate;
    this.#candidate = undefined;
    if (candidate !== undefined) await this.#ports.trial.drop(candidate);
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
