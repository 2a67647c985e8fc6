/** Judges the pictures of each camera by the cells that come with a model's answers, and reports each change. The driver
 * counts an implausible frame as missed. */
import { type Implausible, Plausibility } from "@tributary/driving";
import type { InferenceResult, InferenceWant } from "@tributary/inference";

export type CameraJudged = {
  readonly cameraId: string;
  /** Null: it is plausible again. */
  readonly verdict: Implausible | null;
};

export class CameraWatch {
  /** Each request to a model asks for this. */
  readonly want: Partial<InferenceWant>;
  readonly #cameras: ReadonlyMap<string, Plausibility>;
  readonly #onJudged: (judged: CameraJudged) => void;

  /** `cameraIds`: those to judge. */
  constructor(cameraIds: readonly string[], onJudged: (judged: CameraJudged) => void) {
    this.#cameras = new Map(cameraIds.map((id) => [id, new Plausibility()]));
    this.#onJudged = onJudged;
    this.want = cameraIds.length === 0 ? {} : { cells: true };
  }

  /** `at`: in ms, monotonic. Null: it is plausible, or not judged. */
  next(cameraId: string, result: InferenceResult, at: number): Implausible | null {
    const camera = this.#cameras.get(cameraId);
    if (camera === undefined || !result.ok || result.inference.cells === null) return null;
    const before = camera.verdict;
    const verdict = camera.next(result.inference.cells, at);
    if (verdict !== before) this.#onJudged({ cameraId, verdict });
    return verdict;
  }
}
