/** The device's models, opened and wired: the one it starts with, and what the updater needs to bring others. */
import { createHash } from "node:crypto";
import type { LoadOptions, ModelPackage } from "@tributary/inference";
import { type Clock, type Digest, Failure, reasonOf } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { type Cores, checkGoldenFrames, OnnxModelHost } from "@tributary/onnx";
import type { Telemetry } from "@tributary/telemetry";
import { type Book, type Boot, type PackageRef, updateLimits } from "@tributary/updates";
import type { AgentConfig } from "./config.ts";
import { isRaised } from "./cores.ts";
import * as events from "./events.ts";
import { ModelKeeper } from "./model-keeper.ts";
import { PolicyKeeper } from "./policy-keeper.ts";
import { Slot, type Slots } from "./slots.ts";
import { openSlot } from "./updates/boot.ts";
import { fetchInChild } from "./updates/fetcher.ts";
import { mismatchWords, prove } from "./updates/prove.ts";
import { Shelf } from "./updates/shelf.ts";
import type { UpdaterPorts } from "./updates/updater.ts";

export type ModelsPorts = {
  readonly config: AgentConfig;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly cores: Cores | null;
  readonly onLost: (slot: Slot) => void;
};

type Lost = { readonly code: string; readonly reason: string; readonly retryMs: number };

export class Models {
  readonly #ports: ModelsPorts;
  readonly #shelf: Shelf;
  readonly #load: LoadOptions;
  #boot: Boot | undefined;
  #first: Slot | undefined;

  private constructor(ports: ModelsPorts) {
    const { config, cores } = ports;
    this.#ports = ports;
    this.#shelf = new Shelf(config.dataDir);
    const apart = cores && { backgroundCore: cores.background, isRaised: isRaised(config.model) };
    this.#load = { threads: config.model.threads, ...apart };
  }

  /** Throws Failure when no package can be used. */
  static async open(ports: ModelsPorts): Promise<Models> {
    const models = new Models(ports);
    const { config, telemetry } = ports;
    const { book, damaged } = models.#shelf.read();
    if (damaged !== null) {
      const file = await models.#shelf.setAside().catch(reasonOf);
      telemetry.emit(events.slotsSetAside, { file, reason: damaged });
    }
    models.#first = await openSlot(book, {
      shelf: models.#shelf,
      factoryDir: config.model.package,
      open: (dir, digest) => models.#open(dir, digest),
      mismatchOf,
      onUnusable: (unusable) => telemetry.emit(events.slotUnusable, unusable),
    });
    const factory = await factoryOf(config.model.package, models.#first, book).then(refOf, (error: unknown) => {
      // A committed model does without it (G7); a desired state that names it is then one like any other.
      const code = error instanceof Failure ? error.code : "model-unusable";
      telemetry.emit(events.slotUnusable, { modelDigest: "of the configuration", code, reason: reasonOf(error) });
      return { digest: "", name: "", version: "" };
    });
    const limits = { ...updateLimits, backoff: config.updates.backoff };
    models.#boot = { book, factory, running: models.#first.pkg.digest, limits };
    return models;
  }

  get first(): Slot {
    return this.#first as Slot;
  }

  get boot(): Boot {
    return this.#boot as Boot;
  }

  lost(slot: Slot, lost: Lost): void {
    this.#ports.telemetry.emit(events.modelLost, lost);
    this.#ports.onLost(slot);
  }

  updaterPorts(slots: Slots): Omit<UpdaterPorts, "isBusy" | "onChanged" | "onMoved" | "onShadowed"> {
    const { config, clock, cores } = this.#ports;
    const { deviceId, dataDir, hardwareClass, models } = config;
    return {
      ...{ deviceId, shelf: this.#shelf, slots, clock, random: Math.random },
      fetch:
        models === undefined
          ? null
          : ({ digest, name, version }, onProgress, signal) => {
              const background = cores && { backgroundCore: cores.background };
              const wanted = { digest, name, version };
              const job = { ...models, dataDir, hardwareClass, wanted, clock: config.clock, ...background };
              return fetchInChild(job, onProgress, signal);
            },
      prove: ({ digest }, anySpeed, signal) =>
        prove(
          {
            dir: digest === this.boot.factory.digest ? config.model.package : this.#shelf.packageDir(digest),
            digest,
            load: { ...this.#load, isRaised: false }, // No frame waits for it.
            memoryBytesMin: config.updates.memoryBytesMin,
            ...{ anySpeed, sha256Hex },
          },
          signal,
        ),
      keep: (slot, { model }) => {
        const [host, options] = this.#hostOf(slot.pkg.dir, slot.pkg.digest);
        return ModelKeeper.adopt(
          model,
          host,
          options,
          this.#eventsOf(() => slot),
          clock,
          Math.random,
        );
      },
    };
  }

  async #open(dir: string, digest: Digest | null): Promise<Slot> {
    const { clock } = this.#ports;
    const pkg = await loadPackage(dir, digest === null ? {} : { digest });
    const policy = new PolicyKeeper(pkg, sha256Hex);
    let slot: Slot | undefined;
    const [host, options] = this.#hostOf(dir, pkg.digest);
    const keeper = await ModelKeeper.open(
      host,
      options,
      this.#eventsOf(() => slot),
      clock,
      Math.random,
    );
    slot = new Slot(pkg, policy, keeper, null);
    return slot;
  }

  /** Loads this package and no other, whatever lies in the folder by then. */
  #hostOf(dir: string, digest: Digest) {
    const host = new OnnxModelHost((folder) => loadPackage(folder, { digest }));
    return [host, { packageDir: dir, ...this.#load }] as const;
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

const factoryOf = async (dir: string, { pkg }: Slot, { good, previous }: Book) =>
  pkg.digest === good?.digest || pkg.digest === previous?.digest ? loadPackage(dir) : pkg;

/** Through the process that answers frames. */
async function mismatchOf({ pkg, runner }: Slot): Promise<string | null> {
  if (runner.current === undefined) throw new Failure("model-crashed", "retry", "its process has ended");
  const report = await checkGoldenFrames(runner.current, pkg, readPackageFile);
  return report.passed ? null : mismatchWords(report);
}

const refOf = ({ digest, manifest: { name, version } }: Pick<ModelPackage, "digest" | "manifest">): PackageRef => ({
  ...{ digest, name, version },
});

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
