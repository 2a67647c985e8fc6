/**
 * Datasets of a trainer (port.ts): which frames there are it knows from Kafka, in every instance; pictures come from the frame archive;
 * versions are stored in the dataset store.
 *
 * Counting uses the rules of freezing without looking at pictures, so near-duplicates still count: freezing may find fewer. What
 * candidates are judged by counts in neither (history.ts).
 */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { type Dataset, type TrainingRun, topics } from "@tributary/contracts";
import { follow, followAll } from "@tributary/kafka";
import { type Clock, Failure, type Instant, type Random } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { CLOCK, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { LabelCount, LabelNeeds } from "@tributary/training";
import {
  type BaseCounts,
  choiceFor,
  chooseFrames,
  DatasetTable,
  type LabelRules,
  sumOfLeftOut,
  unjudged,
  usableFrames,
  whatBaseLacks,
} from "@tributary/training/dataset";
import { framesEvicted } from "../events.ts";
import { TableReader } from "../sinks.ts";
import type { DatasetStore } from "./dataset-store.ts";
import { FrameTable } from "./frame-table.ts";
import type { Freezer } from "./freezer.ts";
import type { TrainingHistory } from "./history.ts";
import { type FrameArchive, pictureFrom } from "./pictures.ts";
import type { Datasets, FrozenDatasets, Refused } from "./port.ts";

export const DATASET_OPTIONS = Symbol("DatasetOptions");
export type DatasetOptions = {
  readonly store: DatasetStore;
  readonly freezer: Freezer;
  readonly history: TrainingHistory;
  readonly frameArchive: FrameArchive;
  readonly labels: LabelNeeds;
  /** Of a base set, in each of its splits. */
  readonly baseMin: BaseCounts;
  /** Null: the cloud's labels are not used. */
  readonly cloudFloor: number | null;
  readonly labelMsMax: number;
  /** Frames that are known at a time (frame-table.ts T3). */
  readonly framesMax: number;
};

const CHAMPION = "champion";

@Injectable()
export class KafkaDatasets implements Datasets, OnModuleInit, OnApplicationShutdown {
  readonly table = new DatasetTable();
  readonly #models = new ModelTable();
  readonly #frames: FrameTable;
  readonly #stop = new AbortController();
  readonly #caughtUp = Promise.withResolvers<void>();
  #ended: Promise<void> = Promise.resolve();
  #isCaughtUp = false;

  constructor(
    private readonly reader: TableReader,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    @Inject(DATASET_OPTIONS) private readonly options: DatasetOptions,
    health: Health,
  ) {
    const modelOf = (digest: string) => this.#models.byDigest(digest)?.name;
    const { labelMsMax, framesMax } = options;
    const onEvicted = (what: string, frames: number) => telemetry.emit(framesEvicted, { what, frames });
    this.#frames = new FrameTable({ modelOf, labelMsMax, framesMax, onEvicted });
    telemetry.gauge(
      { name: "tributary_training_frames", help: "Archived frames that trainings choose from, and labels without one" },
      () => this.#frames.size,
    );
    health.add("datasets", () => this.#isCaughtUp || "frames, labels and datasets are not read yet");
  }

  async onModuleInit(): Promise<void> {
    const { reader, clock, random, telemetry } = this;
    const context = { reader, clock, random, telemetry, signal: this.#stop.signal };
    const following = await followAll([
      follow(context, topics.models, this.#models.onModel),
      follow(context, topics.modelAliases, this.#models.onAliases),
      follow(context, topics.datasets, (dataset) => dataset && this.table.put(dataset)),
      follow(context, topics.archivedFrames, (frame) => frame && this.#frames.onFrame(frame, clock.now())),
      follow(
        context,
        topics.groundTruth,
        (truth, { timestamp }) => truth && this.#frames.onLabel(truth, timestamp, clock.now()),
      ),
    ]);
    this.#ended = following.ended;
    following.caughtUp.then(this.#caughtUp.resolve, this.#caughtUp.reject);
    this.#caughtUp.promise.catch(() => {});
    await following.caughtUp;
    this.#isCaughtUp = true;
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  get remote(): string {
    return this.options.store.uri;
  }

  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  get(model: string, version: string): Dataset | undefined {
    return this.table.one(model, version) ?? undefined;
  }

  labelsSince(model: string, at: Instant): number {
    return this.#frames.labelsSince(model, at);
  }

  async count(run: TrainingRun, signal: AbortSignal): Promise<LabelCount | Refused> {
    const rules = this.#rulesOf(run);
    if ("refused" in rules) return rules;
    const { used } = await this.options.history.digests(run, this.table, signal);
    const usable = usableFrames(this.#frames.sliceOf(run, this.clock.now()), rules);
    const settings = choiceFor(this.options.labels);
    const { frames: unused, judged } = unjudged(usable.frames, used, settings.hashDistanceMax);
    const candidates = unused.map((frame) => ({ ...frame, pictureHash: frame.digest.slice(0, 16) }));
    const choice = chooseFrames({
      ...{ slice: run.slice, candidates, settings, seed: run.runId, used },
      judgedMoments: judged,
      isCount: true,
    });
    const frames = choice.kind === "chosen" ? choice.frames : [];
    const inSplit = (split: string) => frames.filter((frame) => frame.split === split).length;
    return {
      usable: frames.length,
      train: inSplit("TRAIN"),
      tune: inSplit("TUNE"),
      gate: inSplit("GATE"),
      devices: new Set(frames.map(({ deviceId }) => deviceId)).size,
      twice: usable.twice,
      leftOut: sumOfLeftOut(usable.leftOut, choice.leftOut) as LabelCount["leftOut"],
    };
  }

  async freeze(run: TrainingRun, signal: AbortSignal): Promise<FrozenDatasets | Refused> {
    const rules = this.#rulesOf(run);
    if ("refused" in rules) return rules;
    const { freezer, frameArchive, baseMin } = this.options;
    const history = await this.options.history.pictures(run, rules.base, this.table, signal);
    const base = await this.options.history.replayable(rules.base, history);
    if ("refused" in base) return base;
    const tooFew = base === rules.base ? null : whatBaseLacks(base.parts, baseMin);
    if (tooFew !== null)
      return { refused: `apart from what candidates are judged by, the base set of ${run.model} has ${tooFew}` };
    const { model, slice, runId, verdictId, since } = run;
    const frozen = await freezer.freeze(
      {
        ...{ model, slice, runId, verdictId, since },
        baseVersion: base.version,
        createdBy: "trainer",
        seed: runId,
        labels: rules,
        history,
        heldOut: await this.options.history.heldOut(run, rules.classes, signal),
        choice: choiceFor(this.options.labels),
        frames: this.#frames.sliceOf(run, this.clock.now()),
        pictureOf: (frameId, stop) => pictureFrom(frameArchive, frameId, stop),
      },
      signal,
    );
    if (frozen.kind === "too-few") return { refused: frozen.message };
    return { dataset: frozen.dataset, base: base === rules.base ? null : base };
  }

  async materialise(model: string, version: string, dir: string, signal: AbortSignal): Promise<void> {
    const dataset = this.get(model, version);
    if (dataset === undefined) {
      throw new Failure("dataset-unread", "retry", `the record of dataset ${model}/${version} is not read yet`);
    }
    await this.options.store.materialise(dataset, dir, signal);
  }

  /** Classes of the champion; null: there is none. */
  classesOf(model: string): readonly string[] | null {
    return this.#models.byAlias(model, CHAMPION)?.labels ?? null;
  }

  baseLacks(model: string): string | null {
    const base = this.table.base(model);
    const advice = `tributary datasets push ${model} FOLDER`;
    if (base === null) {
      return `${model} has no base set, without which training would lose what the model knows: ${advice}`;
    }
    const tooFew = whatBaseLacks(base.parts, this.options.baseMin);
    return tooFew === null ? null : `the base set of ${model} has ${tooFew}: ${advice}`;
  }

  #rulesOf(run: TrainingRun): (LabelRules & { readonly base: Dataset }) | Refused {
    const { cloudFloor } = this.options;
    const base = this.table.base(run.model);
    const lacking = this.baseLacks(run.model);
    if (base === null || lacking !== null) return { refused: lacking ?? "" };
    const classes = this.classesOf(run.model);
    if (classes === null) return { refused: `${run.model} has no champion to start from` };
    // What drifts for the edge drifts for the cloud, unless somebody knows better: no verdict states that it does not.
    const cloud = cloudFloor !== null && run.verdictId === "" ? { floor: cloudFloor } : null;
    return { classes, cloud, base };
  }
}
