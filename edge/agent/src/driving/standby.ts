/**
 * LITE in two processes: one answers, the other is a warm spare that takes over when the first ends or hangs. Loading a model takes half a
 * second, and on a busy machine many; taking over takes a turn of the event loop.
 *
 * S1. One process is active; frames go to it alone. The spare is asked only to keep its memory in use (`touchMs`).
 * S2. When the active one ends, or has not answered a request for `hangsMs`, the spare is active at once, and is asked what is pending there.
 *     A picture whose process ended by its own fault is not asked again: it would end both.
 * S3. One that hung is not ended for that: on a busy machine nothing but time would be lost. If it answers it is the spare; if it does
 *     not, its host ends it (child-model.ts H3, H8). So there are never more than two.
 * S4. Both are of the same package, by its digest (G6).
 * S5. A new spare is loaded after a jittered backoff, and only where memory is left for it. Without a spare this is a ModelKeeper.
 */
import type { InferenceResult, InferenceWant, LoadedModel } from "@tributary/inference";
import { type Backoff, backoffMs, type Clock, Failure, invariant, type Random, reasonOf } from "@tributary/kernel";
import { ModelHostExited } from "@tributary/onnx";
import type { ModelEvents } from "../model-keeper.ts";
import type { Runner } from "../slots.ts";

export type TakeOver = { readonly reason: "ended" | "hangs"; readonly pid: number };

export type StandbyEvents = ModelEvents & { readonly onTakeOver: (takeOver: TakeOver) => void };

export type StandbyPorts = {
  /** Loads the same package, whatever its folder contains by then. */
  readonly load: () => Promise<LoadedModel>;
  /** Whether there is memory for another process. */
  readonly hasMemory: () => boolean;
  readonly events: StandbyEvents;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
  readonly random: Random;
};

export type StandbySettings = {
  /** An active process that has not answered for so long is left for the spare. */
  readonly hangsMs: number;
  /** What the spare is asked before there was a frame. */
  readonly picture: Uint8Array;
};

/** Memory that is in use so often is the last that Linux takes. */
const TOUCH_MS = 2_000;
/** First runs allocate and compile. */
const WARM_UP = 30;
const BACKOFF: Backoff = { minMs: 200, maxMs: 5_000 };
/** One that lasted for so long ends a backoff. */
const STEADY_MS = 4_000;
/** The agent starts first. */
const START_MS = 1_000;
const NO_MEMORY_MS = 30_000;
const PROCESSES = 2;

type Process = {
  readonly model: LoadedModel;
  readonly loadedAtMs: number;
  /** Resolves when it is not active any more, though it has not ended. */
  left: PromiseWithResolvers<void>;
  /** When it was touched, and has not answered since. */
  touchedAtMs: number | null;
};

const CLOSED = new Failure("model-closed", "give-up", "the model is closed");
const LEFT = new Failure("model-hangs", "retry", "the model's process hangs");

export class Standby implements Runner {
  readonly #ports: StandbyPorts;
  readonly #settings: StandbySettings;
  readonly #digest: string;
  readonly #stopping = new AbortController();
  /** All that run: the active one, and the spare or one that hangs. */
  readonly #processes = new Set<Process>();
  #active: Process | undefined;
  #spare: Process | undefined;
  /** Resolves with the next active one. */
  #next = Promise.withResolvers<Process>();
  #attempt = 0;
  /** Before the next load. */
  #waitMs = START_MS;
  /** Starts that wait again, by what it is now. */
  #hurry = new AbortController();
  #filling: Promise<void> | undefined;
  #picture: Uint8Array;

  constructor(first: LoadedModel, settings: StandbySettings, ports: StandbyPorts) {
    this.#ports = ports;
    this.#settings = settings;
    this.#digest = first.digest;
    this.#picture = settings.picture;
    this.#adopt(first);
    this.#fill();
    void this.#touch().catch(() => undefined);
  }

  get current(): LoadedModel | undefined {
    return this.#active?.model;
  }

  get spare(): LoadedModel | undefined {
    return this.#spare?.model;
  }

  /** Rejects only when it is closed. */
  async infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult> {
    this.#picture = jpeg;
    for (let attempt = 0; ; attempt++) {
      const process = this.#active ?? (await this.#next.promise);
      const answer = await this.#asked(process, jpeg, want);
      if (!(answer instanceof Failure)) return answer;
      this.#stopping.signal.throwIfAborted();
      const isAtFault = answer instanceof ModelHostExited && answer.isOwnFault;
      if (isAtFault || attempt === 2) return { ok: false, code: "image-kills-model", message: answer.message };
    }
  }

