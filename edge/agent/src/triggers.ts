/** External triggers: the next frames of a camera, or all of the next seconds, are PRIORITY. Pure. */
export type Trigger = { readonly frames: number } | { readonly seconds: number };

type Armed = { framesLeft: number; untilMs: number };

export class Triggers {
  readonly #armed = new Map<string, Armed>();

  arm(cameraId: string, trigger: Trigger, nowMs: number): void {
    const armed = this.#armed.get(cameraId) ?? { framesLeft: 0, untilMs: Number.NEGATIVE_INFINITY };
    if ("frames" in trigger) armed.framesLeft = Math.max(armed.framesLeft, trigger.frames);
    else armed.untilMs = Math.max(armed.untilMs, nowMs + trigger.seconds * 1_000);
    this.#armed.set(cameraId, armed);
  }

  /** Whether this frame is triggered; uses up one of the frames that are. */
  take(cameraId: string, nowMs: number): boolean {
    const armed = this.#armed.get(cameraId);
    if (armed === undefined) return false;
    const isTriggered = armed.framesLeft > 0 || nowMs < armed.untilMs;
    if (armed.framesLeft > 0) armed.framesLeft -= 1;
    if (armed.framesLeft === 0 && nowMs >= armed.untilMs) this.#armed.delete(cameraId);
    return isTriggered;
  }
}
