/** Packages from the registry, by the agent's own code: signed metadata, then manifest, then files, each checked by the one
 * before (G6). One shelf and one set of metadata serve all devices of this process; every device asks for itself. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "@tributary/kernel";
import { httpFetcher, openTrust, type TrustedModels } from "@tributary/tuf";
import type { Progress, Wanted } from "@tributary/updates";
import { fetchPackage } from "../updates/fetch-package.ts";
import { Shelf } from "../updates/shelf.ts";
import type { PackageSource } from "./light-device.ts";

const BYTES_PER_SECOND_MAX = 100 << 20;
const PACKAGE_BYTES_MAX = 256 << 20;

export type SharedShelfOptions = {
  readonly dataDir: string;
  readonly registry: string;
  /** The first root of trust. */
  readonly root: string;
  readonly hardwareClass: string;
};

export class SharedShelf implements PackageSource {
  readonly #options: SharedShelfOptions;
  readonly #shelf: Shelf;
  readonly #trust: TrustedModels;
  readonly #clock: Clock;
  /** One device after the other: what the first has fetched, the next finds. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: SharedShelfOptions, trust: TrustedModels, shelf: Shelf, clock: Clock) {
    this.#options = options;
    this.#trust = trust;
    this.#shelf = shelf;
    this.#clock = clock;
  }

  static async open(options: SharedShelfOptions, clock: Clock = systemClock): Promise<SharedShelf> {
    const shelf = new Shelf(options.dataDir);
    const trust = await openTrust({
      dir: join(shelf.dir, "tuf"),
      rootBytes: await readFile(options.root),
      metadataUrl: `${options.registry.replace(/\/$/, "")}/tuf`,
      fetcher: httpFetcher(),
      clock,
    });
    return new SharedShelf(options, trust, shelf, clock);
  }

  fetch(wanted: Wanted, signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<string> {
    const { registry, hardwareClass } = this.#options;
    const fetched = this.#turn.then(async () => {
      await fetchPackage(
        {
          ...{ registry, wanted, hardwareClass },
          ...{ bytesPerSecondMax: BYTES_PER_SECOND_MAX, packageBytesMax: PACKAGE_BYTES_MAX },
        },
        { trust: this.#trust, shelf: this.#shelf, clock: this.#clock, onProgress },
        signal,
      );
      return this.#shelf.packageDir(wanted.digest);
    });
    this.#turn = fetched.catch(() => undefined);
    return fetched;
  }
}
