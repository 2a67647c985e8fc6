/** The agent's program as a test's child, with the shipped model. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { exitFlags } from "@tributary/kernel";

/** A path of the repository. */
export const at = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));

export const MAIN = at("edge/agent/dist/main.js");

export type AgentProcessOptions = {
  readonly folder: string;
  readonly deviceId: string;
  readonly mqttUrl: string;
  /** Items of YAML, as those of a list. */
  readonly cameras: string;
  /** Folder of the model's package; the shipped one by default. */
  readonly package?: string;
  /** More of the model's settings. */
  readonly model?: string;
  /** More lines of YAML. */
  readonly more?: string;
  readonly dataDir?: string;
};

export type Running = { readonly child: ChildProcess; readonly http: string; readonly exit: Promise<number | null> };

/** Rejects, with what it wrote to standard error, when it ends before it is ready. */
export async function startAgentProcess(options: AgentProcessOptions): Promise<Running> {
  const {
    folder,
    deviceId,
    mqttUrl,
    cameras,
    package: dir = at("models/edge-resnet8"),
    model = "",
    more = "",
    dataDir = folder,
  } = options;
  const file = join(folder, "agent.yaml");
  writeFileSync(
    file,
    `deviceId: ${deviceId}
dataDir: ${dataDir}
mqtt: { url: "${mqttUrl}", password: x }
model: { package: ${dir}${model === "" ? "" : `, ${model}`} }
predictions: { batchWaitMs: 100 }
log: { level: warn }
cameras: [${cameras}]
${more}`,
  );
  const child = spawn(process.execPath, [...exitFlags, MAIN, "--config", file], { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const port = await new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = JSON.parse(line);
      if (event.event === "ready") resolve(event.ports.http);
    });
    exit.then((code) => reject(new Error(`ended with ${code}: ${errors}`)));
  });
  return { child, http: `http://127.0.0.1:${port}`, exit };
}

export async function until<T>(what: string, read: () => Promise<T> | T, holds: (value: T) => boolean): Promise<T> {
  for (let i = 0; i < 500; i++) {
    const value = await read();
    if (holds(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(
    `${what} did not come about: ${JSON.stringify(await read(), (_, v) => (typeof v === "bigint" ? String(v) : v))}`,
  );
}
