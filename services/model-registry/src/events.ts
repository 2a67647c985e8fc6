import { defineEvent } from "@tributary/telemetry";

export const modelListed = defineEvent<{ name: string; version: string; modelDigest: string; by: string }>({
  name: "model_listed",
  level: "info",
  message: (e) => `${e.name} ${e.version} is listed, pushed by ${e.by}`,
  counter: { name: "tributary_registry_models_listed_total", help: "Versions that were listed" },
});

export const modelRefused = defineEvent<{ modelDigest: string; code: string; reason: string }>({
  name: "model_refused",
  level: "warn",
  message: (e) => `${e.modelDigest} is not listed: ${e.reason}`,
  counter: { name: "tributary_registry_models_refused_total", help: "Packages refused, by reason", labels: ["code"] },
});

export const packageUnreadable = defineEvent<{ modelDigest: string; reason: string }>({
  name: "package_unreadable",
  level: "error",
  message: (e) => `the manifest of listed ${e.modelDigest} cannot be read, so its files are refused: ${e.reason}`,
});

export const modelRevoked = defineEvent<{ name: string; version: string; by: string; reason: string }>({
  name: "model_revoked",
  level: "warn",
  message: (e) => `${e.name} ${e.version} is revoked by ${e.by}: ${e.reason}`,
  counter: { name: "tributary_registry_models_revoked_total", help: "Versions that were revoked" },
});

export const aliasChanged = defineEvent<{ name: string; alias: string; version: string; by: string }>({
  name: "alias_changed",
  level: "info",
  message: (e) => `${e.name}: ${e.alias} is ${e.version === "" ? "nobody" : e.version} now, by ${e.by}`,
  counter: { name: "tributary_registry_alias_changes_total", help: "Aliases given or taken", labels: ["alias"] },
});

export const examining = defineEvent<{ name: string; version: string; line: string }>({
  name: "examining",
  level: "info",
  message: (e) => `${e.name} ${e.version}: ${e.line}`,
});

export const validationExamined = defineEvent<{ name: string; line: string }>({
  name: "validation_examined",
  level: "info",
  message: (e) => `validation frames of ${e.name}: ${e.line}`,
});

export const validationPushed = defineEvent<{ name: string; digest: string; frames: number; by: string }>({
  name: "validation_pushed",
  level: "info",
  message: (e) => `${e.name} is judged on ${e.frames} frames now, pushed by ${e.by}: ${e.digest}`,
  counter: { name: "tributary_registry_validation_sets_total", help: "Validation sets that were pushed" },
});

export const validationRefused = defineEvent<{ name: string; digest: string; code: string; reason: string }>({
  name: "validation_refused",
  level: "warn",
  message: (e) => `validation frames ${e.digest} of ${e.name} are refused: ${e.reason}`,
  counter: {
    name: "tributary_registry_validation_sets_refused_total",
    help: "Validation sets refused, by reason",
    labels: ["code"],
  },
});

export const gateStarted = defineEvent<{ name: string; version: string; champion: string }>({
  name: "gate_started",
  level: "info",
  message: (e) => `${e.name}: the gate compares ${e.version} with ${e.champion}`,
});

export const gateProgress = defineEvent<{ name: string; version: string; line: string }>({
  name: "gate_progress",
  level: "info",
  message: (e) => `gate of ${e.name} ${e.version}: ${e.line}`,
});

export const gateEnded = defineEvent<{ name: string; version: string; outcome: string; failed: string; ms: number }>({
  name: "gate_ended",
  level: "info",
  message: (e) =>
    `${e.name} ${e.version} ${e.outcome === "passed" ? "passed the gate" : `stops at the gate: ${e.failed}`}`,
  counter: { name: "tributary_registry_gates_total", help: "Gates that ended", labels: ["outcome"] },
  histogram: {
    name: "tributary_registry_gate_seconds",
    help: "Seconds of a gate",
    buckets: [1, 5, 15, 30, 60, 120, 300, 600, 1_800],
    value: (e) => e.ms / 1_000,
  },
});

export const gateAttemptFailed = defineEvent<{ name: string; version: string; code: string; reason: string }>({
  name: "gate_attempt_failed",
  level: "warn",
  message: (e) => `the gate of ${e.name} ${e.version} is retried: ${e.reason}`,
  counter: {
    name: "tributary_registry_gate_troubles_total",
    help: "Gates that did not finish",
    labels: ["code"],
  },
});

