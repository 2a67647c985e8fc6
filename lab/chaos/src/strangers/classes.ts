/**
 * What a stranger tries at a door, one class an attempt, each beside a legitimate twin: the same act by who may.
 *
 * C1. A twin that fails proves that a class tested nothing: the door was shut to everybody.
 * C2. An attempt that could not be made (no port, a timeout of ours) throws; it counts neither as refused nor accepted.
 */
export type Attempt = "accepted" | { readonly refused: string };

export type StrangerClass = {
  /** E.g. `mqtt: password of another device`. */
  readonly name: string;
  /** The `i`-th try of this class; tries run at the same time as others. `refused`: the reason, as the stranger sees it. */
  attempt(i: number): Promise<Attempt>;
  /** The legitimate act beside it; whether it succeeded. */
  twin(i: number): Promise<boolean>;
  /** What the service under test counts the refusals as: a metric's series, such as `x_total{code="y"}`. */
  readonly counted?: string;
  /** Where `counted` is read: `/metrics` of the service. Needed with `counted`. */
  readonly metricsUrl?: string;
};

/** One door: starts what it needs in `open`, and ends it in `close`. */
export type Door = { readonly classes: readonly StrangerClass[]; close(): Promise<void> };
