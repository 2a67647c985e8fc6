import { defineEvent } from "@tributary/telemetry";

export const labelJudged = defineEvent<{ frameId: string; label: string; fate: string }>({
  name: "label_judged",
  level: "debug",
  message: (e) => `"${e.label}" for ${e.frameId}: ${e.fate}`,
  counter: {
    name: "tributary_router_labels_total",
    help: "Labels from ground-truth.v1 by their outcome: used for learning, or why not",
    labels: ["fate"],
  },
});

/** The label names an unknown frame or class, and needs a person. `labelJudged` counts it. */
export const labelRefused = defineEvent<{ frameId: string; label: string; fate: string }>({
  name: "label_refused",
  level: "warn",
  message: (e) => `"${e.label}" for ${e.frameId} is not learned from: ${e.fate}`,
});

type Relearned = {
  readonly modelDigest: string;
  readonly target: string;
  readonly why: string;
  readonly scoreMin: number;
  readonly epsilon: number;
  readonly labels: number;
};

export const policyRelearned = defineEvent<Relearned & { readonly policyVersion: string }>({
  name: "policy_relearned",
  level: "info",
  message: (e) =>
    `policy ${e.policyVersion.slice(0, 12)} for model ${e.modelDigest.slice(0, 12)} and ${e.target}: ${e.why}, by ${e.labels} labels; sent above ${e.scoreMin}, loss rate at most ${e.epsilon.toFixed(4)}`,
  counter: {
    name: "tributary_router_policies_relearned_total",
    help: "Policies published because labels require them",
    labels: ["why"],
  },
});

export const policyFrozen = defineEvent<Relearned & { by: string }>({
  name: "policy_frozen",
  level: "warn",
  message: (e) =>
    `labels would change the policy of model ${e.modelDigest.slice(0, 12)} (${e.why}), but ${e.by} runs: it stays`,
  counter: {
    name: "tributary_router_policies_frozen_total",
    help: "Times labels required a new policy while an experiment or a rollout ran",
    labels: ["why"],
  },
});

export const policyStands = defineEvent<{
  modelDigest: string;
  why: string;
  labels: number;
  lossRate: number;
  share: number;
}>({
  name: "policy_stands",
  level: "debug",
  message: (e) =>
    `model ${e.modelDigest.slice(0, 12)}: ${e.why} by ${e.labels} labels; loss rate ${e.lossRate.toFixed(4)}, share sent ${e.share.toFixed(3)}`,
});

export const learningFailed = defineEvent<{ code: string; reason: string }>({
  name: "learning_failed",
  level: "warn",
  message: (e) => `labels are evaluated again later: ${e.reason}`,
  counter: {
    name: "tributary_router_learning_failures_total",
    help: "Rounds of learning that ended by an error",
    labels: ["code"],
  },
});
