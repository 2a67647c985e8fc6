/** What the CLI reads of the public API (`/api/v1/openapi.json`). */
export type Page<T> = {
  readonly items: readonly T[];
  /** The `after` of the next page, where there is one. */
  readonly next?: string | null;
};

export type Answer = {
  readonly frameId: string;
  readonly deviceId: string;
  readonly cameraId: string;
  readonly frameSeq: string;
  readonly label: string;
  readonly source: string;
  readonly confidence: number;
  readonly reason: string;
  readonly settledBy: string;
  readonly edgeLabel: string;
  readonly edgeConfidence: number;
  readonly cloudLabel: string | null;
  readonly cloudTarget: string | null;
  readonly latencyMs: number;
  readonly costMicros: number;
  readonly answeredAt: string;
  readonly partition: number;
  readonly offset: string;
};

export type Device = {
  readonly deviceId: string;
  readonly status: string;
  readonly hardwareClass: string;
  readonly site: string;
  readonly registeredAt: string;
  readonly lastSeenAt: string | null;
  /** Absent at gateways of earlier versions. */
  readonly throttled?: readonly {
    readonly by: string;
    readonly reason: string;
    readonly since: string;
    readonly count: number;
  }[];
  readonly reported: {
    readonly agentVersion: string;
    readonly bootId: string;
    readonly clockState: string;
    readonly policyVersion: string;
    readonly slots: Readonly<Record<string, { modelDigest: string; modelName: string; modelVersion: string }>>;
    readonly cameras: readonly string[];
    readonly acceptedSchemas: readonly string[];
    readonly reportedAt: string;
  } | null;
};

export type Policy = {
  readonly key: string;
  readonly policyVersion: string;
  readonly modelDigest: string;
  readonly cloudTarget: string;
  readonly createdAt: string;
  readonly temperature: number;
  readonly features: readonly string[];
  readonly labels: readonly string[];
  readonly edgeRight: Logistic;
  readonly cloudRight: Logistic;
  readonly scoreMin: number;
  readonly priorityLabels: readonly { label: string; confidenceMin: number; weight: number }[];
  readonly samplePropensityMin: number;
  readonly sampleBudget: number;
  readonly sampleUncertaintyMean: number;
  readonly escalationShareMax: number;
  readonly burstMs: number;
  readonly priorityReserve: number;
  readonly deadlineMs: number;
  readonly guarantee: {
    method: string;
    epsilon: number;
    delta: number;
    n: number;
    losses: number;
    escalationShare: number;
  };
};
export type Logistic = { bias: number; weights: readonly number[]; labelBias: readonly number[] };

type Part = Readonly<Record<string, unknown>>;
export type Step = { readonly name: string; readonly values: Part; readonly text: string };
export type Explanation = {
  readonly frameId: string;
  readonly prediction: Part | null;
  readonly frame: Part | null;
  readonly request: Part | null;
  readonly result: Part | null;
  readonly answer: (Answer & Part) | null;
  readonly policy: Policy | null;
  readonly steps: readonly Step[];
  readonly routerSteps: readonly Step[];
  readonly timeline: readonly { at: string; what: string }[];
  readonly missing: readonly { part: string; why: string }[];
};
