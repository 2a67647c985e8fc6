/**
 * A budget of extra calls, as a share of first calls. Pure: time is an argument.
 *
 * B1. In the window that ends with a granted extra call there are at most `shareMax` extra calls per first call. Such
 *     windows, taken from the last backwards, cover all extra calls without overlap, so the same holds for the whole run.
 * B2. The window moves in slots; it is never longer than `windowMs`, and at least 9/10 of it. A clock that is set back
 *     counts into the present slot.
 */
const SLOTS = 10;

type Slot = { readonly number: number; calls: number; extra: number };

export class ShareBudget {
  readonly #shareMax: number;
  readonly #slotMs: number;
  #slots: Slot[] = [];

  constructor(settings: { readonly shareMax: number; readonly windowMs: number }) {
    this.#shareMax = settings.shareMax;
    this.#slotMs = settings.windowMs / SLOTS;
  }

  called(nowMs: number): void {
    this.#slot(nowMs).calls++;
  }

  /** Whether one extra call may be made; it is counted then. */
  take(nowMs: number): boolean {
    const slot = this.#slot(nowMs);
    const calls = this.#slots.reduce((sum, each) => sum + each.calls, 0);
    const extra = this.#slots.reduce((sum, each) => sum + each.extra, 0);
    if (extra + 1 > this.#shareMax * calls) return false;
    slot.extra++;
    return true;
  }

  #slot(nowMs: number): Slot {
    const last = this.#slots.at(-1);
    const number = Math.max(Math.floor(nowMs / this.#slotMs), last?.number ?? Number.NEGATIVE_INFINITY);
    if (last?.number === number) return last;
    const slot = { number, calls: 0, extra: 0 };
    this.#slots = [...this.#slots.filter((each) => each.number > number - SLOTS), slot];
    return slot;
  }
}
