/** Owns the trainings while this instance holds the one partition of the group and its clock agrees with Kafka's. */
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { codeOf, KafkaReader } from "@tributary/kafka";
import { type Clock, type Random, reasonOf, repeat } from "@tributary/kernel";
import { CLOCK, ClockWatch, CONFIG, HeldPartitions, Problem, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { runSettingsOf, scheduleOf, type TrainerConfig } from "../config.ts";
import { DATASETS, type Datasets } from "../datasets/port.ts";
import { lookFailed } from "../events.ts";
import { MLFLOW, type MlflowRecorder } from "../mlflow/recorder.ts";
import { RunsSink } from "../sinks.ts";
import { TrainerEffects } from "./effects.ts";
import { RunsWorker } from "./runs-worker.ts";

const DAY_MS = 86_400_000;
/** Beyond the longest effect, which bounds itself. */
const EFFECT_MARGIN_MS = 60_000;
const OWNED = 0;

@Injectable()
export class Runs extends HeldPartitions<RunsWorker> implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: TrainerConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly clockWatch: ClockWatch,
    @Inject(RANDOM) random: Random,
    @Inject(DATASETS) datasets: Datasets,
    reader: KafkaReader,
    fence: RunsSink,
    effects: TrainerEffects,
    @Inject(MLFLOW) private readonly mlflow: MlflowRecorder | null,
  ) {
    const { limits, packing, triggers, modelRegistry } = config;
    const schedule = triggers.schedule === null ? undefined : scheduleOf(triggers.schedule);
    const { effectsMax, labelsEveryMs, jobEveryMs, outageEveryMs } = limits;
    const options = {
      fence,
      reader,
      datasets,
      effects,
      settings: runSettingsOf(config),
      scheduledAfter: (at: number) => schedule?.nextRun(new Date(at))?.getTime() ?? null,
      effectsMax,
      effectMsMax: packing.msMax + modelRegistry.timeoutMs + EFFECT_MARGIN_MS,
      labelsEveryMs,
      jobEveryMs,
      outageEveryMs,
      endedMsMax: limits.endedDaysMax * DAY_MS,
      clock,
      random,
      telemetry,
      ...(mlflow !== null && { watcher: mlflow }),
    };
    super(() => new RunsWorker(options));
    telemetry.gauge(
      {
        name: "tributary_training_runs",
        help: "Open trainings by phase; of the instance that owns them",
        labels: ["phase"],
      },
      () => [...(this.#owned?.phases ?? [])].map(([phase, value]) => ({ labels: { phase }, value })),
    );
  }

  /** Throws 503 where another instance owns them. */
  get owner(): RunsWorker {
    const owned = this.#owned;
    if (owned !== undefined && !this.clockWatch.isOff) return owned;
    const detail = "Another instance of the trainer owns the trainings, or none does yet. Try again.";
    throw new Problem(503, "trainer-standby", "retry", detail, { headers: { "Retry-After": "1" } });
  }

  get #owned(): RunsWorker | undefined {
    return this.workers.find(({ number }) => number === OWNED);
  }

  onApplicationBootstrap(): void {
    const { clock, config } = this;
    const everyMs = config.limits.lookEveryMs;
    this.mlflow?.start();
    this.#ended = repeat(() => this.look(), { clock, everyMs, signal: this.#stop.signal });
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.onRevoked();
    await this.#ended;
    await this.mlflow?.close();
  }

  async look(): Promise<void> {
    const worker = this.#owned;
    if (worker === undefined || this.clockWatch.isOff) return;
    try {
      await worker.look();
    } catch (error) {
      if (this.#stop.signal.aborted || worker.signal.aborted) return;
      this.telemetry.emit(lookFailed, { code: codeOf(error), reason: reasonOf(error) });
    }
  }
}
