/** A fleet of devices on a simulated clock: their frames, their errors, how they follow their desired state. Everything comes
 * from one seeded source: the same settings give the same fleet, second by second (G10). A device ignores a desired state of
 * an older generation than it has seen (G6), as the agent does. Kafka's time is true; devices state ages, so their wall clocks
 * do not matter, but an age may be wrong. A device that is cut off continues to see frames and reports them later, in order;
 * one that is gone does not. */
import type { Random } from "@tributary/kernel";
import { binomial, normal } from "./draws.ts";

/** The properties of the new model. Shares and rates as 0 to 1. */
export type Candidate = {
  /** Loss of accuracy; below 0: it is better. */
  readonly harm: number;
  /** Standard deviation of its effect between devices, with mean 0. */
  readonly effectSd: number;
  /** Share of its frames that miss the deadline; null: as with the old one. */
  readonly missed: number | null;
  /** Crashes in an hour. */
  readonly crashesPerHour: number;
  /** Share of devices that refuse it before they run it. */
  readonly refusedBy: number;
  /** Share of devices that fall silent when they run it. */
  readonly silences: number;
  /** Share of devices that report that they run it, and continue with the old one. */
  readonly misreportedBy: number;
};

export type World = {
  readonly devices: number;
  /** Frames of one device and minute with a known outcome. */
  readonly framesPerMinute: number;
  readonly accuracy: number;
  /** Standard deviation between devices. */
  readonly deviceSd: number;
  /** Standard deviation of a device about its own accuracy, with a memory of two hours. */
  readonly wanderSd: number;
  /** Loss of accuracy of all devices in one hour a day, each by up to twice this. */
  readonly shock: number;
  /** Devices that leave for good, and new ones that come, per device and day. */
  readonly churnPerDay: number;
  /** Share of the time that a device is cut off, for a quarter of an hour on average. */
  readonly cutOff: number;
  /** Shares of reports that are delayed by up to ten minutes, and that are sent twice. */
  readonly late: number;
  readonly replayed: number;
  /** Share of desired states that are lost, the retained one as well. */
  readonly lost: number;
  /** Pairs of devices that share one id. */
  readonly clones: number;
  /** Shares of devices that report wrong ages, and that send malformed numbers. */
  readonly skewed: number;
  readonly malformed: number;
  readonly candidate: Candidate;
};

export const soundCandidate: Candidate = {
  harm: 0,
  effectSd: 0,
  missed: null,
  crashesPerHour: 0,
  refusedBy: 0,
  silences: 0,
  misreportedBy: 0,
};

/** Devices differ, and nothing else happens. */
export const calmWorld: World = {
  devices: 400,
  framesPerMinute: 12,
  accuracy: 0.9,
  deviceSd: 0.03,
  wanderSd: 0,
  shock: 0,
  churnPerDay: 0,
  cutOff: 0,
  late: 0,
  replayed: 0,
  lost: 0,
  clones: 0,
  skewed: 0,
  malformed: 0,
  candidate: soundCandidate,
};

/** Everything that happens to a fleet in the field, at once. */
export const roughWorld: World = {
  ...calmWorld,
  wanderSd: 0.02,
  shock: 0.05,
  churnPerDay: 0.2,
  cutOff: 0.03,
  late: 0.05,
  replayed: 0.02,
  lost: 0.2,
  clones: 0.01,
  skewed: 0.02,
  malformed: 0.01,
};

export type Digest = "old" | "new";
export type Desired = { readonly generation: bigint; readonly digest: Digest };

/** A window of frames, as the device reports it. */
export type Window = {
  readonly deviceId: string;
  readonly bootId: bigint;
  readonly seq: bigint;
  readonly digest: Digest;
  readonly frames: number;
  readonly good: number;
  readonly missed: number;
  readonly crashes: number;
  /** When it closed, in true time, and the error of its age as the device states it. */
  readonly closedAt: number;
  readonly ageErrorMs: number;
};

export type Report = {
  readonly deviceId: string;
  readonly bootId: bigint;
  readonly seq: bigint;
  readonly generation: bigint;
  readonly digest: Digest;
  readonly update: { readonly generation: bigint; readonly digest: Digest; readonly phase: string } | null;
};

