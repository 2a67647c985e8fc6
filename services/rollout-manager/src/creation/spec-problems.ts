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

/** Throws SpecRefused for metrics of a provider that is not configured. */
export function refuseUnprovided({ spec }: RolloutSpec, has: { readonly prometheus?: object | undefined }): void {
  if (has.prometheus !== undefined) return;
  const problems = spec.metrics.flatMap(({ name, provider }, i): SpecProblem[] =>
    provider === undefined
      ? []
      : [
          {
            path: ["spec", "metrics", i, "provider", "prometheus"],
            message: `the rollout-manager has no Prometheus to ask; write prometheus: { url: "http://…:9090" } into its configuration, or leave ${name} out`,
          },
        ],
  );
  if (problems.length > 0) throw new SpecRefused(problems, "provider-not-configured");
}
