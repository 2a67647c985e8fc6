/** A model that is to replace an active one reproduces its package's golden frames first, in its own process; so its first call is
 * not its slowest, either. Its restarts are not tested again. */
import type { LoadedModel, ModelHost, ModelPackage } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { readPackageFile } from "@tributary/model-store";
import { checkGoldenFrames } from "@tributary/onnx";

export function provenHost(host: ModelHost, pkg: ModelPackage): ModelHost {
  let isProven = false;
  return {
    async load(dir, options) {
      const model = await host.load(dir, options);
      if (!isProven) await prove(model, pkg);
      isProven = true;
      return model;
    },
  };
}

async function prove(model: LoadedModel, pkg: ModelPackage): Promise<void> {
  try {
    const { frames } = await checkGoldenFrames(model, pkg, readPackageFile);
    const bad = frames.find(({ kind }) => kind === "failed");
    if (bad === undefined) return;
    const message = `${pkg.manifest.name}@${pkg.manifest.version}, golden frame ${bad.frame}: ${bad.reason}`;
    throw new Failure("package-golden-mismatch", "give-up", message);
  } catch (error) {
    await model.close();
    throw error;
  }
}
