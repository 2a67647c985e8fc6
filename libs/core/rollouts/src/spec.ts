/** A rollout as people write it: `kind: ModelRollout`, in Argo Rollouts' vocabulary. An unknown field is an error, named with
 * its place: a misspelt `pause` must not become a rollout without one. What is left out has one default, written here and
 * nowhere else. */
import { PERCEPTION } from "@tributary/contracts";
import { isTimeZone, longestClosedMinutes, type MaintenanceWindow, type Weekday } from "@tributary/updates";
import { z } from "zod";
import { metricDefaults } from "./judge/metric-watch.ts";

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "90s", "5m", "6h", "1d" in milliseconds; written back in the largest unit that fits. */
export const duration = z.codec(
  z.string().regex(/^\d{1,6}[smhd]$/, "expected a duration such as 90s, 5m, 6h or 1d"),
  z.number().int().nonnegative(),
  {
    decode: (text) => Number(text.slice(0, -1)) * (UNITS[text.slice(-1)] as number),
    encode: (ms) => durationText(ms),
  },
);

/** In the largest unit that fits, e.g. 90m; whole seconds at least. */
export function durationText(ms: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, size]) => ms % size === 0) ?? ["s", 1_000];
  return `${Math.round(ms / size)}${unit}`;
}
const percent = z.number().positive().max(100);
const names = z.array(z.string().min(1).max(128)).min(1).max(1_000);

export const metadata = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/, "expected a DNS label"),
});
export const selector = z
  .strictObject({ hardwareClasses: names.optional(), sites: names.optional(), devices: names.optional() })
  .prefault({});

const step = z.union([
  z.strictObject({ setWeight: percent }),
  /** Without a duration: until someone resumes. */
  z.strictObject({ pause: z.strictObject({ duration: duration.optional() }) }),
  z.strictObject({ analysis: z.strictObject({ duration }) }),
]);

/** Measured from what devices, the router and people write to Kafka. Other names need a provider (metric-problems.ts). */
export const metricNames = ["accuracy", "deadline-met", "latency-met", "agreement"] as const;
export const isBuiltIn = (name: string): boolean => (metricNames as readonly string[]).includes(name);

const query = z.string().min(1).max(4_096);
const provider = z.strictObject({
  /** Both give an instant vector of cumulative counters, one series for each device. */
  prometheus: z.strictObject({
    good: query,
    total: query,
    /** Its value is the device's id. */
    deviceLabel: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "expected the name of a label")
      .default("device"),
  }),
});

const metric = z.strictObject({
  name: z.string().min(1).max(63),
  provider: provider.optional(),
  alpha: z.number().positive().max(0.2).default(metricDefaults.alpha),
  beta: z.number().positive().max(0.2).default(metricDefaults.beta),
  /** Harm tolerated without a rollback, as a share: 0.0025 is a quarter point. */
  tolerated: z.number().min(0).max(0.5).default(metricDefaults.tolerated),
  /** Harm tolerated in one class or at one site; the gate's `margins.perClass` is the same by default. */
  perSegment: z.number().min(0).max(1).default(metricDefaults.perSegment),
  /** Harm that must be excluded before the rollout widens; null: this metric only stops. */
  margin: z.number().positive().max(0.5).nullable().default(metricDefaults.margin),
});

/** `Pause` and `Abort` are the names of earlier versions. */
const atEnd = z.enum(["hold", "rollback", "Pause", "Abort"]);
export const isRollback = (action: z.output<typeof atEnd>): boolean => action === "rollback" || action === "Abort";

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"] as const;
const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, "expected a time of day from 00:00 to 23:59");
const maintenanceWindow = z.strictObject({
  /** On which it starts. */
  days: z
    .array(z.enum(DAYS))
    .min(1)
    .max(7)
    .default([...DAYS]),
  /** By the wall's clock there. Not later than `from`, `to` is one of the next day. */
  from: timeOfDay,
  to: timeOfDay,
  timeZone: z.string().max(64).refine(isTimeZone, "expected an IANA time zone such as Europe/Berlin").default("UTC"),
});