  async close(): Promise<void> {
    this.#stopping.abort(CLOSED);
    this.#next.promise.catch(() => undefined);
    this.#next.reject(CLOSED);
    await Promise.all([...this.#processes].map(({ model }) => model.close()));
    await this.#filling;
  }

  /** Its answer, or why another is to be asked. */
  async #asked(process: Process, jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult | Failure> {
    const { model, left } = process;
    const answered = new AbortController();
    const answer = model.infer(jpeg, want).then(
      (result) => {
        this.#answered(process);
        return result;
      },
      async (error: unknown) => {
        await model.exited; // Then the spare is active.
        return error instanceof Failure ? error : new Failure("model-host-exited", "retry", reasonOf(error));
      },
    );
    void this.#watch(process, answered.signal);
    try {
      return await Promise.race([answer, left.promise.then(() => LEFT)]);
    } finally {
      answered.abort();
    }
  }

  async #watch(process: Process, answered: AbortSignal): Promise<void> {
    const { clock } = this.#ports;
    while (!answered.aborted) {
      await clock.sleep(this.#settings.hangsMs, answered).catch(() => undefined);
      await turn(); // An agent that was late itself reads what has been answered meanwhile.
      if (answered.aborted || process !== this.#active || !this.#isSpareWell) continue;
      this.#takeOver("hangs");
      process.left.resolve();
    }
  }

  get #isSpareWell(): boolean {
    const touchedAtMs = this.#spare?.touchedAtMs;
    if (touchedAtMs === undefined) return false;
    return touchedAtMs === null || this.#ports.clock.monotonicMs() - touchedAtMs < this.#settings.hangsMs;
  }

  /** S2. False: there is no spare. */
  #takeOver(reason: TakeOver["reason"]): boolean {
    const spare = this.#spare;
    if (spare === undefined) return false;
    this.#spare = undefined;
    this.#activate(spare);
    this.#ports.events.onTakeOver({ reason, pid: spare.model.pid });
    return true;
  }

  #activate(process: Process): void {
    this.#active = process;
    this.#next.resolve(process);
  }

  /** S3. */
  #answered(process: Process): void {
    process.touchedAtMs = null;
    if (process === this.#active || this.#spare !== undefined || !this.#processes.has(process)) return;
    process.left = Promise.withResolvers();
    this.#spare = process;
  }

  #adopt(model: LoadedModel): void {
    invariant(model.digest === this.#digest, "both processes are of one package"); // S4
    const { clock, events } = this.#ports;
    const loadedAtMs = clock.monotonicMs();
    const process: Process = { model, loadedAtMs, left: Promise.withResolvers(), touchedAtMs: null };
    this.#processes.add(process);
    if (this.#active === undefined) this.#activate(process);
    else this.#spare = process;
    events.onLoaded(model);
    void model.exited.then((code) => this.#ended(process, code));
  }

  #ended(process: Process, code: number | null): void {
    if (this.#stopping.signal.aborted) return;
    const { clock, events } = this.#ports;
    this.#processes.delete(process);
    const isSteady = clock.monotonicMs() - process.loadedAtMs >= STEADY_MS;
    if (process === this.#spare) this.#spare = undefined;
    if (process === this.#active) {
      this.#active = undefined;
      this.#next = Promise.withResolvers();
      this.#takeOver("ended");
    }
    if (isSteady) this.#attempt = 0;
    this.#backOff();
    if (this.#active === undefined) {
      if (isSteady) this.#waitMs = 0;
      this.#hurry.abort();
    }
    const reason = `a process of LITE ended with ${code}`;
    events.onLost({ code: "model-host-exited", reason, retryMs: this.#waitMs });
    this.#fill();
  }

  #backOff(): void {
    this.#waitMs = backoffMs(BACKOFF, this.#attempt++, this.#ports.random);
  }

  /** S5. One loop at a time, until there are two. */
  #fill(): void {
    if (this.#processes.size >= PROCESSES) return;
    this.#filling ??= this.#fillUp()
      .catch(() => undefined) // It is closed.
      .finally(() => {
        this.#filling = undefined;
        if (!this.#stopping.signal.aborted) this.#fill();
      });
  }

  async #fillUp(): Promise<void> {
    const { load, hasMemory, events } = this.#ports;
    const { signal } = this.#stopping;
    while (this.#processes.size < PROCESSES) {
      if (await this.#isHurried(this.#waitMs)) continue;
      if (this.#active !== undefined && !hasMemory()) {
        await this.#isHurried(NO_MEMORY_MS);
        continue;
      }
      try {
        const model = await load();
        if (signal.aborted) {
          await model.close();
          return;
        }
        this.#adopt(model);
        await this.#warmUp(model);
      } catch (error) {
        signal.throwIfAborted();
        this.#backOff();
        const code = error instanceof Failure ? error.code : "model-unusable";
        events.onLost({ code, reason: reasonOf(error), retryMs: this.#waitMs });
      }
    }
  }

  /** Waits so long. True: not until the end, as a process is missed more urgently now. Rejects when it is closed. */
  async #isHurried(waitMs: number): Promise<boolean> {
    const { signal } = this.#stopping;
    const hurry = this.#hurry.signal.aborted ? new AbortController() : this.#hurry;
    this.#hurry = hurry;
    try {
      await this.#ports.clock.sleep(waitMs, AbortSignal.any([signal, hurry.signal]));
    } catch {
      signal.throwIfAborted();
    }
    return hurry.signal.aborted;
  }

  /** Of a spare. A frame that the active one leaves to it meanwhile waits for one of these at most. */
  async #warmUp(model: LoadedModel): Promise<void> {
    for (let i = 0; i < WARM_UP && model === this.spare; i++) await model.infer(this.#picture).catch(() => undefined);
  }

  /** S1. */
  async #touch(): Promise<void> {
    const { clock } = this.#ports;
    for (;;) {
      await clock.sleep(TOUCH_MS, this.#stopping.signal);
      const spare = this.#spare;
      if (spare === undefined || spare.touchedAtMs !== null) continue;
      spare.touchedAtMs = clock.monotonicMs();
      void spare.model.infer(this.#picture).then(
        () => this.#answered(spare),
        () => undefined,
      );
    }
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
