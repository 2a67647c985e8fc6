/**
 * A package is proved on this device before it answers a frame: it loads in a child of its own, reproduces its golden frames, and
 * is fast enough, all while the model at work goes on.
 *
 * P1. (G6) The bytes are checked against the wanted digest once more, right before they are loaded.
 * P2. Without memory for a second child nothing is loaded: the model at work is not given up for one that may fail.
 * P3. What the machine may have done is not final at once: a child that was ended from outside, was not started or gave no
 *     answer in time gets a few tries, a disk that does not read many.
 */
import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import type { LoadedModel, LoadOptions, ModelPackage } from "@tributary/inference";
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { checkGoldenFrames, type GoldenReport, ModelHostExited, OnnxModelHost } from "@tributary/onnx";
import { PolicyKeeper } from "../policy-keeper.ts";
import { bareRunner, Slot } from "../slots.ts";
import { tooSlow } from "./latency.ts";

export type ProveOptions = {
  readonly dir: string;
  readonly digest: Digest;
  readonly load: LoadOptions;
  readonly memoryBytesMin: number;
  /** Its latency budget does not count. */
  readonly anySpeed: boolean;
  readonly sha256Hex: (text: string) => string;
};

export type Candidate = { readonly slot: Slot; readonly model: LoadedModel };

/** Throws Failure; the child is gone then. */
export async function prove(options: ProveOptions, signal: AbortSignal): Promise<Candidate> {
  mustHaveMemory(options.memoryBytesMin);
  const { pkg, model } = await load(options);
  const close = () => void model.close().catch(() => undefined);
  signal.addEventListener("abort", close, { once: true });
  try {
    signal.throwIfAborted();
    const policy = new PolicyKeeper(pkg, options.sha256Hex);
    await mustReproduce(model, pkg);
    if (!options.anySpeed) await mustBeFast(model, pkg);
    signal.throwIfAborted();
    return { slot: new Slot(pkg, policy, bareRunner(model), true), model };
  } catch (error) {
    close();
    throw signal.aborted ? signal.reason : failureOf(error);
  } finally {
    signal.removeEventListener("abort", close);
  }
}

async function load({ dir, digest, load }: ProveOptions): Promise<{ pkg: ModelPackage; model: LoadedModel }> {
  let pkg: ModelPackage | undefined;
  const host = new OnnxModelHost(async (folder) => {
    pkg = await loadPackage(folder, { digest }); // P1
    return pkg;
  });
  try {
    const model = await host.load(dir, load);
    return { pkg: pkg as ModelPackage, model };
  } catch (error) {
    throw failureOf(error);
  }
}

/** P3. What a model does by itself it would do again. */
function failureOf(error: unknown): Failure {
  if (error instanceof ModelHostExited) {
    return new Failure("model-crashed", error.isOwnDoing ? "give-up" : "ask-a-person", error.message, { cause: error });
  }
  if (error instanceof Failure) return error;
  const isOfSystem = typeof (error as NodeJS.ErrnoException | undefined)?.errno === "number";
  return isOfSystem
    ? new Failure("package-unreadable", "retry", reasonOf(error), { cause: error })
    : new Failure("model-unusable", "give-up", reasonOf(error), { cause: error });
}

async function mustReproduce(model: LoadedModel, pkg: ModelPackage): Promise<void> {
  const report = await checkGoldenFrames(model, pkg, readPackageFile);
  if (!report.passed) throw new Failure("golden-mismatch", "give-up", mismatchWords(report));
}

/** Of a report that did not pass. */
export function mismatchWords({ frames, failed }: GoldenReport): string {
  const { frame, reason } = frames.find(({ kind }) => kind === "failed") ?? {};
  return `${failed} of ${frames.length} golden frames are not reproduced; ${frame}: ${reason}`;
}

async function mustBeFast(model: LoadedModel, pkg: ModelPackage): Promise<void> {
  const what = await tooSlow(model, pkg);
  if (what !== null) throw new Failure("model-too-slow", "give-up", what);
}

/** P2. */
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
