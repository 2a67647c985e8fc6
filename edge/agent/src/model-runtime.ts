/** Loads model packages on this machine and tests them, before and while they answer frames. */
import type { LoadedModel, ModelPackage } from "@tributary/inference";
import type { Digest } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { type Cores, checkGoldenFrames, OnnxModelHost } from "@tributary/onnx";
import type { AgentConfig } from "./config.ts";
import { isRaised } from "./cores.ts";
import { medianTooSlow } from "./updates/latency.ts";

export type LoadedPackage = { readonly pkg: ModelPackage; readonly model: LoadedModel };
/** `candidate`: a model on trial that answers no frame yet. */
type LoadedFor = "frames" | "candidate";

export interface ModelRuntime {
  /** Checks the bytes of the package in `dir`, against `digest` if there is one, and loads its model. Rejects with a Failure. */
  load(dir: string, digest: Digest | null, loadedFor: LoadedFor): Promise<LoadedPackage>;
  /** Why it does not reproduce its golden frames; null: it does. Rejects when they could not be tried. */
  goldenMismatch(loaded: LoadedPackage): Promise<string | null>;
  /** Why it is too slow for this device; null: it is not. */
  tooSlow(loaded: LoadedPackage): Promise<string | null>;
}

/** Each model in a process of its own. */
export class OwnProcesses implements ModelRuntime {
  readonly #config: AgentConfig["model"];
  readonly #cores: Cores | null;

  constructor(config: AgentConfig["model"], cores: Cores | null) {
    this.#config = config;
    this.#cores = cores;
  }

  async load(dir: string, digest: Digest | null, loadedFor: LoadedFor): Promise<LoadedPackage> {
    const raised = loadedFor === "frames" && isRaised(this.#config);
    const apart = this.#cores && { backgroundCore: this.#cores.background, isRaised: raised };
    let pkg: ModelPackage | undefined;
    const host = new OnnxModelHost(async (folder) => {
      pkg = await loadPackage(folder, digest === null ? {} : { digest });
      return pkg;
    });
    const model = await host.load(dir, { threads: this.#config.threads, ...apart });
    return { pkg: pkg as ModelPackage, model };
  }

  goldenMismatch({ pkg, model }: LoadedPackage): Promise<string | null> {
    return goldenMismatch(pkg, model);
  }

  tooSlow({ pkg, model }: LoadedPackage): Promise<string | null> {
    return medianTooSlow(model, pkg);
  }
}

export async function goldenMismatch(
  pkg: ModelPackage,
  model: Pick<LoadedModel, "digest" | "infer">,
): Promise<string | null> {
  const { passed, frames, failed } = await checkGoldenFrames(model, pkg, readPackageFile);
  if (passed) return null;
  const { frame, reason } = frames.find(({ kind }) => kind === "failed") ?? {};
  return `${failed} of ${frames.length} golden frames are not reproduced; ${frame}: ${reason}`;
}
