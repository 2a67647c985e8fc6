/**
 * Keeps metadata from expiring: devices can check against a registry that is up. It cannot renew the root, which only its
 * holders can: it logs the expiry from 60 days before, at the start and once a day. It also completes revocations that did
 * not complete, so that metadata does not go on listing what was revoked (registry.ts R2).
 */
import { Inject, Injectable } from "@nestjs/common";
import { type Clock, reasonOf, repeatLater } from "@tributary/kernel";
import { CLOCK, CONFIG, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { TufRepository } from "@tributary/tuf/repository";
import type { RegistryConfig } from "../config.ts";
import { metadataRefreshed, metadataRefreshFailed, rootExpiring } from "../events.ts";
import { Registry } from "../models/registry.ts";

const DAY_MS = 24 * 3_600_000;
/** Its holders must be found, and sign one after the other. */
const ROOT_WARNING_MS = 60 * DAY_MS;

@Injectable()
export class Refresher {
  readonly #stop = new AbortController();
  #rootWarnedAt = Number.NEGATIVE_INFINITY;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: Pick<RegistryConfig, "tuf">,
    @Inject(TufRepository)
    private readonly repository: Pick<TufRepository, "refresh" | "expiresAt" | "rootExpiresAt" | "rootVersion">,
    @Inject(Registry) private readonly registry: Pick<Registry, "finishRevocations">,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {
    telemetry.gauge(
      { name: "tributary_registry_metadata_expires_in_seconds", help: "Until devices refuse what is signed" },
      () => (repository.expiresAt() - clock.now()) / 1_000,
    );
    telemetry.gauge(
      { name: "tributary_registry_root_expires_in_seconds", help: "Until the root ends, which its holders must renew" },
      () => (repository.rootExpiresAt() - clock.now()) / 1_000,
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
    const { repository, registry, clock, telemetry } = this;
    const everyMs = this.config.tuf.refreshMs;
    const { signal } = this.#stop;
    this.#warnOfRoot();
    const refresh = async () => {
      try {
        if (await repository.refresh()) telemetry.emit(metadataRefreshed, { expiresAt: repository.expiresAt() });
        await registry.finishRevocations();
      } catch (error) {
        telemetry.emit(metadataRefreshFailed, { reason: reasonOf(error) });
      }
      this.#warnOfRoot();
    };
    await repeatLater(refresh, { clock, everyMs, signal });
  }

  #warnOfRoot(): void {
    const { repository, clock, telemetry } = this;
    const now = clock.now();
    const expiresAt = repository.rootExpiresAt();
    if (expiresAt - now > ROOT_WARNING_MS || now - this.#rootWarnedAt < DAY_MS) return;
    this.#rootWarnedAt = now;
    const daysLeft = Math.floor((expiresAt - now) / DAY_MS);
    telemetry.emit(rootExpiring, { rootVersion: repository.rootVersion(), expiresAt, daysLeft });
  }
}
