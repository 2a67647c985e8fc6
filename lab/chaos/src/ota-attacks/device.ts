/** Two devices under attack: a real one, and one that verifies nothing; and the check of both. The check compares
 * the installed bytes with the honest registry's list, and ignores the verifier's result. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Digest, Failure, type Instant } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { verifyManifest } from "@tributary/model-store/fetch";
import { type MetadataFetcher, openTrust, type TrustedModels, trustLimits } from "@tributary/tuf";
import { type Files, HARDWARE, HandClock, honestFiles, sha256, type World } from "./world.ts";

/** What a server that the attacker controls answers. */
export type Answer =
  | Uint8Array
  | undefined
  | { readonly endless: true }
  | { readonly slow: Uint8Array; readonly msEach: number; readonly bytesEach: number }
  | { readonly error: string };

export type Attack = {
  readonly stolen: readonly string[];
  /** The digest of the device's desired model. */
  readonly wants: Digest;
  readonly at: Instant;
  /** What the device's clock shows; null: it does not know the time; else the truth. */
  readonly clock?: Instant | null;
  /** The moment that the device saw last; -1: it is new. */
  readonly seen: number;
  /** The device was made with root 2. */
  readonly laterRoot?: true;
  readonly metadata: (file: string) => Answer;
  readonly blob: (digest: Digest) => Answer;
  /** What the attacker does to the downloaded files before they are loaded. */
  readonly tamper?: (files: Map<string, Uint8Array>) => void;
  /** Harm is done when the device cannot be brought back to the honest registry. */
  readonly entombs?: true;
};

export type Outcome = {
  readonly installed: Files | undefined;
  readonly code: string;
  readonly bytesRead: number;
  readonly ms: number;
  readonly isMetadataRolledBack: boolean;
  /** Of the timestamp it holds now. */
  readonly timestampVersion: number;
};

/** Limits of time and memory of the unguarded device, so that the control run ends. */
const FLOOD_BYTES = 4 << 20;
const PATIENCE_MS = 40 * 24 * 3_600_000;
/** A slow server's longest pause. */
export const SLOW_MS_EACH_MAX = 60_000;
/** Versions that no honest registry reaches. */
export const FAR_VERSION = 1_000_000_000;

/** The attacker's network; counts what a device takes from it and lets time pass. */
class Network implements MetadataFetcher {
  readonly #attack: Pick<Attack, "metadata" | "blob">;
  readonly #clock: HandClock;
  bytesRead = 0;

  constructor(attack: Pick<Attack, "metadata" | "blob">, clock: HandClock) {
    this.#attack = attack;
    this.#clock = clock;
  }

  async fetch(url: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#body(this.#attack.metadata(url.slice(url.lastIndexOf("/") + 1)));
  }

  async blob(digest: Digest, bytesMax: number): Promise<Uint8Array> {
    const body = this.#body(this.#attack.blob(digest));
    if (body === undefined) throw new Failure("blob-missing", "retry", `no blob ${digest}`);
    return readUpTo(body, bytesMax);
  }

  #body(answer: Answer): AsyncIterable<Uint8Array> | undefined {
    if (answer === undefined) return undefined;
    return this.#counted(chunksOf(answer, this.#clock));
  }

  async *#counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.bytesRead += chunk.length;
      yield chunk;
    }
  }
}

const CHUNK_BYTES = 16 << 10;

async function* chunksOf(answer: Exclude<Answer, undefined>, clock: HandClock): AsyncGenerator<Uint8Array> {
  if (answer instanceof Uint8Array) {
    for (let at = 0; at < answer.length; at += CHUNK_BYTES) yield answer.subarray(at, at + CHUNK_BYTES);
  } else if ("error" in answer) throw new Error(answer.error);
  else if ("endless" in answer) for (;;) yield new Uint8Array(CHUNK_BYTES).fill(0x20);
  else {
    for (let at = 0; at < answer.slow.length; at += answer.bytesEach) {
      clock.pass(answer.msEach);
      yield answer.slow.subarray(at, at + answer.bytesEach);
    }
  }
}

