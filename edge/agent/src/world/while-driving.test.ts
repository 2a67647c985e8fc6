/** Slot `world` over seeds: whatever is wanted, reported and lost, the table that answers stays the same for a whole drive. */
import { describe, expect, test } from "@jest/globals";
import { DeviceDesired } from "@tributary/contracts";
import { type Clock, Failure, type Random, seededRandom } from "@tributary/kernel";
import type { WorldPackage } from "@tributary/model-store";
import { bootOrder, type DurableState, emptyDurableState, updateLimits } from "@tributary/updates";
import { Updater } from "../updates/updater.ts";
import { World } from "./world.ts";

const labels = ["car", "ship"];
const logits = new Float32Array([0.2, 0]);
const PARKED_MS = 30_000;
/** Each letter stands for a table; `f` is that of the configuration. */
const packages = new Map(
  [..."fabc"].map((letter) => {
    const table = {
      ...{ formatVersion: 1, labels, factors: [{ name: "place", kind: "text" }], prior: [0.5, 0.5], strength: 20 },
      cells: { sea: [1, 400] },
    };
    const one = { digest: letter.repeat(64), dir: "", table, manifest: { name: "roads", version: letter } };
    return [letter.repeat(64), one as unknown as WorldPackage];
  }),
);
const packageOf = (digest: string) => packages.get(digest) as WorldPackage;
const FACTORY = { digest: "f".repeat(64), name: "roads", version: "f" };
const shut = { days: ["SUN" as const], fromMinute: 0, toMinute: 1, timeZone: "UTC" };
const turn = () => new Promise((resolve) => setImmediate(resolve));
const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await turn();
};

/** A vehicle whose agent may end at any moment; its disk stays. */
class Vehicle {
  disk: DurableState = emptyDurableState;
  uptimeMs = 1_000;
  writesFail = false;
  /** Damaged on the disk, until they are fetched again. */
  readonly #broken = new Set<string>();
  readonly #random: Random;
  readonly #onlyParked: boolean;
  /** The test decides what ends next. */
  waiting: { readonly end: (error?: Failure) => void }[] = [];
  updater!: Updater<WorldPackage>;
  world!: World;
  /** When the vehicle was last reported as parked, since the agent's start. */
  #parkedAt: number | null = null;
  /** The table of this drive. */
  #ofDrive: string | null = null;
  generation = 0;
  readonly seen = { changes: 0, withheld: 0, onTrialDriving: 0, violations: 0 };
  #last: string | null = null;

  constructor(seed: number, onlyParked = true) {
    this.#random = seededRandom(seed);
    this.#onlyParked = onlyParked;
    this.boot();
  }

