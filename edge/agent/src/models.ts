/** The device's models: the one it starts with, and the ports that the updater needs to load others. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ModelPackage } from "@tributary/inference";
import { type Clock, type Digest, Failure, reasonOf } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import type { Telemetry } from "@tributary/telemetry";
import { type Boot, type DurableState, type PackageRef, updateLimits } from "@tributary/updates";
import { type AgentConfig, shortestDeadlineOf } from "./config.ts";
import { hangsMsOf, hasMemoryFor, mustBeFastEnough, mustHaveLabelsOf } from "./driving/lite.ts";
import { Standby } from "./driving/standby.ts";
import * as events from "./events.ts";
import { ModelKeeper } from "./model-keeper.ts";
import type { LoadedFor, LoadedPackage, ModelRuntime } from "./model-runtime.ts";
import { PolicyKeeper } from "./policy-keeper.ts";
import { Slot, type Slots } from "./slots.ts";
import { openSlot } from "./updates/boot.ts";
import type { ModelTrialPorts } from "./updates/model-trial.ts";
import { prove } from "./updates/prove.ts";
import type { UpdateStore } from "./updates/store.ts";
import type { UpdaterPorts } from "./updates/updater.ts";

export type ModelsPorts = {
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly runtime: ModelRuntime;
  readonly store: UpdateStore;
};

type Lost = { readonly code: string; readonly reason: string; readonly retryMs: number };

export class Models {
  readonly #config: AgentConfig;
  readonly #ports: ModelsPorts;
  #boot: Boot | undefined;
  #first: Slot | undefined;
  /** Whenever a model's process is lost. */
  onLost: (slot: Slot) => void = () => undefined;

  private constructor(config: AgentConfig, ports: ModelsPorts) {
    this.#config = config;
    this.#ports = ports;
  }

  /** The model that stands in for frames with a deadline; null: there is none. */
  lite: Slot | null = null;

  /** Throws Failure when no package can be used, or LITE does not fit the model or the deadline. */
  static async open(config: AgentConfig, ports: ModelsPorts): Promise<Models> {
    const models = new Models(config, ports);
    const { telemetry, runtime } = ports;
    const { packageStore } = ports.store;
    const { durable, damaged } = packageStore.read();
    if (damaged !== null) {
      const file = await packageStore.setAside().catch(reasonOf);
      telemetry.emit(events.slotsSetAside, { file, reason: damaged });
    }
    models.#first = await openSlot(durable, {
      packageStore,
      factoryDir: config.model.package,
      open: (dir, digest) => models.#open(dir, digest, "model"),
      mismatchOf: (slot) => runtime.goldenMismatch(loadedIn(slot)),
      onUnusable: (unusable) => telemetry.emit(events.slotUnusable, unusable),
    });
    const factory = await factoryOf(config.model.package, models.#first, durable).then(refOf, (error: unknown) => {
      // A committed model does not need it (G7); a desired state that names it is then one like any other.
      const code = error instanceof Failure ? error.code : "model-unusable";
      telemetry.emit(events.slotUnusable, { modelDigest: "of the configuration", code, reason: reasonOf(error) });
      return { digest: "", name: "", version: "" };
    });
    const limits = { ...updateLimits, backoff: config.updates.backoff };
    models.#boot = { durable, factory, running: models.#first.pkg.digest, limits };
    models.lite = await models.#openLite(models.#first);
    return models;
  }

  async #openLite({ pkg }: Slot): Promise<Slot | null> {
    const { cameras, driving } = this.#config;
    const deadlineMs = shortestDeadlineOf({ cameras });
    if (deadlineMs === null || driving.lite === undefined) return null;
    const promised = { deadlineMs, firm: driving.firm };
    const { runtime, telemetry } = this.#ports;
    const { package: dir, picture, spare } = driving.lite;
    const lite = await runtime.load(dir, null, "lite");
    try {
      mustHaveLabelsOf(pkg, lite.pkg);
      const measured = await runtime.measured(lite, picture, promised);
      mustBeFastEnough(lite, measured, promised);
      const { name, version } = lite.pkg.manifest;
      telemetry.emit(events.liteMeasured, { name, version, deadlineMs, ...measured });
      let slot: Slot | undefined;
      const runner = spare
        ? await this.#standbyOf(lite, { picture, deadlineMs, memoryMiB: measured.memoryMiB }, () => slot)
        : this.#keeperOf(lite, dir, "lite", () => slot);
      slot = new Slot(lite.pkg, new PolicyKeeper(lite.pkg, sha256Hex), runner, null);
      return slot;
    } catch (error) {
      await lite.model.close();
      throw error;
    }
  }

  /** Reloads only this package, whatever its folder contains by then. */
  async #standbyOf(
    { pkg, model }: LoadedPackage,
    { picture, deadlineMs, memoryMiB }: { picture: string | undefined; deadlineMs: number; memoryMiB: number },
    slotOf: () => Slot | undefined,
  ): Promise<Standby> {
    const { runtime, clock, telemetry } = this.#ports;
    const file = picture ?? join(pkg.dir, pkg.golden.frames[0]?.jpeg ?? "");
    const settings = { hangsMs: hangsMsOf(deadlineMs), picture: await readFile(file) };
    return new Standby(model, settings, {
      load: async () => (await runtime.load(pkg.dir, pkg.digest, "lite")).model,
      hasMemory: () => hasMemoryFor(memoryMiB),
      events: {
        ...this.#eventsOf(slotOf),
        onTakeOver: (takeOver) => telemetry.emit(events.liteTakenOver, takeOver),
      },
      clock,
      random: Math.random,
    });
  }

  get first(): Slot {
    return this.#first as Slot;
  }

  get boot(): Boot {
    return this.#boot as Boot;
  }

  lost(slot: Slot, lost: Lost): void {
    this.#ports.telemetry.emit(events.modelLost, lost);
    this.onLost(slot);
  }

  updaterPorts(): Pick<UpdaterPorts<unknown>, "deviceId" | "packageStore" | "fetch" | "clock" | "random"> {
    const { clock, store } = this.#ports;
    const { packageStore, fetch } = store;
    return { deviceId: this.#config.deviceId, packageStore, fetch, clock, random: Math.random };
  }

  trialPorts(slots: Slots): Omit<ModelTrialPorts, "isBusy" | "onShadowed"> {
    const { clock, runtime, store } = this.#ports;
    const { packageStore } = store;
    const { model, updates } = this.#config;
    return {
      slots,
      clock,
      prove: async ({ digest }, anySpeed, signal) => {
        const dir = digest === this.boot.factory.digest ? model.package : packageStore.packageDir(digest);
        const options = { dir, digest, memoryBytesMin: updates.memoryBytesMin, anySpeed, sha256Hex };
        const candidate = await prove(options, runtime, signal);
        try {
          if (this.lite !== null) mustHaveLabelsOf(candidate.slot.pkg, this.lite.pkg);
        } catch (error) {
          await candidate.model.close();
          throw error;
        }
        return candidate;
      },
      keep: (slot, candidate) => {
        runtime.committed(candidate.model);
        return this.#keeperOf({ pkg: slot.pkg, model: candidate.model }, slot.pkg.dir, "model", () => slot);
      },
    };
  }

  async #open(dir: string, digest: Digest | null, loadedFor: LoadedFor): Promise<Slot> {
    const loaded = await this.#ports.runtime.load(dir, digest, loadedFor);
    try {
      const policy = new PolicyKeeper(loaded.pkg, sha256Hex);
      let slot: Slot | undefined;
      const keeper = this.#keeperOf(loaded, dir, loadedFor, () => slot);
      slot = new Slot(loaded.pkg, policy, keeper, null);
      return slot;
    } catch (error) {
      await loaded.model.close();
      throw error;
    }
  }

  /** Reloads only this package, whatever the folder contains by then. */
  #keeperOf(
    { pkg, model }: LoadedPackage,
    dir: string,
    loadedFor: LoadedFor,
    slotOf: () => Slot | undefined,
  ): ModelKeeper {
    const { runtime, clock } = this.#ports;
    const loadAgain = async () => (await runtime.load(dir, pkg.digest, loadedFor)).model;
    return new ModelKeeper(model, loadAgain, this.#eventsOf(slotOf), clock, Math.random);
  }

  #eventsOf(slotOf: () => Slot | undefined) {
    const { telemetry } = this.#ports;
    return {
      onLoaded: ({ digest: modelDigest, manifest: { name, version }, pid }: ModelKeeper["current"] & object) =>
        telemetry.emit(events.modelLoaded, { modelDigest, name, version, pid }),
      onLost: (lost: Lost) => {
        const slot = slotOf();
        if (slot !== undefined) this.lost(slot, lost);
      },
    };
  }
}

const factoryOf = async (dir: string, { pkg }: Slot, { good, previous }: DurableState) =>
  pkg.digest === good?.digest || pkg.digest === previous?.digest ? loadPackage(dir) : pkg;

/** The package with the process that answers frames. */
function loadedIn({ pkg, runner }: Slot): LoadedPackage {
  if (runner.current === undefined) throw new Failure("model-crashed", "retry", "its process has ended");
  return { pkg, model: runner.current };
}

const refOf = ({ digest, manifest: { name, version } }: Pick<ModelPackage, "digest" | "manifest">): PackageRef => ({
  digest,
  name,
  version,
});

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
