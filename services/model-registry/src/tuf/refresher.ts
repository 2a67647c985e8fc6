/** Keeps metadata from expiring: a registry that is up is one that devices can check against. And finishes revocations that
 * stopped half-way, so that metadata does not go on listing what was revoked (Registry, R2). */
import { type Clock, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { TufRepository } from "@tributary/tuf/repository";
import { metadataRefreshed, metadataTroubled } from "../events.ts";
import type { Registry } from "../models/registry.ts";

export type RefresherOptions = {
  readonly repository: Pick<TufRepository, "refresh" | "expiresAt">;
  readonly registry: Pick<Registry, "finishRevocations">;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

export class Refresher {
  readonly #options: RefresherOptions;
  readonly #stop = new AbortController();
  #ended: Promise<void> = Promise.resolve();

  constructor(options: RefresherOptions) {
    this.#options = options;
    options.telemetry.gauge(
      { name: "tributary_registry_metadata_expires_in_seconds", help: "Until devices refuse what is signed" },
      () => (options.repository.expiresAt() - options.clock.now()) / 1_000,
    );
  }

  start(): void {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { repository, registry, everyMs, clock, telemetry } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await clock.sleep(everyMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const before = repository.expiresAt();
        await repository.refresh();
        if (repository.expiresAt() !== before) telemetry.emit(metadataRefreshed, { expiresAt: repository.expiresAt() });
        await registry.finishRevocations();
      } catch (error) {
        telemetry.emit(metadataTroubled, { reason: reasonOf(error) });
      }
    }
  }
}
