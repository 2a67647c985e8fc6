/** A real candidate in a process of its own; the test decides what happens to it. */
import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { loadPackage } from "@tributary/model-store";
import { repositoryRoot, tempDir } from "@tributary/testing";
import { OwnProcesses } from "../model-runtime.ts";
import { prove } from "./prove.ts";

const FACTORY = join(repositoryRoot, "models/edge-resnet8");

let dir: ReturnType<typeof tempDir>;
beforeEach(() => {
  dir = tempDir("prove");
  cpSync(FACTORY, dir.path, { recursive: true });
});
afterEach(() => dir.remove());

/** Once it is loaded, before its golden frames. */
async function proveAnd(onLoaded: () => void) {
  const { digest } = await loadPackage(dir.path);
  let isFirst = true;
  const sha256Hex = () => {
    if (isFirst) onLoaded();
    isFirst = false;
    return "";
  };
  const options = { dir: dir.path, digest, memoryBytesMin: 0, anySpeed: false, sha256Hex };
  const runtime = new OwnProcesses({ model: { package: dir.path, threads: 1 }, cameras: [] }, null);
  return prove(options, runtime, new AbortController().signal);
}

function killChildren(signal: NodeJS.Signals): void {
  const all = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], { encoding: "utf8" });
  for (const line of all.split("\n").filter((one) => one.includes("onnx/dist/child"))) {
    process.kill(Number.parseInt(line, 10), signal);
  }
}

test.each([
  ["killed from outside, as where memory is short", "SIGKILL", "ask-a-person"],
  ["crashed by itself", "SIGSEGV", "give-up"],
] as const)("a candidate that is %s", async (_, signal, advice) => {
  await expect(proveAnd(() => killChildren(signal))).rejects.toMatchObject({ code: "model-crashed", advice });
});

test("a disk that does not give a file is no fault of the package", async () => {
  const proved = proveAnd(() => rmSync(join(dir.path, "golden"), { recursive: true }));
  await expect(proved).rejects.toMatchObject({ code: "package-unreadable", advice: "retry" });
});
