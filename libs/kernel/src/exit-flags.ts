/**
 * V8 flags for the command line of every process that ends by process.exit(). That call waits for V8's background compilers, and
 * a compiler that waits for a garbage collection at that time blocks it forever (nodejs/node#54918, ADR 10). With these flags,
 * code is allocated on the main thread alone.
 */
export const exitFlags: readonly string[] = [
  "--no-concurrent-sparkplug",
  "--no-maglev-build-code-on-background",
  "--no-maglev-deopt-data-on-background",
];

/**
 * The flags that a process may still change while it runs: V8 reads Maglev's two on both threads, and ends the process when they change
 * while a function is compiled (`Check failed: !deopt_data.is_null()`).
 */
export const exitFlagAtRunTime = "--no-concurrent-sparkplug";