export const rolloutSpec = z.strictObject({
  apiVersion: z.literal("tributary.dev/v1"),
  kind: z.literal("ModelRollout"),
  metadata,
  spec: z.strictObject({
    /** NAME, NAME@VERSION or NAME@ALIAS in the model registry. */
    model: z.string().regex(/^[A-Za-z0-9][\w.-]*(@[A-Za-z0-9][\w.-]*)?$/, "expected NAME@VERSION or NAME@ALIAS"),
    slot: z.string().min(1).max(32).default(PERCEPTION),
    selector,
    strategy: z.strictObject({
      canary: z.strictObject({
        steps: z.array(step).min(1).max(64),
        /** Devices to compare with, for each canary device. */
        controlsPerCanary: z.number().min(1).max(100).default(4),
      }),
    }),
    metrics: z
      .array(metric)
      .min(1)
      .max(8)
      .default(() => [
        { ...metric.parse({ name: "accuracy" }) },
        { ...metric.parse({ name: "deadline-met", alpha: 0.015 }) },
      ]),
    /** What the fleet needs of every model: the longest time from capture to the answer, in ms. Without it, `deadline-met`
     * compares with the devices' own figures as `latency-met` does. No model's declared budget counts. */
    latencySlaMs: z.number().positive().max(600_000).optional(),
    crashes: z.strictObject({ alpha: z.number().positive().max(0.2).default(0.01) }).prefault({}),
    burnIn: duration.prefault("3m"),
    /** How long a step may wait for devices that report nothing. */
    progressDeadline: duration.prefault("30m"),
    pacing: z.strictObject({ devicesPerMinute: z.number().positive().max(1e6).default(600) }).prefault({}),
    abortConfig: z
      .strictObject({
        /** What an analysis does that ends undecided: hold for a person, or roll back. Absent: it rolls back if its
         * cross-check finds harm, or its estimate exceeds the margin beyond chance, and is held if not. */
        onInconclusive: atEnd.optional(),
        onNoData: atEnd.default("Pause"),
      })
      .prefault({}),
    /** The device installs only while its reported condition is this one. */
    when: z.enum(["any", "idle", "parked"]).default("any"),
    /** The device installs only inside one of them; none: at any time. A rollback waits for none. */
    maintenanceWindows: z.array(maintenanceWindow).max(32).default([]),
  }),
});

export type RolloutSpec = z.output<typeof rolloutSpec>;
/** As people write it, every default filled in. */
export type WrittenSpec = z.input<typeof rolloutSpec>;

/** The inverse of `rolloutSpec.parse`, for logs and people. */
export const writtenSpec = (spec: RolloutSpec): WrittenSpec => z.encode(rolloutSpec, spec);
export type RolloutStep = RolloutSpec["spec"]["strategy"]["canary"]["steps"][number];
export type MetricSpec = RolloutSpec["spec"]["metrics"][number];

/** As a device obeys it. */
export function maintenanceWindowOf({
  days,
  from,
  to,
  timeZone,
}: RolloutSpec["spec"]["maintenanceWindows"][number]): MaintenanceWindow {
  const minuteOf = (time: string) => 60 * Number(time.slice(0, 2)) + Number(time.slice(3));
  return {
    days: days.map((day) => day.toUpperCase() as Weekday),
    fromMinute: minuteOf(from),
    toMinute: minuteOf(to),
    timeZone,
  };
}

/** Problems of a specification that parses and cannot work; empty when it can. The parser adds their places. */
export function problemsOfSteps({
  spec,
}: RolloutSpec): readonly { readonly path: readonly (string | number)[]; readonly message: string }[] {
  const { steps } = spec.strategy.canary;
  const problems: { path: (string | number)[]; message: string }[] = [];
  const at = (i: number, message: string) =>
    problems.push({ path: ["spec", "strategy", "canary", "steps", i], message });
  let weight = 0;
  let isAnalysed = false;
  let sinceMs = 0;
  for (const [i, one] of steps.entries()) {
    if ("pause" in one) sinceMs += one.pause.duration ?? Number.POSITIVE_INFINITY;
    if ("analysis" in one) {
      sinceMs += one.analysis.duration;
      if (sinceMs <= spec.burnIn) {
        const burnIn = durationText(spec.burnIn);
        at(i, `ends within burnIn (${burnIn}), before anything is judged; write more than ${burnIn}`);
      }
      if (weight === 0) at(i, "an analysis before the first setWeight has nothing to look at");
      if (weight === 100) at(i, "at weight 100 nobody is left to compare with; analyse before it");
      isAnalysed = true;
    }
    if (!("setWeight" in one)) continue;
    if (one.setWeight <= weight) at(i, `setWeight ${one.setWeight} does not widen ${weight}`);
    else if (weight > 0 && !isAnalysed)
      at(i, "widens without an analysis since the last setWeight (G5); put one before it");
    [weight, isAnalysed, sinceMs] = [one.setWeight, false, 0];
  }
  if (weight !== 100)
    problems.push({
      path: ["spec", "strategy", "canary", "steps"],
      message: `ends at weight ${weight}; the last setWeight must be 100`,
    });
  const closedMs = 60_000 * longestClosedMinutes(spec.maintenanceWindows.map(maintenanceWindowOf));
  if (closedMs >= spec.progressDeadline) {
    problems.push({
      path: ["spec", "progressDeadline"],
      message: `maintenance windows are closed for up to ${durationText(closedMs)}, and devices that wait for one count as silent after ${durationText(spec.progressDeadline)}; write more than ${durationText(closedMs)}`,
    });
  }
  const alphas = spec.metrics.reduce((sum, { alpha }) => sum + alpha, spec.crashes.alpha);
  if (alphas > 0.2)
    problems.push({
      path: ["spec", "metrics"],
      message: `all alphas together are ${alphas.toFixed(3)}: one in five equal models would be rolled back; at most 0.2`,
    });
  if (!spec.metrics.some(({ margin }) => margin !== null)) {
    problems.push({
      path: ["spec", "metrics"],
      message: "no metric has a margin, so no analysis could ever succeed; give accuracy one",
    });
  }
  return problems;
}
