export {
  cifarLabels,
  someAnswer,
  someBootId,
  someDesired,
  someDigest,
  someDriftReview,
  someDriftVerdict,
  someExperiment,
  someExperimentEvidence,
  someFrame,
  someJpeg,
  someModel,
  somePolicy,
  somePrediction,
  somePredictions,
  someRegistration,
  someReported,
  someRequest,
  someResult,
  someRollout,
} from "./builders.ts";
export { decidedFrame, type PolicyBehaviour } from "./decided-frames.ts";
export { openDvc } from "./dvc.ts";
export { percent, quantilesOf } from "./figures.ts";
export { recordsIn, testKafka } from "./kafka.ts";
export { type Before, followContext, MemoryKafka, silentTelemetry } from "./memory-kafka.ts";
export { type Mlflow, mlflowEnv, startMlflow } from "./mlflow.ts";
export { type Mosquitto, startMosquitto } from "./mosquitto.ts";
export { type OtlpReceiver, otlpReceiver, type ReceivedSpan } from "./otlp-receiver.ts";
export {
  parseJsonLines,
  repositoryRoot,
  type SpawnedService,
  sabotaged,
  spawnProcess,
  spawnService,
  startProgram,
} from "./process.ts";
export { dimmed, type SampleFrame, sampleFrames, samplePhotos, sheetTiles } from "./samples.ts";
export { type ModelBehaviour, type SimulatedDevice, SimulatedFleet } from "./simulated-fleet.ts";
export { freePort, type TempDir, tempDir } from "./temp.ts";
export { someArchivedFrame, someDataset, someTrainingRun } from "./training-builders.ts";
export { isTritonInstalled, startTriton, type Triton } from "./triton.ts";
export { waitFor } from "./wait.ts";
