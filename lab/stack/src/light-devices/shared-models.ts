/**
 * One process for each model, shared by all devices of this process instead of one per device. To a device
 * it looks like its own.
 *
 * The model runs one frame at a time, so a process that crashes has crashed on the current frame: that frame's device has
 * lost its model, and has to load it again; the others get the next process. Before a model answers, its golden frames and latency
 * are tried once, for all devices: they share machine and process. Afterwards each device checks its golden frames, too; those
 * that ask for the same one within a second share the run.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  goldenMismatch,
  type LoadedPackage,
  type Measured,
  type ModelRuntime,
  measured,
  medianTooSlow,
  type Promised,
} from "@tributary/agent/compose";
import type { InferenceResult, InferenceWant, LoadedModel, ModelHost, ModelPackage } from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";

const GOLDEN_SHARED_MS = 1_000;

export class SharedModels implements ModelRuntime {
  readonly #hostOf: (digest: Digest) => ModelHost;
  readonly #models = new Map<Digest, SharedModel>();
  readonly #slowedMs = new Map<Digest, number>();

  constructor(hostOf = (digest: Digest): ModelHost => new OnnxModelHost((dir) => loadPackage(dir, { digest }))) {
    this.#hostOf = hostOf;
  }

  async load(dir: string, digest: Digest | null): Promise<LoadedPackage> {
    const held = [...this.#models.values()].find(({ pkg }) =>
      digest === null ? pkg.dir === dir : pkg.digest === digest,
    );
    const pkg = held?.pkg ?? (await loadPackage(dir, digest === null ? {} : { digest }));
    const shared = this.#models.get(pkg.digest) ?? new SharedModel(pkg, this.#hostOf(pkg.digest));
    this.#models.set(pkg.digest, shared);
    const release = async () => {
      if (--shared.holders > 0) return;
      this.#models.delete(pkg.digest);
      await shared.close();
    };
    shared.holders += 1;
    try {
      const loaded = await shared.loaded();
      return {
        pkg: shared.pkg,
        model: new HeldModel(shared, loaded, release, () => this.#slowedMs.get(pkg.digest) ?? 0),
      };
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** Its process is shared, and an ordinary one. */
  committed(): void {}

  goldenMismatch({ pkg }: LoadedPackage): Promise<string | null> {
    return this.#sharedOf(pkg).goldenMismatch();
  }

  tooSlow({ pkg }: LoadedPackage): Promise<string | null> {
    return this.#sharedOf(pkg).tooSlow();
  }

  /** Once for all devices. */
  measured({ pkg }: LoadedPackage, picture: string | undefined, promised: Promised): Promise<Measured> {
    return this.#sharedOf(pkg).measured(picture, promised);
  }

  /** From now on this model takes so much longer for a frame, as on a machine that grows hot. */
  slow(digest: Digest, ms: number): void {
    this.#slowedMs.set(digest, ms);
  }

  #sharedOf({ digest }: ModelPackage): SharedModel {
    const shared = this.#models.get(digest);
    if (shared === undefined) throw new Failure("model-crashed", "retry", "it was released");
    return shared;
  }
}

class SharedModel {
  readonly pkg: ModelPackage;
  readonly #host: ModelHost;
  holders = 0;
  #child: LoadedModel | undefined;
  /** A request waits for the previous one. */
  #turn: Promise<unknown> = Promise.resolve();
  #mismatch: Promise<string | null> | undefined;
  #tooSlow: Promise<string | null> | undefined;
  #measured: Promise<Measured> | undefined;
  /** Golden frames that were run just now, by their bytes. */
  readonly #golden = new Map<string, Promise<InferenceResult>>();

  constructor(pkg: ModelPackage, host: ModelHost) {
    this.pkg = pkg;
    this.#host = host;
  }