export const gateForced = defineEvent<{ name: string; version: string; by: string; reason: string }>({
  name: "gate_forced",
  level: "warn",
  message: (e) => `${e.by} lets ${e.name} ${e.version} past the gate: ${e.reason}`,
  counter: { name: "tributary_registry_gates_forced_total", help: "Gates that somebody forced" },
});

export const rebuildFailed = defineEvent<{ reason: string }>({
  name: "rebuild_failed",
  level: "warn",
  message: (e) => `the registry cannot be rebuilt yet, trying again: ${e.reason}`,
});

export const listingReconciled = defineEvent<{ listed: number; unlisted: number }>({
  name: "listing_reconciled",
  level: "warn",
  message: (e) => `signed metadata differed from models.v1: ${e.listed} listed, ${e.unlisted} removed`,
});

export const metadataRefreshed = defineEvent<{ expiresAt: number }>({
  name: "metadata_refreshed",
  level: "info",
  message: (e) => `metadata is signed again, valid until ${new Date(e.expiresAt).toISOString()}`,
  counter: { name: "tributary_registry_metadata_refreshes_total", help: "Metadata signed by the timer" },
});

export const metadataRefreshFailed = defineEvent<{ reason: string }>({
  name: "metadata_refresh_failed",
  level: "error",
  message: (e) => `signed metadata could not be refreshed: ${e.reason}`,
  counter: { name: "tributary_registry_metadata_troubles_total", help: "Timestamps that could not be signed" },
});

export const rootExpiring = defineEvent<{ rootVersion: number; expiresAt: number; daysLeft: number }>({
  name: "root_expiring",
  level: "warn",
  message: (e) => {
    const at = new Date(e.expiresAt).toISOString();
    const ends = e.daysLeft < 0 ? `ended at ${at}; devices` : `ends at ${at}, in ${e.daysLeft} days; devices then`;
    const renew = "tributary models keys rotate DATADIR --renew, and restart the registry";
    return `root ${e.rootVersion} of the signed metadata ${ends} refuse all of it. Renew it: ${renew}`;
  },
});

export const blobStored = defineEvent<{ digest: string; bytes: number }>({
  name: "blob_stored",
  level: "debug",
  message: (e) => `${e.digest}: ${e.bytes} bytes`,
  counter: { name: "tributary_registry_blob_bytes_in_total", help: "Bytes stored as blobs", value: (e) => e.bytes },
});

export const blobRefused = defineEvent<{ digest: string; code: string; reason: string }>({
  name: "blob_refused",
  level: "warn",
  message: (e) => `${e.digest}: ${e.reason}`,
  counter: { name: "tributary_registry_blobs_refused_total", help: "Blobs refused, by reason", labels: ["code"] },
});

export const blobServed = defineEvent<{ digest: string; bytes: number }>({
  name: "blob_served",
  level: "trace",
  message: (e) => `${e.digest}: ${e.bytes} bytes`,
  counter: { name: "tributary_registry_blob_bytes_out_total", help: "Bytes of blobs sent", value: (e) => e.bytes },
});

export const blobsSwept = defineEvent<{ count: number; bytes: number }>({
  name: "blobs_swept",
  level: "info",
  message: (e) => `${e.count} blobs that no model names were removed: ${e.bytes} bytes`,
  counter: { name: "tributary_registry_blobs_swept_total", help: "Unused blobs removed", value: (e) => e.count },
});

export const mlflowImported = defineEvent<{ model: string; mlflowVersion: string; name: string; version: string }>({
  name: "mlflow_imported",
  level: "info",
  message: (e) => `MLflow's ${e.model} ${e.mlflowVersion} is ${e.name} ${e.version}, the challenger`,
  counter: { name: "tributary_registry_mlflow_imports_total", help: "Models imported from MLflow" },
});

export const mlflowKnown = defineEvent<{
  model: string;
  mlflowVersion: string;
  name: string;
  version: string;
  what: string;
}>({
  name: "mlflow_known",
  level: "info",
  message: (e) => `MLflow's ${e.model} ${e.mlflowVersion} ${e.what}`,
});

export const mlflowImportFailed = defineEvent<{ model: string; code: string; reason: string }>({
  name: "mlflow_import_failed",
  level: "warn",
  message: (e) => `MLflow's ${e.model}: ${e.reason}`,
  counter: { name: "tributary_registry_mlflow_troubles_total", help: "Failed polls of MLflow", labels: ["code"] },
});
