/**
 * Everything the gateway knows and does, apart from HTTP.
 *
 * G1. It is ready once it has read what Kafka held when it started, and it holds no state that Kafka has not (D1).
 */
import { topics } from "@tributary/contracts";
import { type FollowContext, follow, followAll, type RecordSink } from "@tributary/kafka";
import { type Clock, type Random, repeatLater } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import type { Telemetry } from "@tributary/telemetry";
import { AnswerRing } from "./answers/ring.ts";
import { type AnswerSubscribers, tailAnswers, toldAnswers } from "./answers/tail.ts";
import type { GatewayConfig } from "./config.ts";
import { DeviceTable } from "./devices/device-table.ts";
import { Registrar } from "./devices/registrar.ts";
import { clientDropped } from "./events.ts";
import { ExplainSources } from "./frames/explain.ts";
import { FrameSearch, type SearchOptions } from "./frames/search.ts";
import { Subscribers } from "./http/subscribers.ts";
import { LabelCandidates } from "./labels/candidates.ts";
import { FrameIndex } from "./labels/frame-index.ts";
import { LabelTable } from "./labels/label-table.ts";
import { Labels } from "./labels/labels.ts";
import { PolicyTable } from "./policies/policy-table.ts";
import { type RolloutSubscribers, RolloutTable, toldRollouts } from "./rollouts/rollout-table.ts";

export type GatewayOptions = {
  readonly config: GatewayConfig;
  readonly reader: SearchOptions["reader"];
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

export class Gateway {
  readonly ring: AnswerRing;
  readonly subscribers: AnswerSubscribers;
  readonly devices: DeviceTable;
  readonly policies = new PolicyTable();
  readonly models = new ModelTable();
  readonly rollouts: RolloutTable;
  readonly rolloutSubscribers: RolloutSubscribers;
  readonly registrar: Registrar;
  readonly explained: ExplainSources;
  readonly labels: Labels;
  readonly #labelTable: LabelTable;
  readonly #candidates: LabelCandidates;
  readonly #options: GatewayOptions;
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  #caughtUp = false;

  constructor(options: GatewayOptions) {
    const { config, reader, clock, telemetry, sink } = options;
    this.#options = options;
    this.devices = new DeviceTable(() => clock.now());
    this.ring = new AnswerRing(config.answers.recentMax);
    const onDropped = ({ reason }: { readonly reason: string }) => telemetry.emit(clientDropped, { reason });
    this.subscribers = new Subscribers(toldAnswers, config.events, onDropped);
    this.registrar = new Registrar({ table: this.devices, sink, clock, telemetry });
    const search = new FrameSearch({ reader, clock, telemetry, limits: config.scan });
    this.explained = new ExplainSources(search, this.ring, this.policies);
    this.rolloutSubscribers = new Subscribers(toldRollouts, config.events, onDropped);
    this.rollouts = new RolloutTable({
      ...{ reader, search, telemetry, limits: config.rollouts, recordsMax: config.scan.recordsMax },
      naming: (digest) => this.models.byDigest(digest),
      subscribers: this.rolloutSubscribers,
    });
    const { candidatesMax, rememberedMax } = config.labels;
    const candidates = new LabelCandidates(candidatesMax);
    const table = new LabelTable(rememberedMax, (frameId) => candidates.drop(frameId));
    this.#candidates = candidates;
    this.#labelTable = table;
    const index = new FrameIndex({ reader, recordsMax: config.scan.recordsMax, rangesMax: config.labels.rangesMax });
    this.labels = new Labels({ explained: this.explained, index, table, candidates, sink, clock, telemetry });
    telemetry.gauge(
      { name: "tributary_gateway_label_candidates", help: "Frames worth a person's label" },
      () => candidates.count,
    );
    telemetry.gauge(
      { name: "tributary_gateway_event_clients", help: "Event clients now" },
      () => this.subscribers.count + this.rolloutSubscribers.count,
    );
    telemetry.gauge({ name: "tributary_gateway_recent_answers", help: "Answers in memory" }, () => this.ring.size);
    telemetry.gauge({ name: "tributary_gateway_rollouts", help: "Rollouts known" }, () => this.rollouts.count);
    telemetry.gauge({ name: "tributary_gateway_devices", help: "Devices registered" }, () => this.devices.count);
  }

  /** True, or what is still missing. */
  get health(): true | string {
    return this.#caughtUp || "still reading what Kafka holds";
  }

  async start(): Promise<void> {
    const { config, reader, clock, random, telemetry } = this.#options;
    const context: FollowContext = { reader, clock, random, telemetry, signal: this.#stop.signal };
    const { caughtUp, ended } = await followAll([
      this.devices.follow(context),
      this.policies.follow(context),
      follow(context, topics.models, this.models.onModel),
      follow(context, topics.modelAliases, this.models.onAliases),
      this.rollouts.follow(context),
      this.#labelTable.follow(context),
      tailAnswers(context, {
        ring: this.ring,
        subscribers: this.subscribers,
        telemetry,
        backlogRecordsMax: config.answers.backlogRecordsMax,
        onSeen: (deviceId, at) => this.devices.seen(deviceId, at),
        onAnswer: (answer) => {
          if (!this.#labelTable.has(answer.frameId)) this.#candidates.offer(answer);
        },
      }),
    ]);
    const isRead = () => {
      this.#caughtUp = true; // G1
    };
    caughtUp.then(isRead, () => {}); // stopped before it was
    this.#ended = Promise.all([ended, this.#heartbeat()]);
  }

  async close(): Promise<void> {
    this.subscribers.close();
    this.rolloutSubscribers.close();
    this.#stop.abort();
    await this.#ended;
    await Promise.all([this.#options.reader.close(), this.#options.sink.close()]);
  }

  async #heartbeat(): Promise<void> {
    const { clock, config } = this.#options;
    const { signal } = this.#stop;
    const heartbeat = () => {
      this.subscribers.heartbeat();
      this.rolloutSubscribers.heartbeat();
    };
    await repeatLater(heartbeat, { clock, everyMs: config.events.heartbeatMs, signal });
  }
}
