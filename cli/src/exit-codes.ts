/** Documented in `tributary --help` and README.md; scripts depend on them. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, notFound: 3, unreachable: 4, inPart: 5, degraded: 6 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** An expected error with a message for the user; anything else that is thrown is a bug. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}