/** Where a device's messages go. */
export type Sink = { window(window: Window, delayMs: number): void; report(report: Report, delayMs: number): void };

const MISSED = 0.01;
const MEMORY_MS = 2 * 3_600_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const CUT_OFF_MS = 15 * 60_000;
/** Counts in a malformed window. */
const MALFORMED = [Number.NaN, -5, 1e300, Number.POSITIVE_INFINITY] as const;

export class SimDevice {
  readonly id: string;
  readonly before: { readonly frames: number; readonly good: number };
  readonly #world: World;
  readonly #random: Random;
  readonly #own: number;
  readonly #effect: number;
  readonly #susceptible: number;
  readonly #kind: {
    readonly refuses: boolean;
    readonly silenced: boolean;
    readonly misreports: boolean;
    readonly skewMs: number;
    readonly sendsMalformed: boolean;
  };
  readonly #bootId: bigint;
  #wander: number;
  #seq = { metrics: 0n, reported: 0n };
  #generation = 0n;
  #staleIgnored = 0;
  #runs: Digest = "old";
  #update: { readonly desired: Desired; readonly doneAt: number } | null = null;
  #ended: Report["update"] = null;
  #isCutOff = false;
  #isGone = false;
  readonly #outbox: (Window | Report)[] = [];

  constructor(id: string, world: World, random: Random) {
    this.id = id;
    this.#world = world;
    this.#random = random;
    const { accuracy, deviceSd, candidate, framesPerMinute } = world;
    this.#own = clamp(accuracy + deviceSd * normal(random));
    this.#effect = candidate.effectSd * normal(random);
    this.#susceptible = 2 * random();
    this.#wander = world.wanderSd * normal(random);
    this.#kind = {
      refuses: random() < candidate.refusedBy,
      silenced: random() < candidate.silences,
      misreports: random() < candidate.misreportedBy,
      skewMs: random() < world.skewed ? (random() - 0.5) * 2 * HOUR : 0,
      sendsMalformed: random() < world.malformed,
    };
    this.#bootId = 1n + BigInt(Math.floor(random() * 2 ** 40));
    const frames = Math.round(framesPerMinute * 24 * 60);
    const noise = Math.sqrt((this.#own * (1 - this.#own)) / frames);
    this.before = { frames, good: Math.round(frames * clamp(this.#own + noise * normal(random))) };
  }

  get bootId(): bigint {
    return this.#bootId;
  }

  get runs(): Digest {
    return this.#runs;
  }

  get generation(): bigint {
    return this.#generation;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  /** Desired states of an older generation that it received and did not follow. */
  get staleIgnored(): number {
    return this.#staleIgnored;
  }

  /** True: it is connected again, and receives its retained desired state. */
  step(now: number, stepMs: number, shockNow: number, sink: Sink): boolean {
    if (this.#isGone) return false;
    const { churnPerDay, cutOff } = this.#world;
    if (this.#random() < (churnPerDay * stepMs) / DAY) {
      this.#isGone = true;
      return false;
    }
    let isBack = false;
    if (cutOff > 0) {
      const rate = this.#isCutOff ? 1 / CUT_OFF_MS : cutOff / (1 - cutOff) / CUT_OFF_MS;
      if (this.#random() < rate * stepMs) {
        this.#isCutOff = !this.#isCutOff;
        isBack = !this.#isCutOff;
      }
    }
    this.#progress(now, sink);
    this.#see(now, stepMs, shockNow, sink);
    if (!this.#isCutOff && this.#outbox.length > 0) for (const one of this.#outbox.splice(0)) this.#leave(one, sink);
    return isBack;
  }

  /** It receives a desired state. */
  receive(desired: Desired, now: number, sink: Sink): void {
    if (this.#isGone || this.#isCutOff) return;
    if (desired.generation < this.#generation) {
      this.#staleIgnored += 1;
      return;
    }
    const isKnown = desired.generation === this.#generation;
    this.#generation = desired.generation;
    if (!isKnown) {
      if (desired.digest === this.#runs) {
        this.#update = null;
        this.#ended = { ...desired, phase: "COMMITTED" };
      } else {
        // Mostly a minute; one in twenty waits for its download.
        const takesMs = 5_000 + 60_000 * this.#random() + (this.#random() < 0.05 ? 600_000 * this.#random() : 0);
        this.#update = { desired, doneAt: now + takesMs };
        this.#ended = { ...desired, phase: "DOWNLOADING" };
      }
    }
    this.#report(sink);
  }

  /** What it reports at boot. */
  hello(sink: Sink): void {
    this.#report(sink);
  }

  #progress(now: number, sink: Sink): void {
    if (this.#update === null || now < this.#update.doneAt) return;
    const { desired } = this.#update;
    this.#update = null;
    const refuses = desired.digest === "new" && this.#kind.refuses;
    if (!refuses) this.#runs = desired.digest;
    this.#ended = { ...desired, phase: refuses ? "REFUSED" : "COMMITTED" };
    this.#report(sink);
  }

  #see(now: number, stepMs: number, shockNow: number, sink: Sink): void {
    const { wanderSd, framesPerMinute, candidate } = this.#world;
    if (wanderSd > 0) {
      const memory = Math.exp(-stepMs / MEMORY_MS);
      this.#wander = memory * this.#wander + wanderSd * Math.sqrt(1 - memory * memory) * normal(this.#random);
    }
    const isNew = this.#runs === "new" && !this.#kind.misreports;
    const whole = (framesPerMinute * stepMs) / 60_000;
    const frames = Math.floor(whole) + (this.#random() < whole % 1 ? 1 : 0);
    const lost = shockNow * this.#susceptible + (isNew ? candidate.harm + this.#effect : 0);
    const bad = binomial(frames, 1 - clamp(this.#own + this.#wander - lost), this.#random);
    const missed = binomial(frames, isNew ? (candidate.missed ?? MISSED) : MISSED, this.#random);
    const crashes = isNew && this.#random() < (candidate.crashesPerHour * stepMs) / HOUR ? 1 : 0;
    if (isNew && this.#kind.silenced) return;
    if (frames === 0 && crashes === 0) return;
    const seen = this.#kind.sendsMalformed
      ? { frames, good: MALFORMED[Math.floor(this.#random() * MALFORMED.length)] as number, missed: Number.NaN }
      : { frames, good: frames - bad, missed };
    this.#seq.metrics += 1n;
    const window: Window = {
      deviceId: this.id,
      bootId: this.#bootId,
      seq: this.#seq.metrics,
      digest: isNew ? "new" : "old",
      ...seen,
      crashes,
      closedAt: now,
      ageErrorMs: this.#kind.skewMs,
    };
    this.#send(window, sink);
  }

  #report(sink: Sink): void {
    this.#seq.reported += 1n;
    this.#send(
      {
        deviceId: this.id,
        bootId: this.#bootId,
        seq: this.#seq.reported,
        generation: this.#generation,
        digest: this.#runs,
        update: this.#ended,
      },
      sink,
    );
  }

  #send(message: Window | Report, sink: Sink): void {
    if (this.#isCutOff) this.#outbox.push(message);
    else this.#leave(message, sink);
  }

  #leave(message: Window | Report, sink: Sink): void {
    const { late, replayed } = this.#world;
    const delayMs = 1_000 * this.#random() + (late > 0 && this.#random() < late ? 600_000 * this.#random() : 0);
    const times = replayed > 0 && this.#random() < replayed ? [delayMs, delayMs + 300_000 * this.#random()] : [delayMs];
    for (const ms of times) {
      if ("frames" in message) sink.window(message, ms);
      else sink.report(message, ms);
    }
  }
}

/** In which hour of the run all devices lose accuracy. */
export const shockAt = (now: number, startedAt: number, shock: number, hourAt: number): number =>
  now - startedAt >= hourAt && now - startedAt < hourAt + HOUR ? shock : 0;

const clamp = (rate: number): number => Math.min(0.999, Math.max(0.05, rate));
