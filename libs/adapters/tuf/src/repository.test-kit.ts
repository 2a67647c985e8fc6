/** A registry in memory, a clock that the test sets, a network that a test may tamper with. */
import type { ListedModel } from "@tributary/inference";
import type { Clock, Instant } from "@tributary/kernel";
import type { MetadataFetcher } from "./fetcher.ts";
import { generateKey, type Signer, signerOf } from "./repository/keys.ts";
import type { MetadataStore } from "./repository/metadata-store.ts";
import { type Lifetimes, TufRepository } from "./repository/repository.ts";
import { initRoot, type OnlineRole } from "./repository/root.ts";

export const START: Instant = Date.UTC(2026, 4, 1);
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** Stands still until it is advanced. */
export class ManualClock implements Clock {
  nowMs: Instant;
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();

  constructor(nowMs: Instant = START) {
    this.nowMs = nowMs;
  }

  now = (): Instant => this.nowMs;
  monotonicMs = (): number => this.nowMs;

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { atMs: this.nowMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.atMs > this.nowMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  get sleepers(): number {
    return this.#sleepers.size;
  }
}

export class MemoryStore implements MetadataStore {
  readonly files = new Map<string, Uint8Array>();
  /** Called before each put; throws to be a crash. */
  beforePut: (name: string) => void = () => {};

  async get(name: string): Promise<Uint8Array | undefined> {
    return this.files.get(name);
  }
  async put(name: string, bytes: Uint8Array): Promise<void> {
    this.beforePut(name);
    this.files.set(name, bytes);
  }
  async delete(name: string): Promise<void> {
    this.files.delete(name);
  }
}

export type Tamper = (
  file: string,
  bytes: Uint8Array | undefined,
) => Uint8Array | undefined | AsyncIterable<Uint8Array>;

/** Serves `files`, changed by `tamper`. Chunks are small, so that bounds are met in the middle. */
export class MemoryFetcher implements MetadataFetcher {
  readonly asked: string[] = [];
  tamper: Tamper = (_file, bytes) => bytes;
  files: ReadonlyMap<string, Uint8Array>;

  constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.files = files;
  }

  async fetch(url: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    const file = url.slice(url.lastIndexOf("/") + 1);
    this.asked.push(file);
    const answer = this.tamper(file, this.files.get(file));
    return answer instanceof Uint8Array ? chunksOf(answer) : answer;
  }
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 500) yield bytes.subarray(at, at + 500);
}

export const newSigner = (): Signer => signerOf(generateKey(), "test");
export const onlineSigners = (): Record<OnlineRole, Signer> => ({
  targets: newSigner(),
  snapshot: newSigner(),
  timestamp: newSigner(),
});
export const publicKeys = ({ targets, snapshot, timestamp }: Readonly<Record<OnlineRole, Signer>>) => ({
  targets: targets.publicKey,
  snapshot: snapshot.publicKey,
  timestamp: timestamp.publicKey,
});

export async function newRepository(clock = new ManualClock(), lifetimes: Partial<Lifetimes> = {}) {
  const store = new MemoryStore();
  const rootSigners = [newSigner(), newSigner(), newSigner()];
  const signers = onlineSigners();
  const online = publicKeys(signers);
  const rootBytes = initRoot({ rootSigners, online, now: clock.now() });
  await store.put("1.root.json", rootBytes);
  const repository = await TufRepository.open({ store, signers, clock, lifetimes });
  return { clock, store, rootSigners, signers, rootBytes, repository };
}

export const digestOf = (n: number): string => n.toString(16).padStart(64, "0");
export const model = (n: number, more: Partial<ListedModel> = {}): ListedModel => ({
  name: "edge-resnet8",
  version: `1.0.${n}`,
  hardwareClass: "cpu",
  packageBytes: 400_000 + n,
  manifestBytes: 4_000 + n,
  ...more,
});