  boot(): void {
    const { disk } = this;
    const waiting: typeof this.waiting = [];
    this.waiting = waiting;
    const later = (signal?: AbortSignal): Promise<void> =>
      new Promise((resolve, reject) => {
        const entry = {
          end: (error?: Failure) => {
            const place = waiting.indexOf(entry);
            if (place >= 0) waiting.splice(place, 1);
            if (error) reject(error);
            else resolve();
          },
        };
        waiting.push(entry);
        signal?.addEventListener("abort", () => entry.end(signal.reason), { once: true });
        if (signal?.aborted) entry.end(signal.reason);
      });
    const committed = bootOrder(disk).find((ref) => ref === null || !this.#broken.has(ref.digest)) ?? FACTORY;
    const clock: Clock = { now: () => 0, monotonicMs: () => 0, sleep: (_, signal) => later(signal) };
    const isOld = () => waiting !== this.waiting;
    this.world = new World(packageOf(committed.digest), {
      context: () => ({ context: { place: "sea" }, text: "sea" }),
      isWithheld: () => this.updater.isInterrupted,
      onTruth: () => this.updater.answered(false),
      onFailing: (failing) => this.updater.failing(failing),
      onUnusable: () => undefined,
    });
    const { world } = this;
    this.updater = new Updater<WorldPackage>(
      { durable: disk, factory: FACTORY, running: committed.digest, limits: updateLimits },
      {
        deviceId: "car",
        slot: "world",
        onlyParked: this.#onlyParked,
        packageStore: {
          write: async (durable) => {
            await later();
            if (isOld()) throw new Failure("gone", "retry", "the agent has ended");
            if (this.writesFail) throw new Failure("slots-unwritable", "retry", "full");
            this.disk = durable;
          },
          prune: async () => undefined,
        },
        fetch: async ({ digest }, _onProgress, signal) => {
          try {
            await later(signal);
            this.#broken.delete(digest);
            return { ok: true };
          } catch (error) {
            return { ok: false, code: (error as Failure).code, reason: "no", retry: "many" };
          }
        },
        trial: {
          prove: async ({ digest }, _anySpeed, signal) => {
            await later(signal);
            return packageOf(digest);
          },
          isGone: () => false,
          shadow: async () => undefined,
          switchTo: (pkg) => world.switchTo(pkg),
          restore: () => world.restore(),
          keep: () => undefined,
          commit: () => world.commit(),
          drop: async () => undefined,
        },
        onChanged: () => undefined,
        onMoved: () => undefined,
        clock,
        uptimeMs: () => this.uptimeMs,
        parkedMsMax: PARKED_MS,
        random: this.#random,
      },
    );
    this.#parkedAt = null;
    this.updater.start();
  }

  /** What a frame would be answered with now; null: perception alone. */
  get table(): string | null {
    return this.world.inContext(logits, 1, labels).worldDigest?.slice(0, 1) ?? null;
  }

  get isParked(): boolean {
    return this.#parkedAt !== null && this.uptimeMs - this.#parkedAt <= PARKED_MS;
  }

  report(parked: boolean): void {
    this.look();
    this.#parkedAt = parked ? this.uptimeMs : null;
    this.updater.report({ parked });
    this.look();
  }

  pass(ms: number): void {
    this.look();
    this.uptimeMs += ms;
    this.look();
  }

  restart(broken: readonly string[]): void {
    this.look();
    this.#parkedAt = null;
    for (const digest of broken) this.#broken.add(digest);
    this.boot();
    this.look();
  }

  async stop(): Promise<void> {
    let isOver = false;
    void this.updater.stop().then(() => {
      isOver = true;
    });
    while (!isOver) {
      this.waiting[0]?.end();
      await turn();
    }
  }

  /** A frame. */
  look(): void {
    const { table } = this;
    const { seen } = this;
    if (table === null) seen.withheld += 1;
    if (table !== null && this.#last !== null && table !== this.#last) seen.changes += 1;
    if (table !== null) this.#last = table;
    if (this.isParked) {
      this.#ofDrive = table ?? this.#ofDrive;
      return;
    }
    if (this.updater.onTrial !== undefined) seen.onTrialDriving += 1;
    if (table === null) return;
    this.#ofDrive ??= table;
    if (this.#ofDrive !== table) seen.violations += 1;
    this.#ofDrive = table;
  }

  want(generation: number, letter: string | null, more: object): void {
    const model = letter && { modelName: "roads", modelVersion: letter, modelDigest: letter.repeat(64) };
    const how = { shadowFrames: 0, probationFrames: 3, condition: "ANY" as const, windows: [], ...more };
    const desired: DeviceDesired = {
      deviceId: "car",
      generation: BigInt(generation),
      slots: model ? { world: { ...model, ...how } } : {},
      policyVersion: null,
      arm: "default",
      rollout: "",
      why: "",
      changedAt: 0,
    };
    try {
      this.updater.desired(DeviceDesired.encodeSingleObject(desired));
    } catch (error) {
      expect(error).toMatchObject({ code: "desired-older" });
    }
  }

  answered(label: string): void {
    this.world.inContext(logits, 1, labels).remember("one");
    this.world.truth("one", label);
  }
}

/** One random step of the world around the vehicle. */
async function happens(one: Vehicle, random: Random): Promise<void> {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const roll = random();
  if (roll < 0.14) {
    one.generation = Math.max(1, one.generation + pick([-1, 0, 1, 1, 1, 1]));
    const condition = pick(["ANY", "ANY", "IDLE", "PARKED"] as const);
    const more = { condition, probationFrames: pick([0, 1, 3, 50]), windows: random() < 0.1 ? [shut] : [] };
    one.want(one.generation, pick(["a", "b", "c", "f", "a", "b", null]), more);
  } else if (roll < 0.3) one.report(random() < 0.7);
  else if (roll < 0.36) one.updater.report({ idle: random() < 0.5, time: pick([null, 0, 4e12, 1e12 * random()]) });
  else if (roll < 0.46) one.pass(pick([10, 5_000, 20_000, 90_000]));
  else if (roll < 0.54) for (let i = pick([1, 3, 12]); i > 0; i--) one.answered(pick(["ship", "ship", "car"]));
  else if (roll < 0.57) for (let i = 12; i > 0; i--) one.answered("car");
  else if (roll < 0.6) one.writesFail = random() < 0.3;
  else if (roll < 0.65) one.restart(random() < 0.2 ? [pick(["a", "b", "c"]).repeat(64)] : []);
  else if (roll < 0.68) {
    await one.stop();
    one.restart([]);
  } else {
    for (let i = pick([1, 4]); i > 0; i--) {
      const failure = random() < 0.06 ? new Failure("registry-unreachable", "retry", "no") : undefined;
      pick(one.waiting)?.end(failure);
      await turns(1);
      one.look();
    }
  }
  await turns(2);
  one.look();
}

async function drives(seeds: number, onlyParked: boolean) {
  const seen = { changes: 0, withheld: 0, onTrialDriving: 0 };
  const violating: number[] = [];
  for (let seed = 1; seed <= seeds; seed++) {
    const random = seededRandom(seed);
    const one = new Vehicle(seed, onlyParked);
    for (let i = 0; i < 40; i++) await happens(one, random);
    for (const key of ["changes", "withheld", "onTrialDriving"] as const) seen[key] += one.seen[key];
    if (one.seen.violations > 0) violating.push(seed);
  }
  return { ...seen, violating };
}

describe("while the vehicle drives", () => {
  test("over 10,000 seeds no table changes, whatever the cloud wants and however often the agent restarts", async () => {
    const { violating, ...seen } = await drives(10_000, true);
    expect(violating).toEqual([]);
    // The seeds reach what they are about.
    expect(Object.entries(seen).filter(([, times]) => times < 1_000)).toEqual([]);
  }, 300_000);

  test("the same seeds find an agent that switches while it drives", async () => {
    expect((await drives(300, false)).violating.length).toBeGreaterThan(30);
  });
});
