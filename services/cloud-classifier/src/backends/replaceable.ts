/**
 * A backend that is replaced by another while calls are made.
 *
 * B1. A call ends on the backend that it began with; that one is closed after its last call. No call is dropped or repeated.
 * B2. Until there is a first backend, a call fails at once: the router gives the edge answer without waiting.
 */
import { codeOf } from "@tributary/kafka";
import { reasonOf } from "@tributary/kernel";
import type { CallContext, CloudBackend, CloudFrame, CloudOutcome } from "../cloud-backend.ts";

type Serving = { readonly backend: CloudBackend; calls: number };

export class ReplaceableBackend implements CloudBackend {
  readonly #onCloseFailed: (code: string, reason: string) => void;
  readonly #closing = new Set<Promise<void>>();
  /** The current one, and those with calls in flight. */
  readonly #open = new Set<Serving>();
  #serving: Serving | undefined;
  #isClosed = false;

  constructor(onCloseFailed: (code: string, reason: string) => void) {
    this.#onCloseFailed = onCloseFailed;
  }

  /** The next calls go to `next`. */
  replace(next: CloudBackend): void {
    const before = this.#serving;
    this.#serving = { backend: next, calls: 0 };
    this.#open.add(this.#serving);
    if (before?.calls === 0) this.#close(before); // B1
    if (this.#isClosed) this.#close(this.#serving); // It came too late.
  }

  ready(): boolean {
    return this.#serving?.backend.ready() ?? false;
  }

  async classify(batch: readonly CloudFrame[], context: CallContext): Promise<readonly CloudOutcome[]> {
    const serving = this.#serving;
    if (serving === undefined) {
      const message = "its package has not come from the model registry yet";
      // Nobody was called, so the circuit stays closed: the first package is used as soon as it is there.
      const outcome = { kind: "failed", code: "package-unavailable", message, again: false, isOfItems: true } as const;
      return batch.map(() => outcome); // B2
    }
    serving.calls++;
    try {
      return await serving.backend.classify(batch, context);
    } finally {
      serving.calls--;
      if (serving.calls === 0 && serving !== this.#serving) this.#close(serving); // B1
    }
  }

  /** What is in flight ends as the backend in question does at its close. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const serving of this.#open) this.#close(serving);
    await Promise.all(this.#closing);
  }

  #close(serving: Serving): void {
    if (!this.#open.delete(serving)) return;
    const closing = serving.backend
      .close()
      .catch((error: unknown) => this.#onCloseFailed(codeOf(error), reasonOf(error)))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
