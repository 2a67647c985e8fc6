/** A model that becomes challenger, and that the gate lets through, starts its rollout by itself.
 *
 * A1. Once for each package: the rollout's uid is of its name and digest, so of two instances that start it one wins, and a
 *     rollout that ended is not begun again.
 * A2. What cannot start now (too few devices, another active rollout) is named, once for each reason, and tried again later.
 * A3. (G9) The newest `ROLLED_OUT_MAX` packages are remembered, and refusals of challengers that still wait.
 * A4. The gate's word must be of today's champion, or of the one that is to become it now: the registry judges again by
 *     itself, and until then the challenger waits.
 * A5. Where the gate is unsure of a line, nobody has looked yet: the challenger is held, its lines are named, and a person
 *     starts the rollout or forces the model by name. */
import type { Model } from "@tributary/contracts";
import { codeOf } from "@tributary/kafka";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { BY } from "./by.ts";
import { defaultSpecOf, type RolloutManagerConfig } from "./config.ts";
import { autoStarted, autoStartRefused } from "./events.ts";
import { hasPassed, isJudgedAgainst, unsureLines } from "./models/gate-verdict.ts";

export type AutoStartOptions = {
  readonly models: ModelTable;
  /** Of a model's name, also the one that is to become it now. */
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
  /** Packages, by digest. */
  readonly #rolledOut = new Set<string>();
  /** Why it cannot begin, by uid. */
  readonly #refused = new Map<string, string>();
  #modelsSeen = -1;
  #dueAt = 0;

  constructor(options: AutoStartOptions) {
    this.#options = options;
  }

  /** The log has a rollout of this package. */
  created(modelDigest: string): void {
    this.#rolledOut.add(modelDigest);
    for (const oldest of this.#rolledOut) {
      if (this.#rolledOut.size <= ROLLED_OUT_MAX) break;
      this.#rolledOut.delete(oldest);
    }
  }

  /** Begins what waits: at once when models or aliases changed, else now and then. */
  round(): void {
    const { models, isBusy, clock } = this.#options;
    const now = clock.monotonicMs();
    if (this.#modelsSeen === models.changes && now < this.#dueAt) return;
    this.#modelsSeen = models.changes;
    this.#dueAt = now + EVERY_MS;
    const waiting = new Map(this.#waiting().map((model) => [autoUidOf(model), model]));
    for (const uid of this.#refused.keys()) if (!waiting.has(uid)) this.#refused.delete(uid); // A3
    for (const [uid, model] of waiting) if (!isBusy(uid)) void this.#begin(uid, model);
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

  async #begin(uid: string, challenger: Model): Promise<void> {
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
  const advice = `give it more validation frames, start the rollout yourself, or let it begin by name: tributary models force ${model}`;
  throw new Failure("gate-unsure", "ask-a-person", `${what}; ${advice}`);
}

/** A1 */
const autoUidOf = ({ name, modelDigest }: Model): string => `${name}-${modelDigest.slice(0, 12)}`;
