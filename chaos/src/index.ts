import { clocks } from "./clocks/clocks.ts";
import { deadClassifier } from "./dead-classifier.ts";
import { hostile } from "./hostile/hostile.ts";
import { kafkaOutage } from "./kafka-outage.ts";
import { killEach } from "./kill-each.ts";
import { ota } from "./ota.ts";
import { otaAttacks } from "./ota-attacks/ota-attacks.ts";
import { pauses } from "./pauses/pauses.ts";
import { power } from "./power/power.ts";
import { rollout } from "./rollout.ts";
import type { Drill, Scenario } from "./scenario.ts";
import { strangers } from "./strangers.ts";

export * from "./clocks/clocks.ts";
export * from "./dead-classifier.ts";
export * from "./hostile/hostile.ts";
export * from "./kafka-outage.ts";
export * from "./kill-each.ts";
export * from "./ota.ts";
export * from "./ota-attacks/ota-attacks.ts";
export * from "./pauses/pauses.ts";
export * from "./power/power.ts";
export * from "./rollout.ts";
export * from "./scenario.ts";
export * from "./strangers.ts";

export const scenarios: readonly Scenario[] = [kafkaOutage, killEach, deadClassifier];

export const drills: readonly Drill[] = [ota, otaAttacks, rollout, pauses, power, clocks, strangers, hostile];
