/**
 * A/B arms: which of several ways of asking the cloud a frame or a device belongs to.
 *
 * Every frame has its arm, kept ones too: arms are compared as assigned, not as routed.
 *
 * A1. The arm is a function of the unit and the salt: sticky over restarts and routers, replayable (G10). A new salt draws
 *     again; a weight that grows only takes units in from its neighbours in the list.
 * A3. A device that is in an experiment of its own (a rollout) keeps the arm it reports: one experiment at a time. */
export type Arm = { readonly name: string; readonly weight: number };

export type Experiment = {
  readonly unit: "device" | "frame";
  readonly salt: string;
  /** At least one. */
  readonly arms: readonly Arm[];
};

export const ARM_DEFAULT = "default";

export const noExperiment: Experiment = { unit: "device", salt: "", arms: [{ name: ARM_DEFAULT, weight: 1 }] };

/** Shares of the arms, adding up to 1. */
export function sharesOf(arms: readonly Arm[]): readonly { readonly name: string; readonly share: number }[] {
  const total = arms.reduce((sum, { weight }) => sum + weight, 0);
  return arms.map(({ name, weight }) => ({ name, share: weight / total }));
}

/** `hash` of the salt and the unit: well distributed, at least 6 bytes; the core has no cryptography. */
export function armOf(arms: readonly Arm[], hash: Uint8Array): string {
  let uniform = 0;
  for (let i = 5; i >= 0; i--) uniform = (uniform + (hash[i] ?? 0)) / 256;
  let below = 0;
  for (const { name, share } of sharesOf(arms)) {
    below += share;
    if (uniform < below) return name;
  }
  return arms.at(-1)?.name ?? ARM_DEFAULT;
}

/** What is hashed (A1). */
export const armUnitOf = ({ unit, salt }: Experiment, deviceId: string, frameId: string): string =>
  JSON.stringify([salt, unit === "device" ? deviceId : frameId]);
