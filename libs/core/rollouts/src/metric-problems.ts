/** What reads well in the metrics of a specification and cannot work; everything that can be checked without a server. */
import { nearest } from "./nearest.ts";
import { problemOfQuery } from "./promql.ts";
import { isBuiltIn, type MetricSpec, metricNames, type RolloutSpec } from "./spec.ts";

type Problem = { readonly path: readonly (string | number)[]; readonly message: string };

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** What evidence calls them besides. */
const TAKEN = new Set(["crashes"]);
const PROVIDER = 'provider: { prometheus: { good: "…", total: "…" } }';

export function problemsOfMetrics({ spec }: RolloutSpec): readonly Problem[] {
  const names = spec.metrics.map(({ name }) => name);
  return spec.metrics.flatMap((metric, i) => {
    const path = ["spec", "metrics", i];
    const problems = metric.provider === undefined ? nameProblems(metric) : providerProblems(metric);
    if (names.indexOf(metric.name) < i) problems.push({ path: ["name"], message: `${shown(metric)} is listed twice` });
    return problems.map((problem) => ({ ...problem, path: [...path, ...problem.path] }));
  });
}

const shown = ({ name }: MetricSpec): string => `"${name}"`;

function nameProblems(metric: MetricSpec): Problem[] {
  if (isBuiltIn(metric.name)) return [];
  const near = nearest(metric.name, metricNames);
  const advice = near ?? `${metricNames.join(", ")}, or give it ${PROVIDER}`;
  return [{ path: ["name"], message: `${shown(metric)} is not known; write ${advice}` }];
}

function providerProblems(metric: MetricSpec): Problem[] {
  const problems: Problem[] = [];
  const report = (path: readonly string[], message: string) => problems.push({ path, message });
  if (isBuiltIn(metric.name)) {
    report(["name"], `${shown(metric)} is measured by Tributary; give this one another name, or leave provider out`);
  } else if (TAKEN.has(metric.name)) {
    report(["name"], `${shown(metric)} is taken; write another name`);
  } else if (!DNS_LABEL.test(metric.name)) {
    report(["name"], `${shown(metric)} is no DNS label; write lower-case letters, digits and -, such as answers-kept`);
  }
  const asked = metric.provider?.prometheus;
  if (asked === undefined) return problems;
  const { good, total, deviceLabel } = asked;
  for (const [which, query] of Object.entries({ good, total })) {
    const problem = problemOfQuery(query, deviceLabel);
    if (problem !== null) report(["provider", "prometheus", which], problem);
  }
  if (good.trim() === total.trim())
    report(
      ["provider", "prometheus", "total"],
      "is the same as good, so every outcome would be good; count all of them",
    );
  return problems;
}
