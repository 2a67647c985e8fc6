/**
 * The world model in slot `world`: makes a model's answer one of the present context, and learns whether that is right.
 *
 * O1. Without a context that it can use, or with a table of other classes, the answer is perception's own, and the prediction names no world model.
 * O2. Fused and plain are mixed by how likely each made the frames and the truths so far (@tributary/world): truths are the cloud's answers
 *     to frames of the random sample. It starts again with every table and every boot.
 * O3. On trial, a table that makes the truths less likely than perception alone fails once that is no chance (`isWorse`).
 * O4. Where the table that answered before the agent's start is lost, perception answers alone until the device is parked. (machine.ts U8)
 */
import type { Digest } from "@tributary/kernel";
import { Failure, Oldest, reasonOf } from "@tributary/kernel";
import type { WorldPackage } from "@tributary/model-store";
import {
  classesIn,
  evidenceOf,
  fused,
  type Guard,
  guardStart,
  isWorse,
  learned,
  mixed,
  normalised,
  type Shares,
  seen,
  weightAt,
} from "@tributary/world";
import type { ContextState } from "./context.ts";

/** Frames that wait for the cloud's answer. */
const WAITING_MAX = 512;

/** Both answers to a frame. */
type Answers = { readonly digest: Digest; readonly plain: Shares; readonly withContext: Shares };

export type InContext = {
  /** In place of the model's, for the same temperature. */
  readonly logits: Float32Array;
  readonly worldDigest: Digest | null;
  /** Of the frame, once it has its name and was drawn. */
  readonly remember: (frameId: string) => void;
};

export type WorldPorts = {
  readonly context: () => ContextState;
  /** What answered before the agent's start is lost, and another may not answer yet. (O4) */
  readonly isWithheld: () => boolean;
  readonly onTruth: (digest: Digest, gainNats: number) => void;
  readonly onFailing: (failing: { readonly code: string; readonly reason: string }) => void;
  readonly onUnusable: (unusable: Unusable | null) => void;
};

/** Why the table is not used, though there is a context. Null: it is used. */
export type Unusable = { readonly code: string; readonly reason: string };

export class World {
  readonly #ports: WorldPorts;
  #committed: WorldPackage;
  #active: WorldPackage;
  #guard: Guard = guardStart;
  readonly #waiting = new Map<string, Answers>();
  readonly #oldest = new Oldest(this.#waiting);
  #unusable: Unusable | null = null;
  /** p(class | context) of the last context, which is the same for many frames. */
  #inContext: { readonly digest: Digest; readonly text: string; readonly shares: Shares } | undefined;

  constructor(committed: WorldPackage, ports: WorldPorts) {
    this.#committed = committed;
    this.#active = committed;
    this.#ports = ports;
  }

  get active(): WorldPackage {
    return this.#active;
  }

  /** How much the world model weighs, 0 to 1. */
  get weight(): number {
    return this.#guard.weight;
  }

  get truths(): number {
    return this.#guard.truths;
  }

  get unusable(): Unusable | null {
    return this.#unusable;
  }

  switchTo(pkg: WorldPackage): void {
    this.#use(pkg);
  }

  restore(): void {
    this.#use(this.#committed);
  }

  commit(): void {
    this.#committed = this.#active;
  }

  inContext(logits: Float32Array, temperature: number, labels: readonly string[]): InContext {
    const plain = { logits, worldDigest: null, remember: () => undefined };
    const pkg = this.#active;
    const state = this.#ports.context();
    if (state.context === null) return plain;
    if (this.#ports.isWithheld()) {
      const reason = "the agent ended during the trial of another table: until it is parked, perception answers alone";
      this.#usable({ code: "world-interrupted", reason });
      return plain;
    }
    if (!isSame(pkg.table.labels, labels)) {
      const reason = `${pkg.manifest.name} ${pkg.manifest.version} is of other classes than the model`;
      this.#usable({ code: "world-labels-differ", reason });
      return plain;
    }
    const inContext = this.#sharesIn(pkg, state);
    if (inContext === undefined) return plain;
    const own = normalised(softmaxOf(logits, temperature));
    const withContext = fused(own, pkg.table.prior, inContext);
    const evidence = evidenceOf(own, pkg.table.prior, inContext);
    const together = mixed(weightAt(this.#guard, evidence), own, withContext);
    this.#guard = seen(this.#guard, evidence);
    const { digest } = pkg;
    return {
      logits: Float32Array.from(together, (share) => temperature * Math.log(share)),
      worldDigest: digest,
      remember: (frameId) => {
        this.#waiting.set(frameId, { digest, plain: own, withContext });
        this.#oldest.trim(WAITING_MAX);
      },
    };
  }

  /** The cloud's answer to a frame of the random sample. */
  truth(frameId: string, label: string): void {
    const answers = this.#waiting.get(frameId);
    this.#waiting.delete(frameId);
    const pkg = this.#active;
    const index = pkg.table.labels.indexOf(label);
    if (answers === undefined || answers.digest !== pkg.digest || index < 0) return;
    const before = this.#guard;
    this.#guard = learned(before, answers.plain, answers.withContext, index);
    const gain = this.#guard.plain - before.plain - (this.#guard.fused - before.fused);
    this.#ports.onTruth(pkg.digest, gain);
    if (pkg === this.#committed || !isWorse(this.#guard)) return;
    const { truths, fused: ofFused, plain } = this.#guard;
    const reason = `it made ${truths} answers of the cloud less likely than perception alone, by ${(ofFused - plain).toFixed(1)} nats`;
    this.#ports.onFailing({ code: "world-worse", reason });
  }

  #use(pkg: WorldPackage): void {
    if (pkg === this.#active) return;
    this.#active = pkg;
    this.#guard = guardStart;
    this.#waiting.clear();
    this.#inContext = undefined;
  }

  #sharesIn({ digest, table }: WorldPackage, state: ContextState & { readonly context: object }): Shares | undefined {
    const { text, context } = state;
    if (this.#inContext?.text !== text || this.#inContext.digest !== digest) {
      try {
        this.#inContext = { digest, text, shares: classesIn(table, context) };
      } catch (error) {
        const code = error instanceof Failure ? error.code : "context-invalid";
        this.#usable({ code, reason: reasonOf(error) });
        return undefined;
      }
    }
    this.#usable(null);
    return this.#inContext.shares;
  }

  #usable(unusable: Unusable | null): void {
    if (unusable?.reason === this.#unusable?.reason) return;
    this.#unusable = unusable;
    this.#ports.onUnusable(unusable);
  }
}

function softmaxOf(logits: Float32Array, temperature: number): Float64Array {
  const largest = Math.max(...logits);
  return Float64Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
}

const isSame = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((label, i) => label === other[i]);
