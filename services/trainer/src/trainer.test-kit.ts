/** A trainer in memory: Kafka, datasets, a backend and a model registry that do as they are asked, and count what they are asked. */
import { type Dataset, type DriftVerdict, type Model, type TrainingRun, topics } from "@tributary/contracts";
import { type Clock, Failure, systemClock } from "@tributary/kernel";
import { MemoryKafka, silentTelemetry, someDriftVerdict, someModel, someRollout, waitFor } from "@tributary/testing";
import { requestedBy, runDefaults, type TrainingResult } from "@tributary/training";
import type { JobState, TrainingBackend } from "./backends/backend.ts";
import type { Datasets } from "./datasets/port.ts";
import type { ModelRegistry } from "./registry/blobs.ts";
import { TrainerEffects } from "./runs/effects.ts";
import type { Packer } from "./runs/packer.ts";
import type { ReadResult, Results } from "./runs/results.ts";
import { RunsWorker } from "./runs/runs-worker.ts";

export const NOW = 1_800_000_000_000;
const champion = someModel({ name: "edge", version: "1.4.0", modelDigest: "11".repeat(32) });
const result: TrainingResult = { formatVersion: 1, blend: 0.8 };

export class Rig {
  readonly kafka: MemoryKafka;
  readonly calls: string[] = [];
  readonly jobs = new Map<string, JobState>();
  readonly at = { now: NOW };
  /** Runs before an effect's outside call, by its name; what it throws fails the call. */
  before: (call: string, signal?: AbortSignal) => void | Promise<void> = () => {};
  labels = 600;
  /** Labelled frames that candidates are judged by already. */
  judged = 0;
  /** The base set that is frozen anew with a dataset. */
  base: Dataset | null = null;
  validationFrames = 1_000;
  baseLacks: string | null = null;
  twice = { frames: 0, differ: 0 };
  job: JobState = { kind: "succeeded" };
  found: ReadResult = { kind: "result", result };
  readonly worker: RunsWorker;

  constructor(from?: Rig) {
    this.kafka = from?.kafka ?? new MemoryKafka({ now: () => this.at.now });
    if (from === undefined) this.#prepare();
    else {
      this.calls = from.calls;
      this.jobs = from.jobs;
      this.at.now = from.at.now;
      this.models = from.models;
    }
    const clock: Clock = { ...systemClock, now: () => this.at.now };
    const datasets = this.#datasets();
    const effects = new TrainerEffects({
      datasets,
      backend: this.#backend(),
      registry: this.#registry(),
      registryUrl: "http://registry/",
      packer: this.#packer(),
      results: this.#results(),
    });
    this.worker = new RunsWorker({
      fence: this.kafka,
      reader: this.kafka,
      datasets,
      effects,
      settings: runDefaults,
      scheduledAfter: () => null,
      effectsMax: 4,
      effectMsMax: 5_000,
      labelsEveryMs: 0,
      jobEveryMs: 0,
      outageEveryMs: 0,
      endedMsMax: 86_400_000,
      clock,
      random: () => 0.5,
      telemetry: silentTelemetry(),
    });
  }

  readonly models: Map<string, Model> = new Map([[champion.version, champion]]);

