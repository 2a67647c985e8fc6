/** Starts the model server of this folder (main.ts): where a real one cannot be installed, it takes its place behind the same protocol. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Failure } from "@tributary/kernel";
import { mains } from "../paths.ts";

type ModelServer = { readonly url: string; stop(): Promise<void> };

/** `packageDir`: of the model that it runs, which it calls `m`. `remembers`: it computes the answer to each photo once. */
export async function startModelServer(packageDir: string, { remembers = false } = {}): Promise<ModelServer> {
  const flags = remembers ? ["--remember"] : [];
  const child: ChildProcess = fork(mains.modelServer, [packageDir, ...flags], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const exited = once(child, "exit");
  const [message] = (await Promise.race([once(child, "message"), exited])) as [{ port?: number } | number | null];
  if (message === null || typeof message !== "object") {
    throw new Failure("model-server-failed", "ask-a-person", `the model server of ${packageDir} ended with ${message}`);
  }
  return {
    url: `http://127.0.0.1:${message.port}`,
    stop: async () => {
      child.disconnect();
      await exited;
    },
  };
}
