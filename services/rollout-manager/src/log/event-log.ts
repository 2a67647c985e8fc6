/**
 * The log of events, rollouts.events.v1: read by every instance, appended to by any.
 *
 * L1. (V1) A proposal takes effect only once it was read back and counts; the proposer gets the outcome.
 * L2. A record that is no event of ours, or that does not count, changes nothing; it is logged and counted.
 * L3. (G9) One proposal of a rollout is in flight at a time, and an instance waits for it at most `readBackMsMax`. The
 *     controller's own proposals are repeated later; a person's command waits for its turn.
 */
import { topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type InRecord, type RecordSink } from "@tributary/kafka";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import {
  type Applied,
  eventOfRecord,
  generationOf,
  type LogEvent,
  type Proposal,
  type RolloutController,
  recordOfEvent,
} from "@tributary/rollouts";
import type { ExperimentProposal } from "@tributary/rollouts/experiment";
import type { Telemetry } from "@tributary/telemetry";
import { changed, eventRefused, proposalLost } from "../events.ts";

/** Of a rollout or an experiment. */
type AnyProposal = Proposal | ExperimentProposal;

export type EventLogOptions = {
  readonly controller: RolloutController;
  readonly epoch: number;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly readBackMsMax: number;
  /** Called after every event that counts. */
  readonly onChange: (event: LogEvent, generation: bigint) => void;
};

/** The outcome of a proposal: it counts, or why not; `unknown`: it was not read back in time. */
export type ProposalOutcome = Applied | { readonly kind: "unknown"; readonly reason: string };

export class EventLog {
  readonly #options: EventLogOptions;
  /** Proposals in flight by rollout; each promise resolves when its proposal is settled. */
  readonly #inFlight = new Map<string, Promise<void>>();
  /** Callers that wait for a record, by its offset. */
  readonly #waiting = new Map<bigint, (outcome: ProposalOutcome) => void>();
  /** Outcomes of records that were read before their writer knew their offset; cleared when nothing is in flight. */
  readonly #outcomes = new Map<bigint, ProposalOutcome>();
  #next = 0n;

  constructor(options: EventLogOptions) {
    this.#options = options;
  }

  /** Generation of the event that would be appended next. */
  get nextGeneration(): bigint {
    return generationOf(this.#options.epoch, this.#next);
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.rolloutEvents, (value, record) => {
      this.#next = record.offset + 1n;
      let event: LogEvent;
      try {
        if (value === null) throw new Failure("rollout-event-unusable", "give-up", "it is a tombstone");
        event = eventOfRecord(value);
        if (event.uid !== record.key)
          throw new Failure("rollout-event-unusable", "give-up", `its key is ${record.key}`);
      } catch (error) {
        this.#settle(record.offset, { kind: "stale", reason: reasonOf(error) });
        throw error; // L2: `follow` logs and counts it.
      }
      this.#apply(event, record);
    });
  }

  isBusy(uid: string): boolean {
    return this.#inFlight.has(uid);
  }

  /** L1. Throws Failure `rollout-busy` while another proposal of this rollout is in flight, and what the sink throws. */
  async propose({ uid, version, change }: AnyProposal, by: string): Promise<ProposalOutcome> {
    const { sink, clock } = this.#options;
    if (this.#inFlight.has(uid)) {
      throw new Failure("rollout-busy", "retry", `${uid} is being changed right now; try again`);
    }
    const { promise, resolve: landed } = Promise.withResolvers<void>();
    this.#inFlight.set(uid, promise); // L3
    try {
      const event = { uid, version, at: clock.now(), by, change } as LogEvent;
      const value = topics.rolloutEvents.codec.encodeConfluent(recordOfEvent(event));
      const [position] = await sink.send([{ topic: topics.rolloutEvents.name, key: uid, value }]);
      if (position === undefined) return { kind: "unknown", reason: "Kafka returned no offset" };
      return await this.#outcomeOf(position.offset);
    } finally {
      this.#inFlight.delete(uid);
      if (this.#inFlight.size === 0) this.#outcomes.clear();
      landed();
    }
  }

  /** A person's command waits for the proposal in flight, and is built from the state after it. */
  async proposeNext(uid: string, proposalOf: () => AnyProposal, by: string): Promise<ProposalOutcome> {
    for (let flight = this.#inFlight.get(uid); flight !== undefined; flight = this.#inFlight.get(uid)) await flight;
    return this.propose(proposalOf(), by);
  }

  #apply(event: LogEvent, record: InRecord): void {
    const { controller, epoch, telemetry, onChange } = this.#options;
    const { uid, version, by } = event;
    const { kind } = event.change;
    const generation = generationOf(epoch, record.offset);
    const applied = controller.applied(event, generation);
    if (applied.kind === "counts")
      telemetry.emit(changed, { uid, version, kind, by, phase: (applied.rollout ?? applied.experiment).phase });
    else if (applied.kind === "stale")
      telemetry.emit(proposalLost, { uid, kind, by, reason: applied.reason }); // L2
    else telemetry.emit(eventRefused, { uid, kind, by, reason: applied.reason });
    if (applied.kind === "counts") onChange(event, generation);
    this.#settle(record.offset, applied);
  }

  #settle(offset: bigint, outcome: ProposalOutcome): void {
    const waiting = this.#waiting.get(offset);
    if (waiting !== undefined) waiting(outcome);
    else if (this.#inFlight.size > 0) this.#outcomes.set(offset, outcome);
  }

  #outcomeOf(offset: bigint): Promise<ProposalOutcome> {
    const known = this.#outcomes.get(offset);
    if (known !== undefined) return Promise.resolve(known);
    const { clock, readBackMsMax } = this.#options;
    return new Promise((resolve) => {
      const stop = new AbortController();
      const end = (outcome: ProposalOutcome) => {
        this.#waiting.delete(offset);
        stop.abort();
        resolve(outcome);
      };
      this.#waiting.set(offset, end);
      clock.sleep(readBackMsMax, stop.signal).then(
        () => end({ kind: "unknown", reason: `not read back within ${readBackMsMax} ms` }),
        () => {},
      );
    });
  }
}
