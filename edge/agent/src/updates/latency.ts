/** Whether a loaded model is fast enough on this device: the median of decoding and running must fit the package's latency
 * budget, which is for the whole answer. As soon as more than half of all frames are over it, the median is, and
 * the test ends. */
import type { LoadedModel, ModelPackage } from "@tributary/inference";
import { readPackageFile } from "@tributary/model-store";

/** The golden frames, over and over. */
const FRAMES = 32;

/** Null: it is. Otherwise why not, in words. */
export async function medianTooSlow(model: Pick<LoadedModel, "infer">, pkg: ModelPackage): Promise<string | null> {
  const { latencyBudgetMs } = pkg.manifest;
  const { frames } = pkg.golden;
  const timesMs: number[] = [];
  let slow = 0;
  for (let i = 0; i < FRAMES && slow <= FRAMES / 2; i++) {
    const result = await model.infer(await readPackageFile(pkg, frames[i % frames.length]?.jpeg ?? ""));
    if (!result.ok) continue;
    const ms = result.inference.timingsMs.preprocess + result.inference.timingsMs.run;
    timesMs.push(ms);
    if (ms > latencyBudgetMs) slow += 1;
  }
  timesMs.sort((a, b) => a - b);
  const medianMs = timesMs[timesMs.length >> 1] ?? Number.POSITIVE_INFINITY;
  if (medianMs <= latencyBudgetMs) return null;
  return `${medianMs.toFixed(1)} ms for a golden frame in the median, the package allows ${latencyBudgetMs} ms`;
}
