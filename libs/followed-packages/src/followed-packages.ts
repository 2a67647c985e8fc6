/**
 * The packages that a service takes from the model registry by NAME@ALIAS, changed without a restart.
 *
 *   models.v1, models.aliases.v1 -> ModelTable -> FollowedPackage, one a reference -> PackageSource (HTTP, dataDir) -> `use`
 *
 * Parts of the service call `follow` while they are constructed; what they asked for starts with the module. Without any, no
 * topic is read and no file is written.
 */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { follow, followAll, KafkaReader, type PartitionReader } from "@tributary/kafka";
import { type Backoff, backoffMs, type Clock, type Digest, invariant, type Random } from "@tributary/kernel";
import { ModelTable, modelReferenceOf } from "@tributary/models";
import { CLOCK, CONFIG, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { PackageSettings } from "./config.ts";
import { FollowedPackage, type UsePackage } from "./followed-package.ts";
import { PackageSource } from "./package-source.ts";

export type PackageUser = {
  readonly user: string;
  /** NAME@VERSION or NAME@ALIAS. */
  readonly text: string;
  readonly use: UsePackage;
  readonly isNeeded: boolean;
};

type Followed = { readonly text: string; readonly followed: FollowedPackage };

const READ_BACKOFF: Backoff = { minMs: 100, maxMs: 5_000 };

@Injectable()
export class FollowedPackages implements OnModuleInit, OnApplicationShutdown {
  readonly #models = new ModelTable();
  readonly #packages: Followed[] = [];
  readonly #stop = new AbortController();
  #source: PackageSource | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly settings: PackageSettings,
    @Inject(KafkaReader) private readonly reader: PartitionReader,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly health: Health,
  ) {
    const { dataDir, modelRegistry } = settings;
    if (dataDir === undefined || modelRegistry === undefined) return;
    this.#source = new PackageSource({ dataDir, modelRegistry, clock, inUse: () => this.#inUse() });
    telemetry.gauge(
      {
        name: "tributary_package_current",
        help: "1 while the package that the reference names is active",
        labels: ["reference"],
      },
      () =>
        this.#packages.map(({ text: reference, followed: { active, wanted } }) => ({
          labels: { reference },
          value: Number(active !== null && active === wanted),
        })),
    );
  }

  /** `user`: what it is for, in health checks. `isNeeded`: the service is not ready without one. */
  follow({ user, text, use, isNeeded }: PackageUser): void {
    const reference = modelReferenceOf(text);
    const { clock, random, telemetry } = this;
    const { modelRegistry } = this.settings;
    const source = this.#source;
    invariant(
      reference !== null && modelRegistry !== undefined && source !== undefined,
      "checked by its configuration",
    );
    const followed = new FollowedPackage({
      ...{ text, reference, use, models: this.#models, source, clock, random, telemetry },
      retryMsMax: modelRegistry.retryMsMax,
      onTaken: () => this.#remember(),
      signal: this.#stop.signal,
    });
    this.#packages.push({ text, followed });
    this.health.add(`package of ${user}`, () => {
      const { problem, active } = followed;
      if (problem === null) return true;
      return isNeeded && active === null ? problem : { degraded: problem };
    });
  }

  onModuleInit(): void {
    if (this.#packages.length > 0) this.#running = this.#run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const last = (await this.#source?.lastActive()) ?? new Map<string, Digest>();
    const packages = this.#packages.map(({ text, followed }) => followed.run(last.get(text)));
    await Promise.all([this.#read(), ...packages]);
  }

  async #read(): Promise<void> {
    const { reader, telemetry, clock, random } = this;
    const { signal } = this.#stop;
    const models = this.#models;
    let isRead = false;
    const changed = () => {
      if (isRead) for (const { followed } of this.#packages) followed.changed();
    };
    const context = { reader, telemetry, clock, random, signal };
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const following = await followAll([
          follow(context, topics.models, (model, record) => {
            models.onModel(model, record);
            changed();
          }),
          follow(context, topics.modelAliases, (aliases, record) => {
            models.onAliases(aliases, record);
            changed();
          }),
        ]);
        await following.caughtUp.then(
          () => {
            isRead = true;
            changed();
          },
          () => {}, // It is stopped.
        );
        await following.ended;
      } catch {
        // Its topics are not there yet; the reader reports what Kafka says.
        await clock.sleep(backoffMs(READ_BACKOFF, attempt, random), signal).catch(() => {});
      }
    }
  }

  /** A disk that cannot be written to costs a fetch at the next start, and no package now. */
  async #remember(): Promise<void> {
    const active = this.#packages.flatMap(({ text, followed }): [string, Digest][] =>
      followed.active === null ? [] : [[text, followed.active]],
    );
    await this.#source?.remember(new Map(active)).catch(() => {});
  }

  #inUse(): readonly Digest[] {
    return this.#packages
      .flatMap(({ followed: { active, wanted } }) => [active, wanted])
      .filter((digest) => digest !== null);
  }
}
