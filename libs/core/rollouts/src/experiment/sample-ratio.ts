/**
 * Sample-ratio mismatch: are the devices that report those that were assigned? An arm whose devices fall silent, or whose policy does not reach
 * them, is compared by what is left of it, which is not a random part.
 *
 * Two tests share the level. Once, at the first look after the burn-in that finds enough devices of whichever arms, an exact one of how many devices of each arm have reported (Fisher 1935,
 * within strata): it has the most power where an arm's devices are missing from the start. And at every look a sequential one, for what comes later.
 *
 * Devices of a stratum were assigned at random, as many to each arm as was fixed; so whichever reports next is of an arm with the probability of
 * that arm's share among those that have not reported. The e-value of the second bets that an arm's devices are rarer or commoner than that, by a mixture of
 * odds: a test martingale, exact, and valid at whatever moment one looks (after Lindon & Malek 2022, here without replacement).
 */
import { hashOf, invariant } from "@tributary/kernel";
import { logSum } from "../judge/evidence.ts";
import type { Experiment } from "./experiment.ts";

export type Stratum = {
  /** Devices that were assigned to each arm. */
  readonly assigned: readonly number[];
  /** The arm of each device that has reported, in the order of their first reports; where that order may depend on the arm, as while devices
   * switch, in one that does not. */
  readonly reported: readonly number[];
};

const ODDS = [1 / 4, 1 / 2, 2, 4] as const;

/** ln e for "some arm's devices report more or less often than the others'". */
export function logRatioMismatch(strata: readonly Stratum[]): number {
  const arms = strata[0]?.assigned.length ?? 0;
  const bets = Array.from({ length: arms }, (_, arm) => ODDS.map((odds) => ({ arm, odds }))).flat();
  if (arms < 2) return 0;
  return logSum(bets.map((bet) => strata.reduce((sum, one) => sum + logWealth(one, bet), -Math.log(bets.length))));
}

type Bet = { readonly arm: number; readonly odds: number };

function logWealth({ assigned, reported }: Stratum, { arm: bet, odds }: Bet): number {
  const left = [...assigned];
  let all = left.reduce((sum, devices) => sum + devices, 0);
  let log = 0;
  for (const arm of reported) {
    const devices = left[arm] ?? 0;
    invariant(devices > 0, `more devices of arm ${arm} report than were assigned`);
    const share = (left[bet] as number) / all;
    // The odds of the bet's arm are `odds` times what they were; the others share the rest as before.
    log += Math.log((arm === bet ? odds : 1) / (1 - share + odds * share));
    left[arm] = devices - 1;
    all -= 1;
  }
  return log;
}

/** How many devices of each arm were assigned in a stratum, and how many of them reported. */
export type StratumCounts = { readonly assigned: readonly number[]; readonly reported: readonly number[] };

/** P that so few of an arm's devices report, or fewer, were those that report drawn at random within each stratum: exact. */
export function shortfallP(strata: readonly StratumCounts[], arm: number): number {
  let [sums, reported]: [Float64Array, number] = [Float64Array.of(1), 0];
  for (const one of strata) {
    const all = sumOf(one.assigned);
    sums = convolved(sums, hypergeometric(all, one.assigned[arm] ?? 0, sumOf(one.reported)));
    reported += one.reported[arm] ?? 0;
  }
  let p = 0;
  for (let k = 0; k <= Math.min(reported, sums.length - 1); k++) p += sums[k] as number;
  return Math.min(1, p);
}

/** P that of `drawn` devices out of `all`, of which `own` are the arm's, `k` are, by `k`. */
function hypergeometric(all: number, own: number, drawn: number): Float64Array {
  const [least, most] = [Math.max(0, drawn - (all - own)), Math.min(own, drawn)];
  const p = new Float64Array(most + 1);
  let log = 0;
  let largest = 0;
  const logs = [0];
  for (let k = least; k < most; k++) {
    log += Math.log(((own - k) * (drawn - k)) / ((k + 1) * (all - own - drawn + k + 1)));
    largest = Math.max(largest, log);
    logs.push(log);
  }
  let sum = 0;
  for (const one of logs) sum += Math.exp(one - largest);
  for (const [i, one] of logs.entries()) p[least + i] = Math.exp(one - largest) / sum;
  return p;
}

function convolved(a: Float64Array, b: Float64Array): Float64Array {
  const sums = new Float64Array(a.length + b.length - 1);
  for (let i = 0; i < a.length; i++) {
    const one = a[i] as number;
    if (one < 1e-18) continue; // Its tails are nothing, and most of it.
    for (let j = 0; j < b.length; j++) sums[i + j] = (sums[i + j] as number) + one * (b[j] as number);
  }
  return sums;
}

const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/** Chance of an alarm where there is no mismatch; half of it each test's. */
const LEVEL = 0.01;
/** The exact test waits for so many devices, of whichever arms: a policy may reach all of them late. */
const REPORTED_SHARE_MIN = 0.4;
/** An arm is silent if so much less of it is heard than of another, and if chance does so in no more than one look of twenty. */
const [HEARD_SHARE_MIN, SILENT_P_MAX] = [0.9, 0.05];

/** What a restarted instance needs. */
export type SampleRatioState = {
  readonly log: number;
  readonly exactP: number | null;
  readonly isMismatch: boolean;
  /** By stratum: the arms of devices in the order of their first reports. */
  readonly reported: ReadonlyMap<number, readonly number[]>;
  readonly seen: ReadonlySet<string>;
};

