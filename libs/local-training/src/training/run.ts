/** What the steps of one training share. */
import type { Normaliser } from "@tributary/onnx";
import type { LocalTraining, LocalTrainingProgress } from "../local-training.ts";
import type { Budget } from "./budget.ts";
import type { FrameFile } from "./frame-file.ts";
import type { Inputs } from "./inputs.ts";

export type Run = {
  readonly training: LocalTraining;
  readonly inputs: Inputs;
  readonly frames: FrameFile;
  readonly normaliser: Normaliser;
  readonly budget: Budget;
  readonly notes: string[];
  /** Throws where another process took the training over. */
  assertOwned(): Promise<void>;
  report(progress: LocalTrainingProgress): void;
};
