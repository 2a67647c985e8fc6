/** Has what the cameras showed compared with what Kafka holds, by a process on the node. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { exitFlags, Failure } from "@tributary/kernel";
import type { Report } from "@tributary/stack";
import { repositoryRoot } from "@tributary/testing";
import { enter, environmentOf, type Node } from "../node/node.ts";

export type Account = {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly ledgers: readonly { readonly deviceId: string; readonly ledger: string }[];
  /** What all cameras show together. */
  readonly frames: number;
  readonly silenceMsMax: number;
};

const VERIFIER = join(repositoryRoot, "lab/cluster/dist/demo/verify-main.js");

export async function accountFor(
  node: Node,
  dir: string,
  account: Account,
  onProgress: (text: string) => void,
  signal: AbortSignal,
): Promise<Report> {
  const file = join(dir, "account.json");
  writeFileSync(file, JSON.stringify(account));
  const [program = "", ...args] = [...enter(node), process.execPath, ...exitFlags, VERIFIER, file];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: environmentOf(node), signal });
  let out = "";
  let last = "";
  child.stdout.setEncoding("utf8").on("data", (part) => {
    out += part;
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    last = line;
    onProgress(line);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Failure("verifier-failed", "ask-a-person", `the verifier ended with ${code}: ${last}`);
  return JSON.parse(out) as Report;
}
