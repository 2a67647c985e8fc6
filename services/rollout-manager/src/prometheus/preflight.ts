/**
 * Checks once, before a rollout is created, whether its queries find its devices.
 *
 * A query that Prometheus rejects or answers without these devices is refused, with its path: a misspelt metric would
 * otherwise show at the end of the first analysis. An unreachable Prometheus refuses nothing: it may be available again when
 * the canary runs.
 */
import { Failure, type Instant } from "@tributary/kernel";
import type { RolloutSpec, SpecProblem } from "@tributary/rollouts";
import { SpecRefused } from "../creation/spec-problems.ts";
import { askPrometheus, type PrometheusAccess, type Vector } from "./client.ts";

/** The creator of a rollout waits for this long at most. */
const TIMEOUT_MS_MAX = 3_000;
const NAMED_MAX = 5;
/** Codes of failures of the query itself: others are of the network or of the service's configuration. */
const OF_THE_QUERY = new Set(["prometheus-query-refused", "prometheus-too-many-series", "prometheus-answer-too-large"]);

/** Throws SpecRefused. */
export async function refuseQueries(
  { spec }: RolloutSpec,
  deviceIds: readonly string[],
  access: PrometheusAccess,
  at: Instant,
  signal: AbortSignal,
): Promise<void> {
  const bounded = { ...access, timeoutMs: Math.min(access.timeoutMs, TIMEOUT_MS_MAX) };
  const members = new Set(deviceIds);
  const queries = spec.metrics.flatMap(({ provider }, i) => {
    if (provider === undefined) return [];
    const { deviceLabel, ...two } = provider.prometheus;
    return Object.entries(two).map(([which, query]) => ({ i, which, query, deviceLabel }));
  });
  const problems = await Promise.all(
    queries.map(async ({ i, which, query, deviceLabel }): Promise<SpecProblem[]> => {
      const path = ["spec", "metrics", i, "provider", "prometheus", which];
      try {
        const problem = problemOfVector(await askPrometheus(bounded, query, at, signal), deviceLabel, members);
        return problem === null ? [] : [{ path, message: problem }];
      } catch (error) {
        return error instanceof Failure && OF_THE_QUERY.has(error.code) ? [{ path, message: error.message }] : [];
      }
    }),
  );
  if (problems.flat().length > 0) throw new SpecRefused(problems.flat(), "metric-unknown");
}

/** The problem; null: the query finds devices of the rollout. */
export function problemOfVector({ series }: Vector, deviceLabel: string, members: ReadonlySet<string>): string | null {
  if (series.length === 0) return "Prometheus finds no series; are the names of metric and labels right?";
  const labelled = series.flatMap(({ labels }) =>
    Object.hasOwn(labels, deviceLabel) ? [labels[deviceLabel] ?? ""] : [],
  );
  if (labelled.length === 0) {
    const there = some(series.flatMap(({ labels }) => Object.keys(labels)));
    return `none of its ${series.length} series has the label ${deviceLabel}; ${there === "" ? "they have none" : `there are ${there}`}; name the device's in deviceLabel`;
  }
  if (labelled.some((deviceId) => members.has(deviceId))) return null;
  return `none of its series is of a device of this rollout: ${deviceLabel} is ${some(labelled)}, and the rollout has ${some([...members])}`;
}

function some(names: readonly string[]): string {
  const all = [...new Set(names)];
  const shown = all.slice(0, NAMED_MAX).map((name) => name.slice(0, 64));
  return shown.join(", ") + (all.length > NAMED_MAX ? ", …" : "");
}
