/**
 * The attempts of unauthenticated clients, by class. Each has a twin, an authenticated control: the same request by an authorised
 * client.
 *
 * If a twin fails, its class proves nothing: the port rejected everybody. An attempt that could not be made (no free port, a
 * local timeout) throws; it counts neither as refused nor accepted.
 */
export type Attempt = "accepted" | { readonly refused: string };

export type StrangerClass = {
  /** E.g. `mqtt: password of another device`. */
  readonly name: string;
  /** The `i`-th try of this class; tries run at the same time as others. `refused`: the reason, as the client sees it. */
  attempt(i: number): Promise<Attempt>;
  /** The authenticated control; whether it succeeded. */
  twin(i: number): Promise<boolean>;
  /** What the service under test counts the refusals as: a metric's series, such as `x_total{code="y"}`. */
  readonly counted?: string;
  /** Where `counted` is read: `/metrics` of the service. Needed with `counted`. */
  readonly metricsUrl?: string;
};

/** One kind of port: starts what it needs in `open`, and ends it in `close`. */
export type Door = { readonly classes: readonly StrangerClass[]; close(): Promise<void> };
