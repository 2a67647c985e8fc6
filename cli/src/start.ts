import { run } from "./run.ts";

// Node's own warnings, e.g. of a negative timeout inside kafkajs, are of no use to users of a command.
process.removeAllListeners("warning");
const stop = new AbortController();
process.on("SIGINT", () => stop.abort());
process.on("SIGTERM", () => stop.abort());
// `tributary frames tail | head` closes our output: that is not a failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

process.exitCode = await run(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  color: process.stdout.isTTY === true && !process.env.NO_COLOR,
  isOutputTerminal: process.stdout.isTTY === true,
  isTerminal: process.stderr.isTTY === true,
  env: process.env,
  now: Date.now,
  signal: stop.signal,
});
