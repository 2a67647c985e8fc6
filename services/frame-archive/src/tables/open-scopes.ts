/** Which cameras open verdicts of drift are about, and since when: their frames are kept. */
import type { DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";

type Scope = { readonly verdictId: string; readonly cameras: ReadonlySet<string>; readonly since: Instant };

export class OpenScopes {
  readonly #open = new Map<string, DriftVerdict>();
  readonly #ofDevice = new Map<string, readonly Scope[]>();

  /** Null: the verdict is deleted. */
  changed(verdictId: string, verdict: DriftVerdict | null): void {
    if (verdict?.state === "OPEN") this.#open.set(verdictId, verdict);
    else if (!this.#open.delete(verdictId)) return;
    this.#ofDevice.clear();
    for (const { verdictId: id, devices } of this.#open.values()) {
      for (const { deviceId, cameras, since } of devices) {
        const scope = { verdictId: id, cameras: new Set(cameras), since };
        this.#ofDevice.set(deviceId, [...(this.#ofDevice.get(deviceId) ?? []), scope]);
      }
    }
  }

  get devices(): IterableIterator<string> {
    return this.#ofDevice.keys();
  }

  get isEmpty(): boolean {
    return this.#ofDevice.size === 0;
  }

  /** The verdict; undefined: none is about this camera and time. */
  verdictOf(deviceId: string, cameraId: string, at: Instant): string | undefined {
    const scopes = this.#ofDevice.get(deviceId) ?? [];
    return scopes.find(({ cameras, since }) => at >= since && (cameras.size === 0 || cameras.has(cameraId)))?.verdictId;
  }
}
