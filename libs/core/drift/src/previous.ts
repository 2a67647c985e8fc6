/** Verdicts that are open: what was found before keeps its name and place while it still nearly holds. */
import type { DriftCause, DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { Place } from "./place.ts";

export class Previous {
  readonly open: readonly DriftVerdict[];
  readonly #failingSince = new Map<string, Instant>();

  constructor(verdicts: ReadonlyMap<string, DriftVerdict>) {
    const open = [...verdicts.values()].filter(({ state }) => state === "OPEN");
    this.open = open.sort((a, b) => (a.verdictId < b.verdictId ? -1 : 1));
    for (const { cause, devices, modelDigest } of open) {
      if (cause !== "PREPROCESSING") continue;
      for (const { deviceId, since } of devices) this.#failingSince.set(`${modelDigest} ${deviceId}`, since);
    }
  }

  /** Since when the device does not reproduce its golden frames, as published; Infinity if it did. */
  failingSince(deviceId: string, modelDigest: string): Instant {
    return this.#failingSince.get(`${modelDigest} ${deviceId}`) ?? Number.POSITIVE_INFINITY;
  }

  places(modelDigest: string, causes: readonly DriftCause[]): readonly Place[] {
    return this.open
      .filter((verdict) => verdict.modelDigest === modelDigest && causes.includes(verdict.cause))
      .map(({ scopeKey, scopeValue }) => ({ key: scopeKey, value: scopeValue }));
  }

  at(modelDigest: string, { key, value }: Place, causes: readonly DriftCause[]): DriftVerdict | undefined {
    return this.open.find(
      (verdict) =>
        verdict.modelDigest === modelDigest &&
        verdict.scopeKey === key &&
        verdict.scopeValue === value &&
        causes.includes(verdict.cause),
    );
  }
}
