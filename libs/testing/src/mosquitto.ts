/** A real Mosquitto for a test: the configuration and ACL that deploy/mosquitto ships, on a port and with users of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { debian } from "../../../tools/peers.mjs";
import { repositoryRoot } from "./process.ts";
import { freePort } from "./temp.ts";
import { waitFor } from "./wait.ts";

export type MosquittoOptions = {
  /** Its files go here. */
  readonly dir: string;
  /** Passwords by user. No other client may connect; undefined: every client may do anything, Mosquitto's default. */
  readonly users?: Readonly<Record<string, string>>;
  /** Lines that replace the shipped ones of the same name, e.g. `max_queued_messages 20`. */
  readonly settings?: readonly string[];
};

export type Mosquitto = {
  readonly url: string;
  log(): string;
  /** Whether a line of its log matches; each is awaited for a moment. */
  logged(text: string | RegExp): Promise<boolean>;
  /** Restarts it after `kill` or `stop`: on the same port, with its saved sessions. */
  start(): Promise<void>;
  kill(): Promise<void>;
  stop(): Promise<void>;
};

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export async function startMosquitto(options: MosquittoOptions): Promise<Mosquitto> {
  const { dir } = options;
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  writeConfiguration(options, port);

  let log = "";
  let child: ChildProcess | undefined;
  let exited = Promise.resolve();
  const isUp = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  const start = async () => {
    const started = spawn(debian("mosquitto"), ["-c", join(dir, "mosquitto.conf"), "-v"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = started;
    running.add(started);
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        log += text;
      });
    }
    exited = new Promise((resolve) => {
      started.once("close", () => {
        running.delete(started);
        resolve();
      });
    });
    await waitFor(
      async () => {
        if (!isUp()) throw new Error(`mosquitto ended:\n${log}`);
        return canConnect(port);
      },
      { what: "Mosquitto" },
    );
  };
  const end = async (signal: NodeJS.Signals) => {
    if (isUp()) child?.kill(signal);
    await exited;
  };
  await start();
  return {
    url: `mqtt://127.0.0.1:${port}`,
    log: () => log,
    logged: (text) => {
      const isLogged = () => (typeof text === "string" ? log.includes(text) : text.test(log));
      return waitFor(isLogged, { what: String(text) }).catch(() => false);
    },
    start,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
  };
}

/** The shipped configuration, changed for this machine. */
function writeConfiguration({ dir, users, settings = [] }: MosquittoOptions, port: number): void {
  const shipped = readFileSync(join(repositoryRoot, "deploy/mosquitto/mosquitto.conf"), "utf8").split("\n");
  const own = [
    `listener ${port} 127.0.0.1`,
    `persistence_location ${dir}/`,
    ...(users === undefined ? ["allow_anonymous true"] : []),
    `password_file ${join(dir, "passwords")}`,
    `acl_file ${join(repositoryRoot, "deploy/mosquitto/tributary.acl")}`,
    ...(process.getuid?.() === 0 ? ["user root"] : []),
    ...settings,
  ];
  const nameOf = (line: string) => line.split(" ")[0] ?? "";
  // Lines keep their places: some apply to the listener above them.
  const ownOf = new Map(own.map((line) => [nameOf(line), line]));
  const kept = shipped
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ownOf.get(nameOf(line)) ?? line);
  const added = own.filter((line) => !kept.includes(line));
  const open = ["password_file", "acl_file", "use_username_as_clientid"];
  const lines = [...kept, ...added].filter((line) => users !== undefined || !open.includes(nameOf(line)));
  writeFileSync(join(dir, "mosquitto.conf"), `${lines.join("\n")}\n`);
  const passwords = Object.entries(users ?? {}).map(([user, password]) => `${user}:${hashOf(password)}\n`);
  writeFileSync(join(dir, "passwords"), passwords.join(""), { mode: 0o600 });
}

/** As mosquitto_passwd writes it; 101 rounds are its own default. */
function hashOf(password: string): string {
  const salt = randomBytes(12);
  const hash = pbkdf2Sync(password, salt, 101, 64, "sha512");
  return `$7$101$${salt.toString("base64")}$${hash.toString("base64")}`;
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
