/** One after the other, and no more than a bound waiting (G9). */
import { Failure } from "@tributary/kernel";

export class Turns {
  readonly #what: string;
  readonly #waitingMax: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(what: string, waitingMax: number) {
    this.#what = what;
    this.#waitingMax = waitingMax;
  }

  take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting > this.#waitingMax) {
      return Promise.reject(new Failure("registry-busy", "retry", `too many ${this.#what} wait their turn; try again`));
    }
    this.#waiting += 1;
    const turn = this.#last.then(work).finally(() => {
      this.#waiting -= 1;
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Resolves when all that has been taken is over. */
  get idle(): Promise<unknown> {
    return this.#last;
  }
}
