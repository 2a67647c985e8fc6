import { clocks } from "./clocks/clocks.ts";
import { deadClassifier } from "./dead-classifier.ts";
import { degraded } from "./degraded.ts";
import { drift } from "./drift.ts";
import { experiment } from "./experiment.ts";
import { hostile } from "./hostile/hostile.ts";
import { kafkaFaults } from "./kafka-faults/kafka-faults.ts";
import { kafkaOutage } from "./kafka-outage.ts";
import { killEach } from "./kill-each.ts";
import { ota } from "./ota.ts";
import { otaAttacks } from "./ota-attacks/ota-attacks.ts";
import { pauses } from "./pauses/pauses.ts";
import { power } from "./power/power.ts";
import { retrain } from "./retrain.ts";
import { rights } from "./rights.ts";
import { rollout } from "./rollout.ts";
import type { Drill, Scenario } from "./scenario.ts";
import { strangers } from "./strangers.ts";

export { hostile } from "./hostile/hostile.ts";
export { pauses } from "./pauses/pauses.ts";
export { oneBroker } from "./power/power.ts";

export const scenarios: readonly Scenario[] = [kafkaOutage, killEach, deadClassifier];

export const drills: readonly Drill[] = [
  ota,
  otaAttacks,
  rollout,
  experiment,
  drift,
  retrain,
  kafkaFaults,
  pauses,
  power,
  clocks,
  strangers,
  rights,
  hostile,
  degraded,
];
