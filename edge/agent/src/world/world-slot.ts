/** Slot `world`: the context, the table, and its updates, which follow the desired state as those of slot `perception` do. */
import { WORLD } from "@tributary/contracts";
import type { Clock, Digest } from "@tributary/kernel";
import type { WorldPackage } from "@tributary/model-store";
import type { Telemetry } from "@tributary/telemetry";
import type { UpdateStatus } from "@tributary/updates";
import type { AgentConfig } from "../config.ts";
import { uptimeMs } from "../device-time.ts";
import * as events from "../events.ts";
import { Updater } from "../updates/updater.ts";
import { ContextSource, type ContextState } from "./context.ts";
import type { OpenedWorld } from "./open-world.ts";
import { World } from "./world.ts";
import { WorldTrial } from "./world-trial.ts";

export type WorldSlotPorts = {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** Of the model that answers frames. */
  readonly labels: () => readonly string[];
  /** How long a report that the device is parked holds. */
  readonly parkedMsMax: number;
  /** How much likelier the table made a truth. */
  readonly onTruth: (modelDigest: Digest, gainNats: number) => void;
  readonly onChanged: () => void;
  readonly onMoved: (status: UpdateStatus) => void;
};

export class WorldSlot {
  readonly world: World;
  readonly updater: Updater<WorldPackage>;
  readonly #source: ContextSource;
  readonly context = (): ContextState => this.#source.now;

  constructor(
    opened: OpenedWorld,
    deviceId: string,
    config: NonNullable<AgentConfig["world"]>,
    { telemetry, clock, labels, parkedMsMax, onTruth, onChanged, onMoved }: WorldSlotPorts,
  ) {
    const reported = (state: { readonly code: string; readonly reason: string } | null) =>
      telemetry.emit(events.contextChanged, state ?? { code: "", reason: "" });
    this.#source = new ContextSource(config, clock, (state) => reported(state.context === null ? state : null));
    this.world = new World(opened.committed, {
      context: () => this.#source.now,
      isWithheld: () => this.updater.isInterrupted,
      onTruth: (modelDigest, gainNats) => {
        onTruth(modelDigest, gainNats);
        telemetry.emit(events.worldTruth, { gainNats });
        this.updater.answered(false);
      },
      onFailing: (failing) => this.updater.failing(failing),
      onUnusable: reported,
    });
    const { factory, boot, store } = opened;
    const dirOf = (digest: Digest) => (digest === factory.digest ? factory.dir : store.packageStore.packageDir(digest));
    this.updater = new Updater<WorldPackage>(boot, {
      deviceId,
      slot: WORLD,
      onlyParked: true,
      parkedMsMax,
      uptimeMs,
      packageStore: store.packageStore,
      fetch: store.fetch,
      trial: new WorldTrial({ world: this.world, dirOf, labels }),
      clock,
      random: Math.random,
      onChanged,
      onMoved,
    });
  }

  start(): void {
    this.updater.start();
    this.#source.start();
  }

  async stop(): Promise<void> {
    this.#source.stop();
    await this.updater.stop();
  }
}
