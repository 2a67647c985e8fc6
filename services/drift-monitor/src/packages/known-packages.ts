/** Packages as a provider: folders are read, and models.v1 is known, before input is taken. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { follow, followAll } from "@tributary/kafka";
import { type Clock, type Random, repeatLater } from "@tributary/kernel";
import { ModelTable, modelReferenceOf } from "@tributary/models";
import { CLOCK, CONFIG, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { DriftMonitorConfig } from "../config.ts";
import { TableReader } from "../table-reader.ts";
import { fetchReference, readReference } from "./documents.ts";
import { NamedPackages } from "./named-packages.ts";
import { Packages } from "./packages.ts";

const RETRY_EVERY_MS = 500;

@Injectable()
export class KnownPackages extends Packages implements OnModuleInit, OnApplicationShutdown {
  readonly #follow: () => Promise<void>;
  readonly #stopping = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();

  constructor(
    @Inject(CONFIG) { packages, modelRegistry, limits }: DriftMonitorConfig,
    @Inject(CLOCK) clock: Clock,
    @Inject(RANDOM) random: Random,
    @Inject(TELEMETRY) telemetry: Telemetry,
    reader: TableReader,
    health: Health,
  ) {
    const models = new ModelTable();
    super({
      models,
      fetch: modelRegistry === undefined ? null : (digest, signal) => fetchReference(digest, modelRegistry, signal),
      packagesMax: limits.packagesMax,
      retryMsMax: limits.packageRetryMsMax,
      clock,
      random,
      telemetry,
    });
    const { signal } = this.#stopping;
    const references = packages.flatMap((name) => modelReferenceOf(name) ?? []);
    const folders = packages.filter((name) => modelReferenceOf(name) === null);
    let isCaughtUp = false;
    const named = new NamedPackages(references, models, telemetry);
    const look = () => {
      const digests = isCaughtUp ? named.changed() : undefined;
      if (digests !== undefined) this.hold(digests);
      this.retry();
    };
    health.add("models", () => isCaughtUp || "still reading models.v1");
    this.#follow = async () => {
      for (const folder of folders) this.pin(await readReference(folder));
      const context = { reader, clock, random, telemetry, signal };
      const followings = [follow(context, topics.models, models.onModel)];
      if (references.length > 0) followings.push(follow(context, topics.modelAliases, models.onAliases));
      const following = await followAll(followings);
      const retrying = repeatLater(look, { clock, everyMs: RETRY_EVERY_MS, signal });
      this.#ended = Promise.all([following.ended, retrying]);
      await following.caughtUp;
      isCaughtUp = true;
    };
    telemetry.gauge(
      { name: "tributary_drift_packages", help: "Packages whose documents are known" },
      () => this.loaded,
    );
    telemetry.gauge(
      { name: "tributary_drift_packages_missing", help: "Packages that devices run and whose documents are not known" },
      () => this.missing,
    );
  }

  onModuleInit(): Promise<void> {
    return this.#follow();
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#ended, this.stop()]);
  }
}
