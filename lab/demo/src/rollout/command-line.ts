/** `tributary`, as a person would call it. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { Failure } from "@tributary/kernel";
import { repositoryRoot } from "@tributary/stack";

const MAIN = join(repositoryRoot, "cli/dist/main.js");
const MS_MAX = 120_000;

/** Its standard output. */
export async function tributary(gatewayUrl: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [MAIN, "--gateway", gatewayUrl, ...args], {
      timeout: MS_MAX,
      maxBuffer: 16 << 20,
    });
    return stdout;
  } catch (error) {
    const { stderr = "", message } = error as { stderr?: string; message: string };
    throw new Failure("tributary-failed", "give-up", `tributary ${args.join(" ")}: ${stderr.trim() || message}`);
  }
}