export class SampleRatio {
  /** ln e against "as many as were assigned". */
  log = 0;
  /** Of the exact test; null: not made yet. */
  exactP: number | null = null;
  isMismatch = false;
  readonly logNeeded = -Math.log(LEVEL / 2);
  readonly #strata = new Map<number, { readonly assigned: number[]; readonly reported: number[] }>();
  readonly #of = new Map<string, { readonly stratum: number; readonly arm: number }>();
  readonly #seen = new Set<string>();
  readonly #uid: string;
  readonly #arms: readonly { readonly name: string; readonly devices: readonly string[] }[];

  constructor({ uid, arms, order, strata }: Pick<Experiment, "uid" | "arms" | "order" | "strata">) {
    this.#uid = uid;
    this.#arms = arms;
    const place = new Map(order.map((deviceId, i) => [deviceId, strata?.[i] ?? 0]));
    for (const [arm, { devices }] of arms.entries()) {
      for (const deviceId of devices) {
        const stratum = place.get(deviceId) ?? 0;
        const one = this.#strata.get(stratum) ?? { assigned: arms.map(() => 0), reported: [] };
        this.#strata.set(stratum, one);
        one.assigned[arm] = (one.assigned[arm] ?? 0) + 1;
        this.#of.set(deviceId, { stratum, arm });
      }
    }
  }

  state(): SampleRatioState {
    const { log, exactP, isMismatch } = this;
    const reported = new Map([...this.#strata].map(([stratum, one]) => [stratum, one.reported]));
    return { log, exactP, isMismatch, reported, seen: this.#seen };
  }

  restore({ log, exactP, isMismatch, reported, seen }: SampleRatioState): void {
    Object.assign(this, { log, exactP, isMismatch });
    for (const [stratum, one] of this.#strata) {
      one.reported.length = 0;
      for (const arm of reported.get(stratum) ?? []) one.reported.push(arm);
    }
    this.#seen.clear();
    for (const deviceId of seen) this.#seen.add(deviceId);
  }

  /** By arm, the devices that have reported by now, at a look after the burn-in. An alarm stays, and so does the evidence for it. */
  reported(arms: readonly ReadonlyMap<string, unknown>[]): void {
    const fresh = arms.flatMap((devices) => [...devices.keys()].filter((deviceId) => !this.#seen.has(deviceId)));
    for (const deviceId of apartFromArms(this.#uid, fresh)) {
      this.#seen.add(deviceId);
      const { stratum, arm } = this.#of.get(deviceId) ?? { stratum: 0, arm: 0 };
      this.#strata.get(stratum)?.reported.push(arm);
    }
    if (this.exactP === null && this.#seen.size >= REPORTED_SHARE_MIN * this.#of.size) {
      const counts = this.#counts(arms.map((devices) => (deviceId: string) => devices.has(deviceId)));
      this.exactP = Math.min(1, arms.length * Math.min(...arms.map((_, arm) => shortfallP(counts, arm))));
      this.isMismatch ||= this.exactP <= LEVEL / 2;
    }
    if (fresh.length === 0) return;
    this.log = logRatioMismatch([...this.#strata.values()]);
    this.isMismatch ||= this.log >= this.logNeeded;
  }

  /** An arm of which fewer devices are heard now than of another, beyond chance: in words. Null: there is none. */
  silence(isHeard: (arm: number, deviceId: string) => boolean): string | null {
    const counts = this.#counts(this.#arms.map((_, arm) => (deviceId) => isHeard(arm, deviceId)));
    const heard = this.#arms.map(({ devices }, arm) => {
      const of = counts.reduce((sum, { reported }) => sum + (reported[arm] ?? 0), 0);
      return { of, share: of / devices.length };
    });
    const most = Math.max(...heard.map(({ share }) => share));
    for (const [arm, { name, devices }] of this.#arms.entries()) {
      const { of, share } = heard[arm] as { of: number; share: number };
      if (share >= HEARD_SHARE_MIN * most || shortfallP(counts, arm) > SILENT_P_MAX) continue;
      return `${of} of ${devices.length} devices of arm ${name} are heard lately, and of another arm ${Math.round(100 * most)} %`;
    }
    return null;
  }

  #counts(isCounted: readonly ((deviceId: string) => boolean)[]): readonly StratumCounts[] {
    const counts = new Map<number, { readonly assigned: readonly number[]; readonly reported: number[] }>();
    for (const [stratum, { assigned }] of this.#strata)
      counts.set(stratum, { assigned, reported: assigned.map(() => 0) });
    for (const [deviceId, { stratum, arm }] of this.#of) {
      const one = counts.get(stratum);
      if (one !== undefined && isCounted[arm]?.(deviceId) === true) one.reported[arm] = (one.reported[arm] ?? 0) + 1;
    }
    return [...counts.values()];
  }
}

/** In an order that does not depend on their arms: the hash by the uid alone has drawn these, and one would come before the other. */
export function apartFromArms(uid: string, deviceIds: readonly string[]): readonly string[] {
  const hashed = deviceIds.map((deviceId) => ({ deviceId, hash: hashOf(`${uid}\norder\n${deviceId}`) }));
  return hashed.sort((a, b) => a.hash - b.hash || (a.deviceId < b.deviceId ? -1 : 1)).map(({ deviceId }) => deviceId);
}