  #prepare(): void {
    this.kafka.put(topics.models, "edge/1.4.0", champion);
    this.alias({ champion: "1.4.0" });
  }

  alias(aliases: Readonly<Record<string, string>>): void {
    this.kafka.put(topics.modelAliases, "edge", {
      name: "edge",
      aliases,
      changedBy: "ann",
      changedAt: this.at.now,
      validation: null,
    });
  }

  champion(version: string): void {
    this.#put(someModel({ name: "edge", version, modelDigest: `${version[0]}4`.repeat(32) }));
    this.alias({ ...this.aliases, champion: version });
  }

  get aliases(): Readonly<Record<string, string>> {
    return this.kafka.values(topics.modelAliases).at(-1)?.aliases ?? {};
  }

  verdict(change: Partial<DriftVerdict> = {}): void {
    const scope = { scopeKey: "site", scopeValue: "north", modelName: "edge", modelDigest: champion.modelDigest };
    const verdict = someDriftVerdict({ verdictId: "v-1", ...scope, state: "OPEN", retrain: true, ...change });
    this.kafka.put(topics.driftVerdicts, verdict.verdictId, verdict);
  }

  /** What the registry's gate finds of the candidate. */
  gate(
    outcome: { readonly passed?: boolean; readonly unsure?: readonly string[]; readonly forcedBy?: string } = {},
  ): void {
    const { candidateVersion } = this.run;
    const model = this.models.get(candidateVersion) as Model;
    const { passed = true, unsure = [], forcedBy = "" } = outcome;
    this.#put({
      ...model,
      gate: {
        passed,
        championDigest: champion.modelDigest,
        failed: passed ? [] : ["base: 4 points worse"],
        unsure: [...unsure],
        reportDigest: "",
        pageDigest: "",
        judgedAt: this.at.now,
        forcedBy,
        forcedReason: "",
        validationDigest: "",
        validationGates: 0,
        sliceDigest: "",
        sliceGates: 0,
      },
    });
  }

  rollout(phase: "PROGRESSING" | "HEALTHY" | "DEGRADED"): void {
    const { candidateDigest: modelDigest } = this.run;
    const isBack = phase === "DEGRADED";
    this.kafka.put(
      topics.rollouts,
      "r-1",
      someRollout({ uid: "r-1", modelDigest, phase, isBack, message: "p99 doubled" }),
    );
  }

  /** The newest record of the newest run. */
  get run(): TrainingRun {
    return this.kafka.values(topics.trainingResults).at(-1) as TrainingRun;
  }

  get history(): readonly string[] {
    return this.kafka.values(topics.trainingRequests).map(({ kind }) => kind);
  }

  count(call: string): number {
    return this.calls.filter((one) => one === call).length;
  }

  /** Looks until the newest run is in a phase. */
  until(phase: TrainingRun["phase"]): Promise<TrainingRun> {
    return this.when(`phase ${phase}`, (run) => run.phase === phase);
  }

  /** Looks until the newest run is so. */
  when(what: string, isSo: (run: TrainingRun) => boolean): Promise<TrainingRun> {
    const look = async () => {
      await this.worker.look();
      return this.kafka.values(topics.trainingResults).length > 0 && isSo(this.run) ? this.run : undefined;
    };
    return waitFor(look, { what, everyMs: 5 });
  }

  #put(model: Model): void {
    this.models.set(model.version, model);
    this.kafka.put(topics.models, `${model.name}/${model.version}`, model);
  }

  async #call(name: string, signal?: AbortSignal): Promise<void> {
    this.calls.push(name);
    await this.before(name, signal);
  }

  #datasets(): Datasets {
    const records = new Map<string, Dataset>();
    const base = someDataset({ version: "base", kind: "BASE", md5: "b".repeat(32) });
    return {
      remote: "file:///remote",
      caughtUp: Promise.resolve(),
      baseLacks: () => this.baseLacks,
      count: async () => {
        await this.#call("count");
        const tune = Math.floor(this.labels / 8);
        const part = Math.floor((this.labels - tune) / 2);
        return {
          usable: this.labels,
          train: part,
          tune,
          gate: part,
          devices: 9,
          twice: this.twice,
          leftOut: { "judged-before": this.judged },
        };
      },
      freeze: async ({ runId }) => {
        await this.#call("freeze");
        return {
          dataset: someDataset({ version: `d-${runId}`, runId, baseVersion: this.base?.version ?? "base" }),
          base: this.base,
        };
      },
      get: (_model, version) => {
        for (const record of this.kafka.values(topics.datasets)) records.set(record.version, record);
        return version === "base" ? base : records.get(version);
      },
      materialise: async () => {},
      labelsSince: () => 0,
    };
  }

  #backend(): TrainingBackend {
    return {
      name: "stub",
      start: async ({ runId }, attempt) => {
        await this.#call("start");
        const jobId = `${runId}-${attempt}`;
        if (!this.jobs.has(jobId)) this.jobs.set(jobId, { kind: "running", progress: 0, line: "" });
        return jobId;
      },
      status: async (jobId) => {
        await this.#call("status");
        if (this.jobs.get(jobId)?.kind === "running") this.jobs.set(jobId, this.job);
        return this.jobs.get(jobId) ?? { kind: "unknown" };
      },
      cancel: async (jobId) => {
        await this.#call("cancel");
        this.jobs.set(jobId, { kind: "cancelled" });
      },
      logs: async () => [],
    };
  }

  #packer(): Packer {
    return {
      pack: async ({ runId }, signal) => {
        await this.#call("pack", signal);
        signal.throwIfAborted();
        return { version: `1.5.0-${runId}`, digest: "22".repeat(32) };
      },
    };
  }

  #results(): Results {
    return {
      uriOf: async () => "file:///results",
      read: async () => this.found,
      model: async () => "model.onnx",
    };
  }

  #registry(): ModelRegistry {
    const { models, validation, blobs } = {
      models: {
        push: async () => {
          await this.#call("push");
          const { candidateVersion: version, candidateDigest: modelDigest, model: name } = this.run;
          if (!this.models.has(version)) this.#put(someModel({ name, version, modelDigest }));
        },
        alias: async ({ body: { version } }: { body: { version: string } }) => {
          await this.#call("alias");
          this.alias({ ...this.aliases, challenger: version });
        },
        list: async () => {
          const version = this.aliases.challenger;
          return { items: version === undefined ? [] : [{ version }] };
        },
        unalias: async () => {
          await this.#call("unalias");
          const { challenger: _, ...others } = this.aliases;
          this.alias(others);
        },
        force: async () => {
          await this.#call("force");
          this.gate({ forcedBy: "ann" });
        },
        one: async () => ({ lineage: {} }),
      },
      validation: { describe: async () => ({ digest: "33".repeat(32), frames: this.validationFrames }) },
      blobs: {},
    };
    return { models, validation, blobs } as unknown as ModelRegistry;
  }
}

export const away = (): Failure => new Failure("api-unreachable", "retry", "the registry does not answer");

export const someDataset = (change: Partial<Dataset>): Dataset => ({
  model: "edge",
  version: "d",
  kind: "RETRAINING",
  md5: "a".repeat(32),
  frames: 600,
  bytes: 1n,
  createdAt: NOW,
  createdBy: "trainer",
  runId: "",
  verdictId: "",
  baseVersion: "",
  query: "{}",
  parts: [{ slice: "site=north", split: "TRAIN", frames: 300, classes: {} }],
  labelSources: { PERSON: 600 },
  devices: 9,
  leftOut: {},
  ...change,
});

export const someRun = (change: Partial<TrainingRun>): TrainingRun => ({
  ...requestedBy(
    { model: "edge", by: "ann", reason: "dusk", slice: "site=north" },
    {
      runs: new Map(),
      verdicts: new Map(),
      rollouts: new Map(),
      models: { names: () => ["edge"], byAlias: () => undefined, get: () => undefined },
      labelsSince: () => 0,
      scheduledAfter: () => null,
    },
    NOW,
    runDefaults,
    () => "0123456789abcdef",
  ).run,
  ...change,
});
