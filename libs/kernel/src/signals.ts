/**
 * One signal for several causes. `AbortSignal.any` keeps what it made for as long as the longest-lived of its sources once
 * a listener was added (Node 24): a service that makes one a call leaks memory. This one is released by `unlink`.
 */
export type LinkedSignal = {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
  /** Call it when the work is over. */
  unlink(): void;
};

export function linkedSignal(...causes: readonly AbortSignal[]): LinkedSignal {
  const own = new AbortController();
  const links = causes.map((cause) => ({ cause, onAbort: () => own.abort(cause.reason) }));
  for (const { cause, onAbort } of links) {
    if (cause.aborted) onAbort();
    else cause.addEventListener("abort", onAbort, { once: true });
  }
  return {
    signal: own.signal,
    abort: (reason) => own.abort(reason),
    unlink: () => {
      for (const { cause, onAbort } of links) cause.removeEventListener("abort", onAbort);
    },
  };
}
