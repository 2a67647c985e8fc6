/**
 * Bytes received and not yet stored: bounded for each connection and in all (G9). A packet that finds no room waits, and its
 * socket is not read meanwhile.
 *
 * Waiters are served in order, so that a large packet is not starved by small ones; one that waits for its own connection's
 * limit does not delay others. A closed account takes nothing more; its bytes count until they are released.
 *
 * B1. The sum granted never exceeds `totalMax`; a connection's never exceeds `clientMax`, except one packet alone. */
import { invariant } from "@tributary/kernel";

export class ByteBudget {
  readonly #totalMax: number;
  readonly #clientMax: number;
  readonly #waiting = new Set<BudgetAccount>();
  #used = 0;

  constructor(totalMax: number, clientMax: number) {
    this.#totalMax = totalMax;
    this.#clientMax = clientMax;
  }

  get usedBytes(): number {
    return this.#used;
  }

  get waiters(): number {
    return this.#waiting.size;
  }

  open(): BudgetAccount {
    return new BudgetAccount(this);
  }

  /** @internal */
  fitsClient(account: BudgetAccount, bytes: number): boolean {
    return account.usedBytes === 0 || account.usedBytes + bytes <= this.#clientMax;
  }

  /** @internal */
  fitsTotal(bytes: number): boolean {
    return this.#used + bytes <= this.#totalMax;
  }

  /** @internal */
  request(account: BudgetAccount): void {
    this.#waiting.add(account);
    this.serve();
  }

  /** @internal */
  forget(account: BudgetAccount): void {
    if (this.#waiting.delete(account)) this.serve();
  }

  /** @internal */
  add(bytes: number): void {
    this.#used += bytes;
    invariant(this.#used >= 0, "more bytes released than taken");
  }

  /** @internal */
  serve(): void {
    for (const account of this.#waiting) {
      if (!this.fitsTotal(account.wantedBytes)) return;
      this.#waiting.delete(account);
      account.grant();
    }
  }

  /** @internal */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }
}

export class BudgetAccount {
  readonly #budget: ByteBudget;
  #used = 0;
  #wanted: { readonly bytes: number; readonly granted: () => void } | undefined;
  #closed = false;

  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  get usedBytes(): number {
    return this.#used;
  }

  get wantedBytes(): number {
    return this.#wanted?.bytes ?? 0;
  }

  /** True: taken. False: `granted` is called once they are. One request at a time. */
  take(bytes: number, granted: () => void): boolean {
    invariant(this.#wanted === undefined, "an account waits for one packet at a time");
    if (this.#budget.fitsClient(this, bytes)) {
      if (!this.#budget.isContended && this.#budget.fitsTotal(bytes)) {
        this.#add(bytes);
        return true;
      }
      this.#wanted = { bytes, granted };
      this.#budget.request(this);
    } else {
      this.#wanted = { bytes, granted };
    }
    return false;
  }

  give(bytes: number): void {
    this.#add(-bytes);
    if (this.#wanted !== undefined && this.#budget.fitsClient(this, this.#wanted.bytes)) this.#budget.request(this);
    else this.#budget.serve();
  }

  close(): void {
    this.#closed = true;
    this.#wanted = undefined;
    this.#budget.forget(this);
  }

  /** @internal */
  grant(): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (wanted === undefined || this.#closed) return;
    this.#add(wanted.bytes);
    wanted.granted();
  }

  #add(bytes: number): void {
    this.#used += bytes;
    this.#budget.add(bytes);
  }
}
