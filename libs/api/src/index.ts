export { type Answer, type AnswerFilter, type AnswerQuery, answerSources, settledBy } from "./classifications.ts";
export { ApiFailure, type Client, clientOf, itemsOfPages, type Resources } from "./client.ts";
export type { BaseSetRequest, DatasetDetail, DatasetQuery, DatasetView } from "./datasets.ts";
export {
  type Device,
  type DevicePage,
  type DevicePatch,
  type DeviceQuery,
  type DeviceUpdate,
  LABELS_PER_DEVICE_MAX,
  type RegisteredDevice,
  type RegistrationRequest,
  type Throttle,
} from "./devices.ts";
export {
  type DriftFilter,
  type DriftProfile,
  type DriftProfileQuery,
  type DriftProfiles,
  type DriftQuery,
  type DriftReviewCount,
  type DriftReviewRequest,
  type DriftReviewView,
  type DriftVerdictDetail,
  type DriftVerdictView,
  driftCauses,
} from "./drift.ts";
export type {
  ExperimentDetail,
  ExperimentEventQuery,
  ExperimentEventView,
  ExperimentFilter,
  ExperimentQuery,
  ExperimentRequest,
  ExperimentStop,
  ExperimentView,
} from "./experiments.ts";
export {
  type ArchivedFramePage,
  type ArchivedFrameQuery,
  type ArchivedFrameView,
  archiveReasons,
  frameArchiveApi,
} from "./frame-archive.ts";
export type { Explanation, ExplanationStep } from "./frames.ts";
export {
  LABELS_MAX,
  type Label,
  type LabelBatch,
  type LabelRefusal,
  type LabelResult,
  type NextLabel,
  type NextLabelQuery,
} from "./labels.ts";
export {
  aliasName,
  type ModelRegistryAliasRequest,
  type ModelRegistryByRequest,
  type ModelRegistryReasonRequest,
  modelRegistryApi,
  type PushRequest,
  type RegisteredVersion,
  type ValidationDetail,
  type ValidationView,
  type VersionQuery,
} from "./model-registry.ts";
export type { AliasRequest, ByRequest, ModelVersion, ModelView, ReasonRequest } from "./models.ts";
export { openApiOf } from "./openapi.ts";
export type { Policy, PolicyFields, PolicyPush, PolicyVersion, PolicyVersionsQuery } from "./policies.ts";
export { problemSchema } from "./problem.ts";
export { type GatewayClient, gatewayClient, publicApi } from "./public-api.ts";
export {
  type CommandRequest,
  type CreationRequest,
  type ExperimentCreationRequest,
  type ExperimentStopRequest,
  rolloutManagerApi,
} from "./rollout-manager.ts";
export type {
  NamedPackage,
  RolloutCommand,
  RolloutCommandRequest,
  RolloutDetail,
  RolloutDevice,
  RolloutDevices,
  RolloutDevicesQuery,
  RolloutEventQuery,
  RolloutEventView,
  RolloutFilter,
  RolloutQuery,
  RolloutRequest,
  RolloutView,
} from "./rollouts.ts";
export { type Input, pathOf, type Route } from "./route.ts";
export { trainerApi } from "./trainer.ts";
export {
  type TrainingCancelRequest,
  type TrainingDetail,
  type TrainingEventQuery,
  type TrainingEventView,
  type TrainingFilter,
  type TrainingLogQuery,
  type TrainingPhaseName,
  type TrainingQuery,
  type TrainingRequest,
  type TrainingResumeRequest,
  type TrainingView,
  trainingPhases,
} from "./trainings.ts";
