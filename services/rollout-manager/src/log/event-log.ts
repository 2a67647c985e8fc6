/**
 * The log of events, rollouts.events.v1: read by every instance, appended to by any.
 *
 * L1. (V1) A proposal takes effect only once it was read back and counts; the proposer gets the outcome.
 * L2. A record that is no event of ours, or that does not count, changes nothing; it is logged and counted.
 * L3. (G9) One proposal of a rollout is in flight at a time, and an instance waits for it at most `readBackMsMax`. The
 *     controller's own proposals are repeated later; a person's command waits for its turn.
 * L4. (G5) Of a rollout with an event that only a later version of this service can read, half the history is known: nothing is
 *     proposed about it here, until a version that reads the event is started. Other rollouts go on. A record that no version
 *     can have written is passed over (L2).
 */
import { ContractError, openConfluent, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type InRecord, type RecordSink } from "@tributary/kafka";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import {
  type Applied,
  type EventRecord,
  eventOfRecord,
  generationOf,
  isEventKind,
  type LogEvent,
  type Proposal,
  type RolloutController,
  recordOfEvent,
} from "@tributary/rollouts";
import type { ExperimentProposal } from "@tributary/rollouts/experiment";
import type { Telemetry } from "@tributary/telemetry";
import { changed, eventRefused, eventUnknown, proposalLost } from "../events.ts";

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
  /** Why nothing is proposed, by rollout. L4 */
  readonly #unreadable = new Map<string, string>();
  #next = 0n;

  constructor(options: EventLogOptions) {
    this.#options = options;
  }

  /** Generation of the event that would be appended next. */
  get nextGeneration(): bigint {
    return generationOf(this.#options.epoch, this.#next);
  }

  /** Why nothing is decided about a rollout here, by its uid. L4 */
  get unreadable(): ReadonlyMap<string, string> {
    return this.#unreadable;
  }

  follow(context: FollowContext): Promise<Following> {
    const wants = (record: InRecord) => {
      this.#checkSchema(record);
      return true;
    };
    return follow(context, topics.rolloutEvents, (value, record) => this.#take(value, record), { wants });
  }

  #take(value: EventRecord | null, record: InRecord): void {
    this.#next = record.offset + 1n;
    let event: LogEvent;
    try {
      if (value === null) throw new Failure("rollout-event-unusable", "give-up", "it is a tombstone");
      if (value.uid !== record.key) throw new Failure("rollout-event-unusable", "give-up", `its key is ${record.key}`);
      if (!isEventKind(value.kind) && this.#isNext(value))
        this.#hold(value.uid, `${value.kind}, by ${value.by}`, record);
      event = eventOfRecord(value);
    } catch (error) {
      this.#settle(record.offset, { kind: "stale", reason: reasonOf(error) });
      throw error; // L2: `follow` logs and counts it.
    }
    this.#apply(event, record);
  }

  /** L4. Whatever it says, an event that is not the next one counts for no version. */
  #isNext({ uid, version }: EventRecord): boolean {
    const { controller } = this.#options;
    const known = controller.rollout(uid)?.version ?? controller.experiments.get(uid)?.version ?? 0;
    return this.#unreadable.has(uid) || version === BigInt(known) + 1n;
  }

  /** L4, of a record that cannot even be decoded: its schema came after this version of the service. */
  #checkSchema(record: InRecord): void {
    const { key, value } = record;
    if (value === null || key === null) return;
    try {
      topics.rolloutEvents.codec.versionById(openConfluent(value).id);
    } catch (error) {
      if (error instanceof ContractError && error.code === "schema-unknown-id") this.#hold(key, "unreadable", record);
    }
  }

  #hold(uid: string, kind: string, { value, offset }: InRecord): void {
    const schema = value === null ? "" : `schema ${openConfluent(value).id}`;
    const reason = `its event at offset ${offset} of ${topics.rolloutEvents.name} is of a kind that this version does not know (${kind}, ${schema}): run the version of the rollout-manager that wrote it`;
    if (!this.#unreadable.has(uid)) this.#unreadable.set(uid, reason);
    this.#options.telemetry.emit(eventUnknown, { uid, reason });
  }

  isBusy(uid: string): boolean {
    return this.#inFlight.has(uid);
  }

  /** L1. Throws Failure `rollout-busy` while another proposal of this rollout is in flight, `rollout-history-unknown` (L4), and what
   * the sink throws. */
  async propose({ uid, version, change }: AnyProposal, by: string): Promise<ProposalOutcome> {
    const { sink, clock } = this.#options;
    const unreadable = this.#unreadable.get(uid);
    if (unreadable !== undefined) {
      throw new Failure("rollout-history-unknown", "ask-a-person", `nothing is decided about ${uid}: ${unreadable}`);
    }
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
