/** Every test photo through both models, by the path frames take: camera JPEG, the model's child, logits. */
import type { LoadedModel } from "@tributary/inference";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { type Calibrated, calibrate, type JudgedFrame } from "@tributary/routing";
import { type SampleFrame, sampleFrames } from "@tributary/testing";

export type TestFrame = JudgedFrame & {
  readonly calibrated: Calibrated;
  readonly label: number;
};

const BATCH = 50;

export async function judgeAll(
  edgeDir: string,
  cloudDir: string,
  temperature: number,
  progress: (line: string) => void,
): Promise<readonly TestFrame[]> {
  progress("the test photos become JPEGs, as the sample camera makes them");
  const frames = await sampleFrames();
  const edge = await logitsOf(edgeDir, frames, progress);
  const cloud = await logitsOf(cloudDir, frames, progress);
  return frames.map(({ label }, i) => {
    const calibrated = calibrate(edge[i] ?? [], temperature);
    return {
      calibrated,
      label,
      edgeRight: calibrated.labelIndex === label,
      cloudRight: calibrate(cloud[i] ?? [], 1).labelIndex === label,
    };
  });
}

async function logitsOf(dir: string, frames: readonly SampleFrame[], progress: (line: string) => void) {
  const model: LoadedModel = await new OnnxModelHost(loadPackage).load(dir, { threads: 2 });
  const logits: Float32Array[] = [];
  try {
    for (let from = 0; from < frames.length; from += BATCH) {
      const results = await model.inferBatch(frames.slice(from, from + BATCH).map(({ jpeg }) => jpeg));
      for (const result of results) {
        if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
        logits.push(result.inference.logits);
      }
      if (logits.length % 1_000 === 0) progress(`${model.manifest.name}: ${logits.length} of ${frames.length}`);
    }
  } finally {
    await model.close();
  }
  return logits;
}
