/** The checks of `/health/ready`. Live means only that the process answers. */
export type HealthCheck = () => true | string | Degraded;

/** The process does its work, but not as it should: for people. */
type Degraded = { readonly degraded: string };

export class Health {
  readonly #checks = new Map<string, HealthCheck>();

  /** `check` returns true, what is degraded, or why the process cannot do its work yet. */
  add(name: string, check: HealthCheck): void {
    this.#checks.set(name, check);
  }

  /** Name and reason of everything that is not ready. */
  problems(): Readonly<Record<string, string>> {
    return this.#verdicts((verdict) => (typeof verdict === "string" ? verdict : undefined));
  }

  /** Name and reason of everything that is degraded. */
  degraded(): Readonly<Record<string, string>> {
    return this.#verdicts((verdict) => (typeof verdict === "object" ? verdict.degraded : undefined));
  }

  #verdicts(reasonIn: (verdict: ReturnType<HealthCheck>) => string | undefined): Readonly<Record<string, string>> {
    const reasons: Record<string, string> = {};
    for (const [name, check] of this.#checks) {
      const reason = reasonIn(check());
      if (reason !== undefined) reasons[name] = reason;
    }
    return reasons;
  }

  get isReady(): boolean {
    return Object.keys(this.problems()).length === 0;
  }
}