async function readUpTo(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Failure("blob-too-large", "give-up", `more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

type Place = { readonly trust: string; readonly package: string };

export class GuardedDevice {
  readonly #world: World;
  readonly #place: Place;
  readonly #rootBytes: Uint8Array;

  /** `state`: what its folder holds when the attack begins. */
  static async prepare(world: World, attack: Attack, state: Files, dir: string): Promise<GuardedDevice> {
    const device = new GuardedDevice(world, attack, dir);
    await mkdir(device.#place.trust, { recursive: true });
    for (const [name, bytes] of state) await writeFile(join(device.#place.trust, name), bytes);
    return device;
  }

  private constructor(world: World, attack: Attack, dir: string) {
    this.#world = world;
    this.#place = { trust: join(dir, "trust"), package: join(dir, "package") };
    this.#rootBytes = attack.laterRoot ? world.laterRoot : (world.present.files.get("1.root.json") as Uint8Array);
  }

  /** Given `attack.wants` as its desired state, it does what an agent does: refresh, look it up, fetch, verify, load. */
  async update(attack: Attack): Promise<Outcome> {
    const clock = new HandClock(attack.clock ?? attack.at);
    const network = new Network(attack, clock);
    const trust = await this.#open(network, clock, attack.clock !== null);
    const before = trust.state();
    const startedMs = clock.nowMs;
    let installed: Files | undefined;
    let code = "installed what is listed";
    try {
      installed = await this.#install(trust, network, attack);
    } catch (error) {
      if (!(error instanceof Failure)) throw error; // A device must not break, either.
      code = error.code;
    }
    const after = trust.state();
    const isSameRoot = after.rootVersion === before.rootVersion;
    return {
      installed,
      code,
      bytesRead: network.bytesRead,
      ms: clock.nowMs - startedMs,
      isMetadataRolledBack:
        after.rootVersion < before.rootVersion || (isSameRoot && after.timestampVersion < before.timestampVersion),
      timestampVersion: after.timestampVersion,
    };
  }

  async #install(trust: TrustedModels, network: Network, { wants, tamper }: Attack): Promise<Files> {
    await trust.refresh(new AbortController().signal);
    const listed = trust.listed(wants);
    if (listed === undefined) throw new Failure("not-listed", "give-up", `${wants} is not listed`);
    const bytes = await network.blob(wants, listed.manifestBytes);
    const manifest = verifyManifest(bytes, wants, listed, HARDWARE);
    const files = new Map([["manifest.json", bytes]]);
    for (const [path, file] of Object.entries(manifest.files)) {
      files.set(path, await network.blob(file.sha256, file.bytes));
    }
    tamper?.(files);
    const folder = this.#place.package;
    await rm(folder, { recursive: true, force: true });
    for (const [path, content] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    await loadPackage(folder, { digest: wants });
    return files;
  }

  /** True when the honest registry, with a new root where keys were stolen, is trusted again and lists what it lists. */
  async recovers(attack: Attack): Promise<boolean> {
    const { at } = attack;
    const rotate = attack.stolen.length > 0;
    const files = await honestFiles(this.#world, at, { laterRoot: attack.laterRoot ?? false, rotate });
    const clock = new HandClock(at);
    const network = new Network({ metadata: (file) => files.get(file), blob: () => undefined }, clock);
    const trust = await this.#open(network, clock, true);
    try {
      await trust.refresh(new AbortController().signal);
    } catch (error) {
      if (error instanceof Failure) return false;
      throw error;
    }
    const { listed } = this.#world.present;
    return [...this.#world.bundles.keys()].every(
      (digest) => (trust.listed(digest) === undefined) !== listed.has(digest),
    );
  }

  #open(fetcher: MetadataFetcher, clock: HandClock, isClockSet: boolean): Promise<TrustedModels> {
    return openTrust({
      dir: this.#place.trust,
      rootBytes: this.#rootBytes,
      metadataUrl: "http://registry/tuf",
      fetcher,
      clock,
      isClockSet: () => isClockSet,
    });
  }
}

/** What a device's folder holds that has seen `moment` last. */
export async function stateAfter(world: World, seen: number, dir: string): Promise<Files> {
  const state = new Map<string, Uint8Array>();
  const moment = world.moments[seen];
  if (moment === undefined) return state;
  const clock = new HandClock(moment.at);
  const network = new Network({ metadata: (file) => moment.files.get(file), blob: () => undefined }, clock);
  const rootBytes = moment.files.get("1.root.json") as Uint8Array;
  const trust = await openTrust({ dir, rootBytes, metadataUrl: "http://registry/tuf", fetcher: network, clock });
  await trust.refresh(new AbortController().signal);
  for (const name of await readdir(dir)) state.set(name, new Uint8Array(await readFile(join(dir, name))));
  return state;
}

/** Without verification: takes names and numbers from whatever is served, and continues with what it had where nothing is served. */
export async function updateUnguarded(world: World, attack: Attack): Promise<Outcome> {
  const clock = new HandClock(attack.clock ?? attack.at);
  const network = new Network(attack, clock);
  const had = world.moments[attack.seen]?.files ?? new Map<string, Uint8Array>();
  const startedMs = clock.nowMs;
  let timestampVersion = 0;
  const fromNetwork = async (file: string) => {
    const body = await network.fetch(file);
    return body && readUpTo(body, FLOOD_BYTES);
  };
  const targetsOf = async (read: (file: string) => Promise<Uint8Array | undefined> | Uint8Array | undefined) => {
    const json = async (file: string) => JSON.parse(new TextDecoder().decode(await read(file))).signed;
    const timestamp = await json("timestamp.json");
    timestampVersion = timestamp.version;
    const snapshot = await json(`${timestamp.meta["snapshot.json"].version}.snapshot.json`);
    return (await json(`${snapshot.meta["targets.json"].version}.targets.json`)).targets;
  };
  const install = async (): Promise<Files> => {
    await fromNetwork("2.root.json").catch(() => undefined);
    const targets = await targetsOf(fromNetwork).catch(() => targetsOf((file) => had.get(file)));
    if (targets[`${attack.wants}.json`] === undefined) throw new Error("not listed");
    const bytes = await network.blob(attack.wants, FLOOD_BYTES);
    const files = new Map([["manifest.json", bytes]]);
    for (const [path, file] of Object.entries(JSON.parse(new TextDecoder().decode(bytes)).files)) {
      const { sha256: digest } = file as { sha256: Digest };
      const content = await network.blob(digest, FLOOD_BYTES).catch(() => undefined);
      if (content !== undefined) files.set(path, content);
    }
    attack.tamper?.(files);
    return files;
  };
  let code = "installed what is listed";
  const installed = await install().catch((error: Error) => {
    code = error.message;
    return undefined;
  });
  const ms = Math.min(clock.nowMs - startedMs, PATIENCE_MS);
  return { installed, code, bytesRead: network.bytesRead, ms, isMetadataRolledBack: false, timestampVersion };
}

/** The limit of bytes for an honest update: every role's limit, two roots, a package, and data in flight. */
const bytesAllowed = (world: World): number =>
  Object.values(trustLimits.bytesMax).reduce((sum, bytes) => sum + bytes, 0) +
  trustLimits.bytesMax.root +
  Math.max(...[...world.bundles.values()].map(({ listed }) => listed.packageBytes + listed.manifestBytes)) +
  6 * CHUNK_BYTES;

/** The harm done, or undefined. */
export function harmOf(world: World, attack: Attack, outcome: Outcome): string | undefined {
  const { installed, bytesRead, ms, isMetadataRolledBack, timestampVersion } = outcome;
  if (installed !== undefined) {
    const bundle = world.bundles.get(attack.wants);
    const listed = world.present.listed.get(attack.wants);
    if (listed === undefined || bundle === undefined) return "runs a model that is not listed";
    if (!isWhole(installed, new Map([["manifest.json", bundle.manifest], ...bundle.files])))
      return "runs unsigned bytes";
    if (listed.hardwareClass !== HARDWARE) return "runs a model for other hardware";
  }
  if (bytesRead > bytesAllowed(world)) return "read without a limit";
  if (ms > trustLimits.refreshMsMax + SLOW_MS_EACH_MAX) return "delayed without a limit";
  if (isMetadataRolledBack) return "accepted older metadata";
  if (attack.entombs && attack.stolen.length === 0 && timestampVersion >= FAR_VERSION)
    return "accepted a version that no registry reaches";
  return undefined;
}

const isWhole = (a: Files, b: Files): boolean =>
  a.size === b.size &&
  [...b].every(([path, bytes]) => a.has(path) && sha256(a.get(path) as Uint8Array) === sha256(bytes));
