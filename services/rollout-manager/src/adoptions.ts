/**
 * Applies the policy that an experiment adopted, through the rollout of a policy.
 *
 * P1. There is one such rollout for each experiment: its uid is made of the experiment's, and one that is over is not started again. While
 *     it cannot start, since others hold its devices, it is tried again, and the reason is logged once.
 * P2. What ends it waits until the policy that stays is in force, where the rollout is of the whole fleet (policies.ts Q2): devices are
 *     sent the policy in force from then on, and so whatever is learned of it later.
 * P3. Both of its policies can be named by version before it is created (policies.ts Q1): that which was in force may be no arm's, and an
 *     undo returns to it.
 */
import { POLICY } from "@tributary/contracts";
import { codeOf } from "@tributary/kafka";
import { type Clock, reasonOf } from "@tributary/kernel";
import { applyEvent, type Proposal, type Rollout, type RolloutController } from "@tributary/rollouts";
import type { Experiment } from "@tributary/rollouts/experiment";
import type { Telemetry } from "@tributary/telemetry";
import { BY } from "./by.ts";
import { type Adoption, adoptionUidOf, planAdoption } from "./creation/plan-experiment.ts";
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

type Planned = Proposal & { readonly change: Adoption };

const TRY_EVERY_MS = 10_000;
const PUBLISH_EVERY_MS = 2_000;

export class Adoptions {
  readonly #options: AdoptionsOptions;
  /** By uid of the rollout: what to append, or why it cannot start, until it is planned anew. */
  readonly #planned = new Map<string, { readonly proposal: Planned | string; readonly againAt: number }>();
  /** Uids of rollouts that the log has, or has had. */
  readonly #started = new Set<string>();
  #publishAt = 0;

  constructor(options: AdoptionsOptions) {
    this.#options = options;
  }

  /** The log has this rollout. */
  started(uid: string): void {
    this.#started.add(uid);
  }

  /** P1. Events that create rollouts. */
  propose(): readonly Proposal[] {
    const { controller, clock } = this.#options;
    const now = clock.monotonicMs();
    const adopted = new Map(
      controller.experiments.all.flatMap((one) => (one.verdict === "adopt" ? [[adoptionUidOf(one), one]] : [])),
    );
    for (const uids of [this.#started, this.#planned])
      for (const uid of uids.keys()) if (!adopted.has(uid)) uids.delete(uid);
    return [...adopted].flatMap(([uid, experiment]) => {
      if (this.#started.has(uid)) return [];
      let planned = this.#planned.get(uid);
      if (planned === undefined || now >= planned.againAt) {
        const proposal = this.#plan(experiment, uid, planned?.proposal);
        if (proposal === null) return [];
        planned = { proposal, againAt: now + TRY_EVERY_MS };
        this.#planned.set(uid, planned);
      }
      const { proposal } = planned;
      return typeof proposal === "string" || !this.#canBeNamed(proposal) ? [] : [proposal]; // P3
    });
  }

  /** Null: its policy is in force. */
  #plan(experiment: Experiment, uid: string, before: Planned | string | undefined): Planned | string | null {
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
    const { clock, policies } = this.#options;
    if (spec.spec.slot !== POLICY || Object.keys(spec.spec.selector).length > 0) return false;
    const stays = end === "completed" ? modelDigest : stableDigest;
    const policy = policies.version(stays);
    if (policy === undefined) return false; // Its record was deleted: there is nothing to publish.
    if (policies.inForce(policy.modelDigest, policy.cloudTarget)?.policyVersion === stays) return false;
    this.#publish("policy in force", () => policies.bringInForce(policy, clock.now()));
    return true;
  }

  /** P3 */
  #canBeNamed({ change }: Planned): boolean {
    const { policies } = this.#options;
    const versions = [change.modelDigest, change.stableDigest];
    const missing = versions.filter((one) => !policies.isNamed(one)).flatMap((one) => policies.version(one) ?? []);
    if (missing.length === 0) return true;
    this.#publish("policy versions", () => policies.publishVersions(missing));
    return false;
  }

  /** Repeated until it is read back. */
  #publish(what: string, write: () => Promise<void>): void {
    const { clock, telemetry } = this.#options;
    const now = clock.monotonicMs();
    if (now < this.#publishAt) return;
    this.#publishAt = now + PUBLISH_EVERY_MS;
    write().catch((error: unknown) => {
      telemetry.emit(writeFailed, { what, code: codeOf(error), reason: reasonOf(error) });
    });
  }
}
