/** Starts the rollout of a model that becomes challenger and passes its gate.
 *
 * A1. It starts once for each package: the rollout's uid is made of its name and digest, so of two instances that start it one
 *     wins, and a rollout that ended is not started again.
 * A2. A rollout that cannot start now (too few devices, another active rollout) is logged once for each reason, and tried again.
 * A3. (G9) Only the newest `ROLLED_OUT_MAX` packages are remembered, and the refusals of challengers that still wait.
 * A4. The gate must have compared it with the current champion, or with the model that is about to become champion: the
 *     registry evaluates it again by itself, and until then the challenger waits.
 * A5. If the gate is unsure of a line, the challenger is held and the lines are logged: a person starts the rollout or forces
 *     the model. */
import type { Model } from "@tributary/contracts";
import { codeOf } from "@tributary/kafka";
import { type Clock, Failure, Oldest, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { BY } from "./by.ts";
import { defaultSpecOf, type RolloutManagerConfig } from "./config.ts";
import { autoStarted, autoStartRefused } from "./events.ts";
import { hasPassed, isJudgedAgainst, unsureLines } from "./models/gate-verdict.ts";

export type AutoStartOptions = {
  readonly models: ModelTable;
  /** The champion of a model's name, or the model that is about to become it. */
  readonly championOf: (name: string) => Model | undefined;
  readonly defaults: RolloutManagerConfig["defaults"];
  /** A proposal of this rollout is in flight. */
  readonly isBusy: (uid: string) => boolean;
  readonly create: (written: unknown, by: string, uid: string) => Promise<unknown>;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

const EVERY_MS = 30_000;
const ROLLED_OUT_MAX = 100_000;
const UNSURE_SHOWN_MAX = 3;

export class AutoStart {
  readonly #options: AutoStartOptions;
  /** Digests of packages that had a rollout. */
  readonly #rolledOut = new Set<string>();
  readonly #oldest = new Oldest(this.#rolledOut);
  /** Why a rollout cannot start, by uid. */
  readonly #refused = new Map<string, string>();
  #modelsSeen = -1;
  #dueAt = 0;

  constructor(options: AutoStartOptions) {
    this.#options = options;
  }

  /** The log has a rollout of this package. */
  created(modelDigest: string): void {
    this.#rolledOut.add(modelDigest);
    this.#oldest.trim(ROLLED_OUT_MAX);
  }

  /** Starts the rollouts of waiting challengers: at once when models or aliases changed, else every `EVERY_MS`. */
  round(): void {
    const { models, isBusy, clock } = this.#options;
    const now = clock.monotonicMs();
    if (this.#modelsSeen === models.changes && now < this.#dueAt) return;
    this.#modelsSeen = models.changes;
    this.#dueAt = now + EVERY_MS;
    const waiting = new Map(this.#waiting().map((model) => [autoUidOf(model), model]));
    for (const uid of this.#refused.keys()) if (!waiting.has(uid)) this.#refused.delete(uid); // A3
    for (const [uid, model] of waiting) if (!isBusy(uid)) void this.#start(uid, model);
  }

  /** Challengers without a rollout. */
  #waiting(): readonly Model[] {
    const { models, championOf, defaults } = this.#options;
    return models.withAlias("challenger").filter(
      (model) =>
        defaults[model.name] !== undefined &&
        model.state === "LISTED" &&
        hasPassed(model) &&
        !this.#rolledOut.has(model.modelDigest) &&
        isJudgedAgainst(model, championOf(model.name)), // A4
    );
  }

  async #start(uid: string, challenger: Model): Promise<void> {
    const { name, version, modelDigest } = challenger;
    const { defaults, create, telemetry } = this.#options;
    const model = `${name}@${version}`;
    try {
      refuseUnsure(model, unsureLines(challenger)); // A5
      await create(defaultSpecOf(defaults[name], model), BY, uid);
      telemetry.emit(autoStarted, { uid, model });
    } catch (error) {
      if (this.#rolledOut.has(modelDigest)) return; // Another instance was faster.
      const reason = reasonOf(error);
      if (this.#refused.get(uid) === reason) return; // A2
      this.#refused.set(uid, reason);
      telemetry.emit(autoStartRefused, { model, code: codeOf(error), reason });
    }
  }
}

/** A5 */
function refuseUnsure(model: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  const shown = lines.slice(0, UNSURE_SHOWN_MAX).join("; ");
  const more = lines.length > UNSURE_SHOWN_MAX ? ` and ${lines.length - UNSURE_SHOWN_MAX} more` : "";
  const what = `the gate is unsure of ${lines.length} lines: ${shown}${more}`;
  const advice = `give it more validation frames, start the rollout yourself, or force it: tributary models force ${model}`;
  throw new Failure("gate-unsure", "ask-a-person", `${what}; ${advice}`);
}

/** A1 */
const autoUidOf = ({ name, modelDigest }: Model): string => `${name}-${modelDigest.slice(0, 12)}`;
