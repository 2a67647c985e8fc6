/** Gauges of rollouts, of experiments and of this instance, read at each scrape; events.ts has the counters. */

import type { Clock } from "@tributary/kernel";
import { isFinished, type RolloutController } from "@tributary/rollouts";
import type { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import type { Telemetry } from "@tributary/telemetry";
import type { DesiredWriter } from "./desired/desired-writer.ts";
import type { FleetTable } from "./fleet/fleet-table.ts";
import type { ObservedStates } from "./fleet/observed-states.ts";
import type { Watch } from "./watching/watch.ts";

export type Measured = {
  readonly controller: RolloutController;
  readonly fleet: FleetTable;
  readonly metrics: FleetMetrics;
  readonly observed: ObservedStates;
  readonly watch: Watch;
  readonly desired: DesiredWriter;
  readonly clock: Clock;
};

export function addGauges(telemetry: Telemetry, measured: Measured): void {
  const { controller, fleet, metrics, observed, watch, desired, clock } = measured;
  const unfinished = () => controller.rollouts.filter((rollout) => !isFinished(rollout));
  telemetry.gauge(
    {
      name: "tributary_rollout_phase",
      help: "1 for the phase of each rollout that is not finished, and of those that stand degraded",
      labels: ["name", "uid", "phase"],
    },
    () =>
      controller.rollouts
        .filter((rollout) => !isFinished(rollout) || rollout.phase === "Degraded")
        .map(({ uid, phase, spec }) => ({ labels: { name: spec.metadata.name, uid, phase }, value: 1 })),
  );
  telemetry.gauge(
    {
      name: "tributary_rollout_changed_timestamp_seconds",
      help: "When an unfinished rollout changed last",
      labels: ["name", "uid"],
    },
    () =>
      unfinished().map(({ uid, spec, changedAt }) => ({
        labels: { name: spec.metadata.name, uid },
        value: changedAt / 1_000,
      })),
  );
  telemetry.gauge(
    {
      name: "tributary_rollout_devices",
      help: "Devices of an unfinished rollout: reached, updated, refused, and those that have the model",
      labels: ["name", "uid", "state"],
    },
    () =>
      unfinished().flatMap(({ uid, spec }) => {
        const { reached, updated, refused, onModel } = controller.seen(uid, clock.now());
        const states = { reached, updated, refused, "on-model": onModel };
        const { name } = spec.metadata;
        return Object.entries(states).map(([state, value]) => ({ labels: { name, uid, state }, value }));
      }),
  );
  telemetry.gauge(
    {
      name: "tributary_experiment_sample_ratio_mismatch",
      help: "Of a running experiment: 1 while the devices that report are not those that were assigned to its arms",
      labels: ["name", "uid"],
    },
    () =>
      controller.experiments.all
        .filter(({ phase }) => phase === "Running")
        .map(({ uid, spec }) => ({
          labels: { name: spec.metadata.name, uid },
          value: controller.experiments.evidence(uid)?.sampleRatio.isMismatch === true ? 1 : 0,
        })),
  );
  telemetry.gauge(
    {
      name: "tributary_rollout_metrics_refused",
      help: "Reports that were not counted, by reason",
      labels: ["reason"],
    },
    () => Object.entries(metrics.refused).map(([reason, value]) => ({ labels: { reason }, value })),
  );
  const gauge = (name: string, help: string, read: () => number) =>
    telemetry.gauge({ name: `tributary_rollout_${name}`, help }, read);
  gauge("fold_behind_seconds", "How far the metrics that are read are behind the present", () =>
    Number.isFinite(watch.behindMs) ? watch.behindMs / 1_000 : 0,
  );
  gauge(
    "fold_overdue_seconds",
    "For how long the next look has been due, without a record more",
    () => watch.overdueMs / 1_000,
  );
  gauge("fleet_devices", "Devices that reported", () => fleet.size);
  gauge(
    "contradicted_devices",
    "Devices whose frames are of another model than they report",
    () => observed.contradicted,
  );
  gauge("desired_pending", "Desired states that wait for Kafka", () => desired.pending);
}
