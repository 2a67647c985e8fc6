/** An experiment as people write it: `kind: Experiment`. As with a rollout, an unknown field is an error, and each default is here alone. */
import { z } from "zod";
import { type ReadSpec, readAs, type SpecProblem } from "../problems.ts";
import { duration, durationText, metadata, selector } from "../spec.ts";
import { experimentDefaults } from "./judge.ts";
import { laneNames, type Weights } from "./lanes.ts";

const ARMS_MAX = 8;
/** Not what topics keep: what was counted outlives them (ADR 66). Devices are held to their arms meanwhile, and what the router learns of their
 * policies does not reach them. */
const DURATION_MAX = 90 * 86_400_000;
const money = z.number().min(0).max(1e9);

const arm = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, "expected lower-case letters, digits and hyphens"),
  /** Version of a routing policy, or its first 8 digits or more. It also names the edge model and the cloud target. */
  policy: z
    .string()
    .regex(/^[0-9a-f]{8,64}$/, "expected 8 to 64 hexadecimal digits, as `tributary get policies` shows"),
  /** Devices of this arm, relative to those of the others. */
  weight: z.number().positive().max(100).default(1),
});

export const experimentSpec = z.strictObject({
  apiVersion: z.literal("tributary.dev/v1"),
  kind: z.literal("Experiment"),
  metadata,
  spec: z.strictObject({
    selector,
    /** The first is the control, which the others are compared with. */
    arms: z.array(arm).min(2).max(ARMS_MAX),
    /** Of one frame: what it is worth that it is answered right, and what it costs that it is escalated, or late. */
    utility: z.strictObject({
      correct: money,
      escalated: money,
      late: money,
      currency: z.string().regex(/^[A-Z]{3}$/, "expected a currency such as EUR or USD"),
    }),
    /** Utilities per frame that differ by less are the same (region of practical equivalence), in the currency. */
    rope: z.number().positive().max(1e9),
    /** The share of late answers may rise by less than this, whatever else is gained. */
    lateMargin: z.number().positive().max(0.5).default(experimentDefaults.lateMargin),
    /** Wrong verdicts allowed, over all arms. */
    alpha: z.number().positive().max(0.2).default(experimentDefaults.alpha),
    burnIn: duration.prefault("10m"),
    /** Then it is held, if it is not decided. */
    duration: duration.prefault("6d"),
    /** When to look at the decision again, at the latest. */
    reviewAfter: duration.prefault("90d"),
  }),
});

export type ExperimentSpec = z.output<typeof experimentSpec>;
/** As people write it, every default filled in. */
export const writtenExperiment = (spec: ExperimentSpec): z.input<typeof experimentSpec> =>
  z.encode(experimentSpec, spec);

export const readExperiment = (written: unknown): ReadSpec<ExperimentSpec> =>
  readAs(experimentSpec, problemsOfExperiment, written);

export const weightsOf = ({ spec: { utility } }: ExperimentSpec): Weights => ({
  correct: utility.correct,
  escalated: utility.escalated,
  late: utility.late,
});

/** Problems of a specification that parses and cannot work. */
function problemsOfExperiment({ spec }: ExperimentSpec): readonly SpecProblem[] {
  const problems: SpecProblem[] = [];
  const { arms, utility, rope, burnIn, duration: whole } = spec;
  for (const [i, { name, policy }] of arms.entries()) {
    const before = arms.slice(0, i);
    const at = ["spec", "arms", i];
    if (before.some((other) => other.name === name))
      problems.push({ path: [...at, "name"], message: `another arm is called ${name}` });
    if (before.some((other) => other.policy.startsWith(policy) || policy.startsWith(other.policy)))
      problems.push({ path: [...at, "policy"], message: "another arm has the same policy, and nothing would differ" });
  }
  const unit = Math.max(...laneNames.map((lane) => utility[lane]));
  if (unit === 0)
    problems.push({ path: ["spec", "utility"], message: "nothing is worth anything; give one weight above 0" });
  else if (rope >= unit)
    problems.push({ path: ["spec", "rope"], message: `all utilities would be the same; write less than ${unit}` });
  if (whole > DURATION_MAX) {
    const message = `its devices are held to the policies of their arms for so long, and what is learned meanwhile does not reach them; write at most ${durationText(DURATION_MAX)}`;
    problems.push({ path: ["spec", "duration"], message });
  }
  if (burnIn >= whole) {
    const message = `ends with the experiment, before anything is judged; write less than ${durationText(whole)}`;
    problems.push({ path: ["spec", "burnIn"], message });
  }
  return problems;
}
