/** Runs a package's golden frames through the production path of this device (METHODS B1): the same decoder, resizer and
 * model that frames take.
 *
 * F1. Within one implementation the tensor's digest is equal. Between two (another build of the codec, another CPU) the
 *     resized pixels agree within 2 of 255; anything else fails.
 * F2. The answer must be the same class, of finite numbers; by how much logits differ is reported. */
import {
  comparePixels,
  type GoldenFrame,
  type InferenceResult,
  type LoadedModel,
  type ModelPackage,
} from "@tributary/inference";
import { invariant } from "@tributary/kernel";

export type GoldenVerdict = {
  readonly frame: string;
  readonly kind: "equal" | "within-band" | "failed";
  /** Why it failed. */
  readonly reason: string | null;
  /** Largest difference of a resized pixel, of 255. */
  readonly pixelDifferenceMax: number;
  readonly logitsDifferenceMax: number;
};

export type GoldenReport = {
  /** false as soon as one frame fails. */
  readonly passed: boolean;
  readonly equal: number;
  readonly withinBand: number;
  readonly failed: number;
  readonly frames: readonly GoldenVerdict[];
};

export type ReadPackageFile = (pkg: ModelPackage, path: string) => Promise<Uint8Array>;

export async function checkGoldenFrames(
  model: Pick<LoadedModel, "digest" | "infer">,
  pkg: ModelPackage,
  read: ReadPackageFile,
): Promise<GoldenReport> {
  invariant(model.digest === pkg.digest, "golden frames belong to the model they are shown to");
  const frames: GoldenVerdict[] = [];
  for (const golden of pkg.golden.frames) {
    const result = await model.infer(await read(pkg, golden.jpeg), { tensorDigest: true, pixels: true });
    frames.push(judgeGoldenFrame(golden, await read(pkg, golden.pixels), result));
  }
  const count = (kind: GoldenVerdict["kind"]) => frames.filter((frame) => frame.kind === kind).length;
  return {
    passed: count("failed") === 0,
    equal: count("equal"),
    withinBand: count("within-band"),
    failed: count("failed"),
    frames,
  };
}

export function judgeGoldenFrame(golden: GoldenFrame, expected: Uint8Array, result: InferenceResult): GoldenVerdict {
  const frame = golden.jpeg;
  if (!result.ok) {
    const reason = `${result.code}: ${result.message}`;
    return { frame, kind: "failed", reason, pixelDifferenceMax: Number.NaN, logitsDifferenceMax: Number.NaN };
  }
  const { logits, pixels, tensorDigest } = result.inference;
  const comparison = comparePixels(pixels ?? new Uint8Array(), expected);
  const isEqual = tensorDigest === golden.tensorDigest;
  const isSameClass = argmax(logits) === argmax(golden.logits);
  const reason = !logits.every(Number.isFinite)
    ? "its outputs are not finite numbers"
    : !isSameClass
      ? `class ${argmax(logits)}, expected ${argmax(golden.logits)}`
      : isEqual || comparison.kind === "equal" || comparison.kind === "within-band"
        ? null
        : `pixels differ by up to ${comparison.differenceMax} of 255`;
  // Equal pixels under another digest mean another normalisation.
  const isNormalisedOtherwise = !isEqual && comparison.kind === "equal";
  return {
    frame,
    kind: reason !== null || isNormalisedOtherwise ? "failed" : isEqual ? "equal" : "within-band",
    reason: reason ?? (isNormalisedOtherwise ? "equal pixels, but the tensor's digest differs" : null),
    pixelDifferenceMax: comparison.differenceMax,
    logitsDifferenceMax: logits.reduce(
      (largest, value, i) => Math.max(largest, Math.abs(value - (golden.logits[i] ?? Number.NaN))),
      0,
    ),
  };
}

const argmax = (values: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
};
