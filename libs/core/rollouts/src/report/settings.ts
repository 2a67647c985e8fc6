/** Every setting of a rollout or an experiment that differs from its default: what a reader must know before believing a verdict. */
import { type ExperimentSpec, experimentSpec, writtenExperiment } from "../experiment/spec.ts";
import { type RolloutSpec, rolloutSpec, writtenSpec } from "../spec.ts";

export type Setting = { readonly name: string; readonly value: string; readonly default: string };

/** What has no default, such as the model and the steps, is not among them. */
export function changedSettings(spec: RolloutSpec): Setting[] {
  const written = writtenSpec(spec);
  const { model, strategy } = written.spec;
  const { controlsPerCanary: _default, ...canary } = strategy.canary;
  const plain = writtenSpec(rolloutSpec.parse({ ...written, spec: { model, strategy: { ...strategy, canary } } }));
  return differences("spec", written.spec, plain.spec)
    .filter(({ name }) => !name.startsWith("spec.metrics"))
    .concat(metricDifferences(written.spec.metrics ?? [], plain.spec.metrics ?? []));
}

/** Arms, weights and rope have no default. */
export function changedExperimentSettings(spec: ExperimentSpec): Setting[] {
  const written = writtenExperiment(spec);
  const { arms, utility, rope } = written.spec;
  const plain = writtenExperiment(experimentSpec.parse({ ...written, spec: { arms, utility, rope } }));
  return differences("spec", written.spec, plain.spec);
}

type Metric = NonNullable<ReturnType<typeof writtenSpec>["spec"]["metrics"]>[number];

/** Metric by metric, beside the default of that metric, or of any. */
function metricDifferences(metrics: readonly Metric[], defaults: readonly Metric[]): Setting[] {
  const names = (list: readonly Metric[]) => list.map(({ name }) => name).join(", ");
  const watched: Setting[] =
    names(metrics) === names(defaults)
      ? []
      : [{ name: "spec.metrics", value: names(metrics), default: names(defaults) }];
  return [
    ...watched,
    ...metrics.flatMap((metric) => {
      const usual = defaults.find(({ name }) => name === metric.name) ?? { ...defaults[0], name: metric.name };
      return differences(`spec.metrics.${metric.name}`, metric, usual);
    }),
  ];
}

function differences(name: string, value: unknown, usual: unknown): Setting[] {
  if (isObject(value) && isObject(usual)) {
    const keys = [...new Set([...Object.keys(value), ...Object.keys(usual)])];
    return keys.flatMap((key) => differences(`${name}.${key}`, value[key], usual[key]));
  }
  const [own, other] = [textOf(value), textOf(usual)];
  return own === other ? [] : [{ name, value: own, default: other }];
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string => {
  if (value === undefined) return "none";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
};
