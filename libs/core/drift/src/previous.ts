/** Verdicts that are open: what was found before keeps its name and place while it still nearly holds. */
import type { DriftCause, DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { Place } from "./place.ts";

const NONE: ReadonlySet<string> = new Set();

export class Previous {
  readonly open: readonly DriftVerdict[];
  readonly #failingSince = new Map<string, Instant>();
  readonly #scopes = new Map<string, Set<string>>();

  constructor(verdicts: ReadonlyMap<string, DriftVerdict>) {
    const open = [...verdicts.values()].filter(({ state }) => state === "OPEN");
    this.open = open.sort((a, b) => (a.verdictId < b.verdictId ? -1 : 1));
    for (const { cause, devices, modelDigest, scopeKey } of open) {
      for (const { deviceId, cameras, since } of devices) {
        if (cause === "PREPROCESSING") this.#failingSince.set(`${modelDigest} ${deviceId}`, since);
        if (cause === "CONCEPT") continue;
        for (const cameraId of cameras) {
          const camera = `${modelDigest} ${deviceId}/${cameraId}`;
          this.#scopes.set(camera, (this.#scopes.get(camera) ?? new Set()).add(scopeKey));
        }
      }
    }
  }

  /** Since when the device does not reproduce its golden frames, as published; Infinity if it did. */
  failingSince(deviceId: string, modelDigest: string): Instant {
    return this.#failingSince.get(`${modelDigest} ${deviceId}`) ?? Number.POSITIVE_INFINITY;
  }

  /** Keys of the scopes of verdicts that say that the camera's inputs changed. */
  scopesOf(modelDigest: string, deviceId: string, cameraId: string): ReadonlySet<string> {
    return this.#scopes.get(`${modelDigest} ${deviceId}/${cameraId}`) ?? NONE;
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
