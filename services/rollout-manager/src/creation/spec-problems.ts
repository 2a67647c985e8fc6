/** A specification that is refused, with every problem and its path. */
import { Failure } from "@tributary/kernel";
import { pathText, type RolloutSpec, readSpec, type SpecProblem } from "@tributary/rollouts";

export class SpecRefused extends Failure {
  readonly problems: readonly SpecProblem[];

  constructor(problems: readonly SpecProblem[], code = "rollout-spec-invalid") {
    const detail = problems.map(({ path, message }) => `${pathText(path)}: ${message}`).join("; ");
    super(code, "ask-a-person", detail.slice(0, 2_000));
    this.problems = problems;
  }
}

/** Throws SpecRefused, naming everything that is wrong. */
export function specOf(written: unknown): RolloutSpec {
  const { spec, problems } = readSpec(written);
  if (spec === null) throw new SpecRefused(problems);
  return spec;
}
