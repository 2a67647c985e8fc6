/** Loads model packages on this machine and tests them, before and while they answer frames. */
import type { LoadedModel, ModelPackage, RealTime } from "@tributary/inference";
import type { Digest } from "@tributary/kernel";
import { endSoonerThanHost } from "@tributary/kernel/processes";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { type Cores, checkGoldenFrames, type HostLimits, OnnxModelHost } from "@tributary/onnx";
import { type AgentConfig, longestDeadlineOf, shortestDeadlineOf } from "./config.ts";
import { isRaised, priorities } from "./cores.ts";
import { type Measured, measured, type Promised } from "./driving/lite.ts";
import { medianTooSlow } from "./updates/latency.ts";

export type LoadedPackage = { readonly pkg: ModelPackage; readonly model: LoadedModel };
/** `candidate`: a model on trial that answers no frame yet. */
export type LoadedFor = "model" | "lite" | "candidate";

export interface ModelRuntime {
  /** Checks the bytes of the package in `dir`, against `digest` if there is one, and loads its model. Rejects with a Failure. */
  load(dir: string, digest: Digest | null, loadedFor: LoadedFor): Promise<LoadedPackage>;
  /** A candidate has become the model. */
  committed(model: LoadedModel): void;
  /** Why it does not reproduce its golden frames; null: it does. Rejects when they could not be tried. */
  goldenMismatch(loaded: LoadedPackage): Promise<string | null>;
  /** Why it is too slow for this device; null: it is not. */
  tooSlow(loaded: LoadedPackage): Promise<string | null>;
  /** What it takes on this device, for this picture or its golden frames. Rejects with a Failure. */
  measured(loaded: LoadedPackage, picture: string | undefined, promised: Promised): Promise<Measured>;
}

/** Each model in a process of its own. */
export class OwnProcesses implements ModelRuntime {
  readonly #config: AgentConfig["model"];
  readonly #cores: Cores | null;
  readonly #limits: Partial<HostLimits>;
  readonly #deadlineMsMax: number | null;
  readonly #onNotRaised: (reason: string) => void;
  #isNotRaised = false;

  /** `onNotRaised`: called once with why LITE's process does not go first. */
  constructor(
    config: Pick<AgentConfig, "model" | "cameras">,
    cores: Cores | null,
    onNotRaised: (reason: string) => void = () => {},
  ) {
    this.#onNotRaised = onNotRaised;
    this.#config = config.model;
    this.#cores = cores;
    const deadlineMs = shortestDeadlineOf(config);
    this.#deadlineMsMax = longestDeadlineOf(config);
    const answerMsMax = config.model.answerMsMax ?? (deadlineMs === null ? undefined : answerMsMaxOf(deadlineMs));
    this.#limits = answerMsMax === undefined ? {} : { answerMsMax };
  }

  async load(dir: string, digest: Digest | null, loadedFor: LoadedFor): Promise<LoadedPackage> {
    const apart = this.#cores && { backgroundCore: this.#cores.background, ...this.#raised(loadedFor) };
    let pkg: ModelPackage | undefined;
    const host = new OnnxModelHost(async (folder) => {
      pkg = await loadPackage(folder, digest === null ? {} : { digest });
      return pkg;
    }, this.#limits);
    const model = await host.load(dir, { threads: this.#config.threads, ...apart });
    if (typeof model.notRaised === "string" && !this.#isNotRaised) {
      this.#isNotRaised = true;
      this.#onNotRaised(model.notRaised);
    }
    // LITE has to be there when memory is short, and the full model is the larger one.
    if (this.#deadlineMsMax !== null && loadedFor !== "lite") endSoonerThanHost(model.pid, OOM_SCORE_OF_FULL);
    return { pkg: pkg as ModelPackage, model };
  }

  committed(model: LoadedModel): void {
    const { realTime } = this.#raised("model");
    if (this.#cores !== null && realTime !== undefined) model.raise(realTime);
  }

  #raised(loadedFor: LoadedFor): { realTime?: RealTime } {
    if (loadedFor === "candidate" || !isRaised(this.#config)) return {};
    // A picture of the camera with the longest deadline may be the largest.
    const computesMsMax = Math.max(COMPUTES_MS_MIN, this.#deadlineMsMax ?? 0);
    return { realTime: { priority: priorities[loadedFor], ...(loadedFor === "lite" && { computesMsMax }) } };
  }

  goldenMismatch({ pkg, model }: LoadedPackage): Promise<string | null> {
    return goldenMismatch(pkg, model);
  }

  tooSlow({ pkg, model }: LoadedPackage): Promise<string | null> {
    return medianTooSlow(model, pkg);
  }

  measured(loaded: LoadedPackage, picture: string | undefined, promised: Promised): Promise<Measured> {
    return measured(loaded, picture, promised);
  }
}

const OOM_SCORE_OF_FULL = 300;

/** A collection of garbage computes too. */
const COMPUTES_MS_MIN = 50;

/** Another process answers sooner than one that hangs; loading one takes about a second. */
const answerMsMaxOf = (deadlineMs: number): number => Math.max(1_000, 20 * deadlineMs);

export async function goldenMismatch(
  pkg: ModelPackage,
  model: Pick<LoadedModel, "digest" | "infer">,
): Promise<string | null> {
  const { passed, frames, failed } = await checkGoldenFrames(model, pkg, readPackageFile);
  if (passed) return null;
  const { frame, reason } = frames.find(({ kind }) => kind === "failed") ?? {};
  return `${failed} of ${frames.length} golden frames are not reproduced; ${frame}: ${reason}`;
}
