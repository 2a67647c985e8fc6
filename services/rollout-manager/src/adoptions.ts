/**
 * Applies the policy that an experiment adopted, through the rollout of a policy.
 *
 * P1. There is one such rollout for each experiment: its uid is made of the experiment's. While it cannot start, since others hold its
 *     devices, it is tried again, and the reason is logged once.
 * P2. What ends it waits until the policy that stays is in force, where the rollout is of the whole fleet (policies.ts Q2): devices are
 *     sent the policy in force from then on, and so whatever is learned of it later.
 */
import { POLICY } from "@tributary/contracts";
import { codeOf } from "@tributary/kafka";
import { type Clock, reasonOf } from "@tributary/kernel";
import { applyEvent, type Proposal, type Rollout, type RolloutController } from "@tributary/rollouts";
import type { Experiment } from "@tributary/rollouts/experiment";
import type { Telemetry } from "@tributary/telemetry";
import { BY } from "./by.ts";
import { adoptionUidOf, planAdoption } from "./creation/plan-experiment.ts";
import { adoptionRefused, writeFailed } from "./events.ts";
import type { FleetTable } from "./fleet/fleet-table.ts";
import type { Policies } from "./policies.ts";

export type AdoptionsOptions = {
  readonly controller: RolloutController;
  readonly fleet: FleetTable;
  readonly policies: Policies;
  readonly accuracyBefore: (deviceId: string) => number | null;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

const TRY_EVERY_MS = 10_000;
const PUBLISH_EVERY_MS = 2_000;

export class Adoptions {
  readonly #options: AdoptionsOptions;
  /** By uid of the rollout: what to append, or why it cannot start, until it is planned anew. */
  readonly #planned = new Map<string, { readonly proposal: Proposal | string; readonly againAt: number }>();
  #publishAt = 0;

  constructor(options: AdoptionsOptions) {
    this.#options = options;
  }

  /** P1. Events that create rollouts. */
  propose(): readonly Proposal[] {
    const { controller, clock } = this.#options;
    const now = clock.monotonicMs();
    return controller.experiments.all.flatMap((experiment) => {
      const uid = adoptionUidOf(experiment);
      if (experiment.verdict !== "adopt" || controller.rollout(uid) !== null) {
        this.#planned.delete(uid);
        return [];
      }
      let planned = this.#planned.get(uid);
      if (planned === undefined || now >= planned.againAt) {
        const proposal = this.#plan(experiment, uid, planned?.proposal);
        if (proposal === null) return [];
        planned = { proposal, againAt: now + TRY_EVERY_MS };
        this.#planned.set(uid, planned);
      }
      return typeof planned.proposal === "string" ? [] : [planned.proposal];
    });
  }

  /** Null: its policy is in force. */
  #plan(experiment: Experiment, uid: string, before: Proposal | string | undefined): Proposal | string | null {
    const { controller, telemetry } = this.#options;
    try {
      const change = planAdoption(experiment, this.#options);
      if (change === null) return null;
      controller.refuse(applyEvent(null, { uid, version: 1, at: 0, by: BY, change }, 0n) as Rollout);
      return { uid, version: 1, change };
    } catch (error) {
      const reason = reasonOf(error);
      if (before !== reason) telemetry.emit(adoptionRefused, { uid, code: codeOf(error), reason });
      return reason;
    }
  }

  /** P2. Whether the end of a rollout must wait. */
  mustWait({ spec, modelDigest, stableDigest }: Rollout, end: "completed" | "rolled-back"): boolean {
    const { clock, policies, telemetry } = this.#options;
    if (spec.spec.slot !== POLICY || Object.keys(spec.spec.selector).length > 0) return false;
    const stays = end === "completed" ? modelDigest : stableDigest;
    const policy = policies.version(stays);
    if (policy === undefined) return false; // Its record was deleted: there is nothing to publish.
    if (policies.inForce(policy.modelDigest, policy.cloudTarget)?.policyVersion === stays) return false;
    const now = clock.monotonicMs();
    if (now < this.#publishAt) return true;
    this.#publishAt = now + PUBLISH_EVERY_MS;
    policies.bringInForce(policy, clock.now()).catch((error: unknown) => {
      telemetry.emit(writeFailed, { what: "policy in force", code: codeOf(error), reason: reasonOf(error) });
    });
    return true;
  }
}
