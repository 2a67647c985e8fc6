/**
 * V8 flags for the command line of every process that ends by process.exit(). That waits for V8's background compilers, and one that
 * waits for a garbage collection by then is never served: the process stays for ever (nodejs/node#54918, ADR 10). With these, code is
 * allocated on the main thread alone.
 */
export const exitFlags: readonly string[] = [
  "--no-concurrent-sparkplug",
  "--no-maglev-build-code-on-background",
  "--no-maglev-deopt-data-on-background",
];

/**
 * What of them a process may still turn off when it runs: V8 reads Maglev's two on both threads, and ends the process when they change
 * while a function is compiled (`Check failed: !deopt_data.is_null()`).
 */
export const exitFlagAtRunTime = "--no-concurrent-sparkplug";