  get digest(): Digest {
    return this.pkg.digest;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  loaded(): Promise<LoadedModel> {
    return this.#inTurn((child) => Promise.resolve(child));
  }

  infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult> {
    return want?.tensorDigest ? this.#inferGolden(jpeg, want) : this.#inTurn((child) => child.infer(jpeg, want));
  }

  #inferGolden(jpeg: Uint8Array, want: Partial<InferenceWant>): Promise<InferenceResult> {
    const key = createHash("sha256").update(jpeg).digest("hex");
    const known = this.#golden.get(key);
    if (known !== undefined) return known;
    const result = this.#inTurn((child) => child.infer(jpeg, want));
    this.#golden.set(key, result);
    const forget = () => void this.#golden.delete(key);
    setTimeout(forget, GOLDEN_SHARED_MS).unref();
    result.catch(forget);
    return result;
  }

  goldenMismatch(): Promise<string | null> {
    this.#mismatch ??= goldenMismatch(this.pkg, this);
    this.#mismatch.catch(() => {
      this.#mismatch = undefined;
    });
    return this.#mismatch;
  }

  tooSlow(): Promise<string | null> {
    this.#tooSlow ??= medianTooSlow(this, this.pkg);
    this.#tooSlow.catch(() => {
      this.#tooSlow = undefined;
    });
    return this.#tooSlow;
  }

  measured(picture: string | undefined, promised: Promised): Promise<Measured> {
    this.#measured ??= measured({ pkg: this.pkg, model: this as unknown as LoadedModel }, picture, promised);
    return this.#measured;
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#child?.close();
  }

  #inTurn<T>(act: (child: LoadedModel) => Promise<T>): Promise<T> {
    const result = this.#turn.then(async () => {
      this.#child ??= await this.#host.load(this.pkg.dir, { threads: 1 });
      const child = this.#child;
      try {
        return await act(child);
      } catch (error) {
        await child.exited;
        this.#child = undefined;
        throw error;
      }
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** What one device holds of a shared model. */
class HeldModel implements LoadedModel {
  readonly digest: Digest;
  readonly manifest: LoadedModel["manifest"];
  readonly labels: LoadedModel["labels"];
  readonly temperature: number;
  readonly exited: Promise<number | null>;
  readonly #shared: SharedModel;
  readonly #release: () => Promise<void>;
  readonly #slowedMs: () => number;
  readonly #end: (code: number | null) => void;
  #isGone = false;

  constructor(
    shared: SharedModel,
    { digest, manifest, labels, temperature }: LoadedModel,
    release: () => Promise<void>,
    slowedMs: () => number,
  ) {
    this.digest = digest;
    this.manifest = manifest;
    this.labels = labels;
    this.temperature = temperature;
    this.#shared = shared;
    this.#release = release;
    this.#slowedMs = slowedMs;
    const { promise, resolve } = Promise.withResolvers<number | null>();
    [this.exited, this.#end] = [promise, resolve];
  }

  get pid(): number {
    return this.#shared.pid;
  }

  async infer(jpeg: Uint8Array, want?: Partial<InferenceWant>): Promise<InferenceResult> {
    if (this.#isGone) throw new Failure("model-host-exited", "retry", "the model was released");
    try {
      const result = await this.#shared.infer(jpeg, want);
      return result.ok ? await slowed(result, this.#slowedMs()) : result;
    } catch (error) {
      await this.#leave(null); // The process crashed on this device's frame.
      throw error;
    }
  }

  async inferBatch(jpegs: readonly Uint8Array[], want?: Partial<InferenceWant>): Promise<readonly InferenceResult[]> {
    return Promise.all(jpegs.map((jpeg) => this.infer(jpeg, want)));
  }

  raise(): void {}

  close(): Promise<void> {
    return this.#leave(0);
  }

  async #leave(code: number | null): Promise<void> {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#end(code);
    await this.#release();
  }
}

type Answered = InferenceResult & { readonly ok: true };

async function slowed({ inference }: Answered, ms: number): Promise<Answered> {
  if (ms === 0) return { ok: true, inference };
  await sleep(ms);
  const { preprocess, run } = inference.timingsMs;
  return { ok: true, inference: { ...inference, timingsMs: { preprocess, run: run + ms } } };
}
