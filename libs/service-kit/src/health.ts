/** The checks of `/health/ready`. Live means only that the process answers. */
export type HealthCheck = () => true | string;

export class Health {
  readonly #checks = new Map<string, HealthCheck>();

  /** `check` returns true, or why the process cannot do its work yet. */
  add(name: string, check: HealthCheck): void {
    this.#checks.set(name, check);
  }

  /** Name and reason of everything that is not ready. */
  problems(): Readonly<Record<string, string>> {
    const problems: Record<string, string> = {};
    for (const [name, check] of this.#checks) {
      const verdict = check();
      if (verdict !== true) problems[name] = verdict;
    }
    return problems;
  }

  get isReady(): boolean {
    return Object.keys(this.problems()).length === 0;
  }
}
