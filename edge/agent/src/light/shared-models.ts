/**
 * One child process for each model, shared by all devices of this process: a hundred devices would else be a hundred of them.
 *
 * M1. Frames are shown one at a time, so a child that dies died of the frame at hand, and its device is known.
 * M2. As in the agent, such a frame is tried once more with the next child; if that dies too, the frame is at fault.
 * M3. Golden frames and latency are tried once for a model and count for all: they share machine and child.
 */
import type { Inference, LoadedModel, ModelPackage } from "@tributary/inference";
import { type Digest, type Failure, reasonOf } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { checkGoldenFrames, OnnxModelHost } from "@tributary/onnx";
import { medianTooSlow } from "../updates/latency.ts";

export type Answer = {
  /** Children that this frame ended. */
  readonly losses: number;
} & (
  | { readonly kind: "answered"; readonly inference: Inference }
  | { readonly kind: "unreadable"; readonly code: string; readonly reason: string }
);

export type Proof = { readonly ok: true } | { readonly ok: false; readonly code: string; readonly reason: string };

export class SharedModels {
  readonly #models = new Map<Digest, SharedModel>();

  /** The package in `dir`, checked again. Every `hold` is ended by a `release`. */
  async hold(dir: string, digest: Digest): Promise<SharedModel> {
    const known = this.#models.get(digest);
    if (known !== undefined) {
      known.holders += 1;
      return known;
    }
    const pkg = await loadPackage(dir, { digest });
    const meanwhile = this.#models.get(digest) ?? new SharedModel(pkg);
    this.#models.set(digest, meanwhile);
    meanwhile.holders += 1;
    return meanwhile;
  }

  async release(model: SharedModel): Promise<void> {
    model.holders -= 1;
    if (model.holders > 0) return;
    this.#models.delete(model.pkg.digest);
    await model.close();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#models.values()].map((model) => model.close()));
  }
}

export class SharedModel {
  readonly pkg: ModelPackage;
  holders = 0;
  #child: LoadedModel | undefined;
  /** M1: what is asked waits for what was asked before. */
  #turn: Promise<unknown> = Promise.resolve();
  #proof: Promise<Proof> | undefined;
  #isClosed = false;

  constructor(pkg: ModelPackage) {
    this.pkg = pkg;
  }

  infer(jpeg: Uint8Array): Promise<Answer> {
    return this.#inTurn(() => this.#infer(jpeg));
  }

  /** M3. */
  prove(): Promise<Proof> {
    this.#proof ??= this.#inTurn(() => this.#prove());
    return this.#proof;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#turn.catch(() => undefined);
    await this.#child?.close();
  }

  async #infer(jpeg: Uint8Array): Promise<Answer> {
    for (let losses = 0; ; ) {
      const child = await this.#loaded();
      try {
        const result = await child.infer(jpeg);
        return result.ok
          ? { kind: "answered", losses, inference: result.inference }
          : { kind: "unreadable", losses, code: result.code, reason: result.message };
      } catch (error) {
        await child.exited;
        this.#child = undefined;
        losses += 1;
        if (this.#isClosed) throw error;
        // M2
        if (losses === 2) return { kind: "unreadable", losses, code: "image-kills-model", reason: reasonOf(error) };
      }
    }
  }

  async #prove(): Promise<Proof> {
    try {
      const child = await this.#loaded();
      const golden = await checkGoldenFrames(child, this.pkg, readPackageFile);
      if (!golden.passed) {
        const { frame, reason } = golden.frames.find(({ kind }) => kind === "failed") ?? {};
        const what = `${golden.failed} of ${golden.frames.length} golden frames are not reproduced; ${frame}: ${reason}`;
        return { ok: false, code: "golden-mismatch", reason: what };
      }
      const slow = await medianTooSlow(child, this.pkg);
      if (slow !== null) return { ok: false, code: "model-too-slow", reason: slow };
      return { ok: true };
    } catch (error) {
      this.#child = undefined;
      return { ok: false, code: (error as Failure).code ?? "model-unusable", reason: reasonOf(error) };
    }
  }

  async #loaded(): Promise<LoadedModel> {
    this.#child ??= await new OnnxModelHost(loadPackage).load(this.pkg.dir, { threads: 1 });
    return this.#child;
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(act, act);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
