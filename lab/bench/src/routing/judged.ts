/** Every test photo through both models, by the path frames take: camera JPEG, the model's child, logits. */
import type { LoadedModel } from "@tributary/inference";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { type Calibrated, calibrate, type JudgedFrame } from "@tributary/routing";
import { sampleFrames } from "@tributary/testing";

export type TestFrame = JudgedFrame & {
  readonly calibrated: Calibrated;
  readonly label: number;
};

/** A photo with the answers of both models. */
export type JudgedPhoto = { readonly label: number; readonly edge: Float32Array; readonly cloud: Float32Array };

const BATCH = 50;

export async function judgedPhotos(
  edgeDir: string,
  cloudDir: string,
  progress: (line: string) => void,
): Promise<readonly JudgedPhoto[]> {
  progress("the test photos become JPEGs, as the sample camera makes them");
  const frames = await sampleFrames();
  const jpegs = frames.map(({ jpeg }) => jpeg);
  const edge = await logitsOf(edgeDir, jpegs, progress);
  const cloud = await logitsOf(cloudDir, jpegs, progress);
  return frames.map(({ label }, i) => ({
    label,
    edge: edge[i] ?? new Float32Array(),
    cloud: cloud[i] ?? new Float32Array(),
  }));
}

export const testFrames = (photos: readonly JudgedPhoto[], temperature: number): readonly TestFrame[] =>
  photos.map(({ label, edge, cloud }) => {
    const calibrated = calibrate(edge, temperature);
    const cloudRight = calibrate(cloud, 1).labelIndex === label;
    return { calibrated, label, edgeRight: calibrated.labelIndex === label, cloudRight };
  });

export async function logitsOf(
  dir: string,
  jpegs: readonly Buffer[],
  progress: (line: string) => void,
): Promise<readonly Float32Array[]> {
  const model: LoadedModel = await new OnnxModelHost(loadPackage).load(dir, { threads: 2 });
  const logits: Float32Array[] = [];
  try {
    for (let from = 0; from < jpegs.length; from += BATCH) {
      const results = await model.inferBatch(jpegs.slice(from, from + BATCH));
      for (const result of results) {
        if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
        logits.push(result.inference.logits);
      }
      if (logits.length % 1_000 === 0) progress(`${model.manifest.name}: ${logits.length} of ${jpegs.length}`);
    }
  } finally {
    await model.close();
  }
  return logits;
}
