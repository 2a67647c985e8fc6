/** Registry and rollout-manager of `npm start`: a rollout takes minutes, where one of a fleet takes hours. This changes
 * when they evaluate, and how long probation takes; never how evidence is evaluated. */
import { loadPackage } from "@tributary/model-store";

/** What a frame may take at the gate and on devices: a machine that runs everything at once is no measure of a model. */
const LATENCY_SLA_MS = 500;
/** Defaults of the policy. */
const SAMPLE_BUDGET = 0.02;

export async function quickRollouts(
  edgePackage: string,
): Promise<{ readonly registry: object; readonly manager: object }> {
  const { manifest, policy } = await loadPackage(edgePackage);
  const { sampleBudget = SAMPLE_BUDGET } = (policy ?? {}) as { readonly sampleBudget?: number };
  return {
    registry: {
      checks: { hardwareClasses: { generic: 1, x64: 1 } },
      gate: { corrupted: 100, latencySlaMs: { [manifest.name]: LATENCY_SLA_MS } },
    },
    manager: {
      judge: { lookEveryMs: 5_000, settleMs: 2_500, propensityMean: sampleBudget },
      updates: { shadowFrames: 4, probationFrames: 6 },
      limits: { statusEveryMs: 1_000 },
    },
  };
}
