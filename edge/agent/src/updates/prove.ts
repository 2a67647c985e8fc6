/**
 * A package is tested on this device before it answers a frame: it loads in a child of its own, reproduces its golden frames,
 * and is fast enough, all while the active model continues to answer.
 *
 * The bytes are checked against the desired digest once more, right before they are loaded (G6). Without memory for a second
 * child nothing is loaded: the active model is not given up for one that may fail. Faults of the machine are retried: a few
 * times for a child that was killed, did not start or did not answer in time, many times for a disk that cannot be read. */
import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import type { LoadedModel } from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { ModelHostExited } from "@tributary/onnx";
import type { LoadedPackage, ModelRuntime } from "../model-runtime.ts";
import { PolicyKeeper } from "../policy-keeper.ts";
import { bareRunner, Slot } from "../slots.ts";

export type ProveOptions = {
  readonly dir: string;
  readonly digest: Digest;
  readonly memoryBytesMin: number;
  /** Its latency budget does not count. */
  readonly anySpeed: boolean;
  readonly sha256Hex: (text: string) => string;
};

export type Candidate = { readonly slot: Slot; readonly model: LoadedModel };

/** Throws Failure; the child is gone then. */
export async function prove(options: ProveOptions, runtime: ModelRuntime, signal: AbortSignal): Promise<Candidate> {
  mustHaveMemory(options.memoryBytesMin);
  const loaded = await load(options, runtime);
  const { pkg, model } = loaded;
  const close = () => void model.close().catch(() => undefined);
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    const policy = new PolicyKeeper(pkg, options.sha256Hex);
    const mismatch = await runtime.goldenMismatch(loaded);
    if (mismatch !== null) throw new Failure("golden-mismatch", "give-up", mismatch);
    const slow = options.anySpeed ? null : await runtime.tooSlow(loaded);
    if (slow !== null) throw new Failure("model-too-slow", "give-up", slow);
    signal.throwIfAborted();
    return { slot: new Slot(pkg, policy, bareRunner(model), true), model };
  } catch (error) {
    close();
    throw signal.aborted ? signal.reason : failureOf(error);
  } finally {
    signal.removeEventListener("abort", close);
  }
}

async function load({ dir, digest }: ProveOptions, runtime: ModelRuntime): Promise<LoadedPackage> {
  try {
    return await runtime.load(dir, digest, "candidate");
  } catch (error) {
    throw failureOf(error);
  }
}

/** A failure of the model itself would recur. */
function failureOf(error: unknown): Failure {
  if (error instanceof ModelHostExited) {
    return new Failure("model-crashed", error.isOwnFault ? "give-up" : "ask-a-person", error.message, { cause: error });
  }
  if (error instanceof Failure) return error;
  const isOfSystem = typeof (error as NodeJS.ErrnoException | undefined)?.errno === "number";
  return isOfSystem
    ? new Failure("package-unreadable", "retry", reasonOf(error), { cause: error })
    : new Failure("model-unusable", "give-up", reasonOf(error), { cause: error });
}

function mustHaveMemory(bytesMin: number): void {
  const bytes = memoryAvailable();
  if (bytes >= bytesMin) return;
  const what = `${bytes >> 20} MB of memory are available; a second model needs ${bytesMin >> 20} MB`;
  throw new Failure("memory-short", "retry", what);
}

function memoryAvailable(): number {
  try {
    const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    return Number(kilobytes) * 1_024;
  } catch {
    return freemem();
  }
}
