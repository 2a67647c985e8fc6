/** Runs models with ONNX Runtime, one child process each: a hostile or leaking model cannot take its host along. A model
 * loads only from a package whose every file was just checked, in a child that checks the model again (G6). child-model.ts has
 * the guarantees while it runs. */
import { resolve as resolvePath } from "node:path";
import {
  type InferenceResult,
  type LoadedModel,
  type LoadOptions,
  type ModelHost,
  type OpenPackage,
  type Preprocessing,
  packageFiles,
} from "@tributary/inference";
import { ChildModel, type HostLimits, hostLimits, PIXELS_MAX, startChild } from "./child-model.ts";

export { type HostLimits, ModelHostExited } from "./child-model.ts";

export interface OnnxModel extends LoadedModel {
  /** Preprocesses pictures in this way from now on, instead of as the package specifies. A model that does not take that is
   * closed, and the failure has the reason. Not to be called while it infers. */
  prepareBy(preprocessing: Preprocessing): Promise<void>;
  /** Tensors preprocessed elsewhere, each row-major and of one picture's shape, one run each; results in order. Only their
   * logits have a meaning. */
  inferTensors(tensors: readonly Float32Array[]): Promise<readonly InferenceResult[]>;
}

export class OnnxModelHost implements ModelHost {
  readonly #open: OpenPackage;
  readonly #limits: HostLimits;

  constructor(open: OpenPackage, limits: Partial<HostLimits> = {}) {
    this.#open = open;
    this.#limits = { ...hostLimits, ...limits };
  }

  async load(packageDir: string, options: LoadOptions): Promise<OnnxModel> {
    const pkg = await this.#open(packageDir);
    const { dir, manifest, preprocessing, labels } = pkg;
    const model = new ChildModel(pkg, startChild(dir, options), this.#limits);
    await model.start({
      modelPath: resolvePath(dir, packageFiles.model),
      modelSha256: manifest.files[packageFiles.model]?.sha256 ?? "",
      tensors: manifest.tensors,
      classes: labels.length,
      preprocessing,
      threads: options.threads,
      pixelsMax: options.pixelsMax ?? PIXELS_MAX,
    });
    return model;
  }
}
