/** Preprocesses pictures for a remote model, exactly as its package specifies: the same child, decoder and normaliser as for a
 * local model, without inference. The package's files are checked as for a
 * model that runs (G6). A bad picture fails its own result only; a dead child fails all with `model-host-exited`. */
import {
  type InferenceResult,
  inputShape,
  jpegHeader,
  type LoadOptions,
  type ModelPackage,
  type OpenPackage,
} from "@tributary/inference";
import type { Digest } from "@tributary/kernel";
import { Failure } from "@tributary/kernel";
import { ChildModel, type HostLimits, hostLimits, PIXELS_MAX, startChild } from "./child-model.ts";

/** The tensor of one picture, row-major float32, without the batch's dimension. */
export type PreparedPicture =
  | { readonly ok: true; readonly tensor: Float32Array }
  | { readonly ok: false; readonly code: string; readonly message: string };

export interface Preprocessor {
  /** Of the package. */
  readonly digest: Digest;
  readonly pid: number;
  /** Of one picture's tensor. */
  readonly shape: readonly number[];
  /** Results in order. Rejects only when the child has exited (`model-host-exited`). */
  prepare(jpegs: readonly Uint8Array[]): Promise<readonly PreparedPicture[]>;
  readonly exited: Promise<number | null>;
  close(): Promise<void>;
}

/** The bytes of one of the package's files, checked. */
type ReadPackageFile = (pkg: ModelPackage, path: string) => Promise<Uint8Array>;

export class PreprocessHost {
  readonly #open: OpenPackage;
  readonly #read: ReadPackageFile;
  readonly #limits: HostLimits;

  constructor(open: OpenPackage, read: ReadPackageFile, limits: Partial<HostLimits> = {}) {
    this.#open = open;
    this.#read = read;
    this.#limits = { ...hostLimits, ...limits };
  }

  async load(packageDir: string, options: LoadOptions): Promise<Preprocessor> {
    const pkg = await this.#open(packageDir);
    const shape = await this.#shapeOf(pkg);
    const child = new ChildModel(pkg, startChild(pkg.dir, options), this.#limits);
    await child.startPreparing({
      preprocessing: pkg.preprocessing,
      shape,
      pixelsMax: options.pixelsMax ?? PIXELS_MAX,
    });
    return {
      digest: pkg.digest,
      pid: child.pid,
      shape,
      prepare: async (jpegs) => (await child.inferBatch(jpegs)).map(preparedOf),
      exited: child.exited,
      close: () => child.close(),
    };
  }

  async #shapeOf(pkg: ModelPackage): Promise<readonly number[]> {
    const { preprocessing, golden } = pkg;
    if (preprocessing.resize !== null) {
      return inputShape(preprocessing, preprocessing.resize.width, preprocessing.resize.height);
    }
    // Pictures are taken as they are, so the golden ones have the model's size.
    const path = golden.frames[0]?.jpeg ?? "";
    const header = jpegHeader(await this.#read(pkg, path));
    if (header === null) throw new Failure("package-golden-invalid", "give-up", `${pkg.dir}: ${path} is no JPEG`);
    return inputShape(preprocessing, header.width, header.height);
  }
}

const preparedOf = (result: InferenceResult): PreparedPicture =>
  result.ok ? { ok: true, tensor: result.inference.logits } : result;
