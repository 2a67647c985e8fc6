/**
 * The routing policy: what a device decides by.
 *
 * A policy is parsed once, at the border; inside it is trusted. `policyVersion` is the SHA-256 of the content in canonical
 * form, so equal content has one version everywhere. */
import type { RoutingPolicy } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";

/** `policy.json` of an edge package: the policy before it is tied to a package and a moment. */
export type PolicyContent = Omit<RoutingPolicy, "policyVersion" | "modelDigest" | "createdAt">;

export const POLICY_FEATURES = ["confidence", "margin", "entropy", "logitMargin"] as const;
export type PolicyFeature = (typeof POLICY_FEATURES)[number];

export const PRIORITY_LABELS_MAX = 1000;

/** Throws Failure `policy-invalid` naming every wrong field. */
export function parsePolicy(json: unknown): PolicyContent {
  const wrong: string[] = [];
  const root = asRecord(json, "policy", wrong);
  const labels = strings(root.labels, "labels", wrong);
  const features = strings(root.features, "features", wrong);
  for (const feature of features) {
    if (!(POLICY_FEATURES as readonly string[]).includes(feature)) {
      wrong.push(`features: "${feature}" is not one of ${POLICY_FEATURES.join(", ")}`);
    }
  }
  const share = (name: string) => number(root[name], name, 0, 1, wrong);
  const content: PolicyContent = {
    cloudTarget: text(root.cloudTarget, "cloudTarget", wrong),
    labels,
    temperature: number(root.temperature, "temperature", 1e-3, 1e3, wrong),
    features,
    edgeRight: logistic(root.edgeRight, "edgeRight", features.length, labels.length, wrong),
    cloudRight: logistic(root.cloudRight, "cloudRight", features.length, labels.length, wrong),
    scoreMin: number(root.scoreMin, "scoreMin", -1e6, 1e6, wrong),
    priorityLabels: priorityLabels(root.priorityLabels, labels, wrong),
    samplePropensityMin: number(root.samplePropensityMin, "samplePropensityMin", 1e-6, 1, wrong),
    sampleBudget: share("sampleBudget"),
    sampleUncertaintyMean: number(root.sampleUncertaintyMean, "sampleUncertaintyMean", 0, 0.5, wrong),
    escalationShareMax: share("escalationShareMax"),
    burstMs: integer(root.burstMs, "burstMs", 1, 86_400_000, wrong),
    priorityReserve: share("priorityReserve"),
    deadlineMs: integer(root.deadlineMs, "deadlineMs", 1, 86_400_000, wrong),
    guarantee: guarantee(root.guarantee, wrong),
  };
  if (wrong.length > 0) throw new Failure("policy-invalid", "ask-a-person", `routing policy: ${wrong.join("; ")}`);
  return content;
}

/** Ties a policy to its edge package. `sha256Hex` comes from the caller: the core has no cryptography. */
export function completePolicy(
  content: PolicyContent,
  tie: { readonly modelDigest: string; readonly createdAt: number; readonly sha256Hex: (text: string) => string },
): RoutingPolicy {
  const versioned = { ...content, modelDigest: tie.modelDigest };
  return { ...versioned, policyVersion: tie.sha256Hex(canonicalJson(versioned)), createdAt: tie.createdAt };
}

/** JSON with sorted keys and no spaces. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

type Fields = Readonly<Record<string, unknown>>;

function asRecord(value: unknown, name: string, wrong: string[]): Fields {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as Fields;
  wrong.push(`${name}: an object is needed`);
  return {};
}

function text(value: unknown, name: string, wrong: string[]): string {
  if (typeof value === "string" && value.length > 0) return value;
  wrong.push(`${name}: a text is needed`);
  return "";
}

function strings(value: unknown, name: string, wrong: string[]): string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string")) return value;
  wrong.push(`${name}: a list of texts is needed`);
  return [];
}

function number(value: unknown, name: string, min: number, max: number, wrong: string[]): number {
  if (typeof value === "number" && value >= min && value <= max) return value;
  wrong.push(`${name}: ${JSON.stringify(value)} is not a number from ${min} to ${max}`);
  return min;
}

function integer(value: unknown, name: string, min: number, max: number, wrong: string[]): number {
  const parsed = number(value, name, min, max, wrong);
  if (!Number.isInteger(parsed)) wrong.push(`${name}: ${parsed} is not a whole number`);
  return parsed;
}

function numbers(value: unknown, name: string, length: number, wrong: string[]): number[] {
  if (Array.isArray(value) && value.length === length && value.every(Number.isFinite)) return value;
  wrong.push(`${name}: a list of ${length} numbers is needed`);
  return [];
}

function logistic(value: unknown, name: string, features: number, labels: number, wrong: string[]) {
  const fields = asRecord(value, name, wrong);
  return {
    bias: number(fields.bias, `${name}.bias`, -1e6, 1e6, wrong),
    weights: numbers(fields.weights, `${name}.weights`, features, wrong),
    labelBias: numbers(fields.labelBias, `${name}.labelBias`, labels, wrong),
  };
}

function priorityLabels(value: unknown, labels: readonly string[], wrong: string[]) {
  if (!Array.isArray(value) || value.length > PRIORITY_LABELS_MAX) {
    wrong.push(`priorityLabels: a list of at most ${PRIORITY_LABELS_MAX} is needed`);
    return [];
  }
  return value.map((item: unknown, i) => {
    const name = `priorityLabels[${i}]`;
    const fields = asRecord(item, name, wrong);
    const label = text(fields.label, `${name}.label`, wrong);
    if (label !== "" && !labels.includes(label)) wrong.push(`${name}.label: the model has no class "${label}"`);
    return {
      label,
      confidenceMin: number(fields.confidenceMin, `${name}.confidenceMin`, 0, 1, wrong),
      weight: number(fields.weight, `${name}.weight`, 1, 1000, wrong),
    };
  });
}

function guarantee(value: unknown, wrong: string[]): RoutingPolicy["guarantee"] {
  const fields = asRecord(value, "guarantee", wrong);
  const method = fields.method;
  if (method !== "LEARN_THEN_TEST" && method !== "BUDGET_BOUND") {
    wrong.push("guarantee.method: LEARN_THEN_TEST or BUDGET_BOUND is needed");
  }
  const share = (name: string) => number(fields[name], `guarantee.${name}`, 0, 1, wrong);
  return {
    method: method === "LEARN_THEN_TEST" ? "LEARN_THEN_TEST" : "BUDGET_BOUND",
    epsilon: share("epsilon"),
    delta: share("delta"),
    n: integer(fields.n, "guarantee.n", 1, 2 ** 31 - 1, wrong),
    losses: integer(fields.losses, "guarantee.losses", 0, 2 ** 31 - 1, wrong),
    escalationShare: share("escalationShare"),
  };
}
