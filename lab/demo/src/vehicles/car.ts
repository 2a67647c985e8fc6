/** A vehicle's computer under test: the shipped agent as a process, a camera at a constant rate, a broker, a model registry, and a reader of
 * its answers, which is what would drive. */

import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DeviceDesired, mqttTopics } from "@tributary/contracts";
import { coresOfProcess } from "@tributary/onnx";
import { type SpawnedService, spawnService, waitFor } from "@tributary/testing";
import { TinyBroker, TinyModelRegistry, writeVariant } from "@tributary/testing/devices";
import type { DriveAnswer, DriveChange, Stolen } from "./account.ts";
import { type DriveReading, sharedMs } from "./reader.ts";

const DEVICE = "car-1";
const topics = mqttTopics();

export type CarOptions = {
  readonly dir: string;
  /** Of the agent's data: a disk of its own, so that it can be full. */
  readonly dataDir: string;
  readonly full: string;
  /** Null: the plain agent, without a ladder. */
  readonly lite: string | null;
  /** Folder of JPEGs. */
  readonly pictures: string;
  readonly fps: number;
  readonly deadlineMs: number;
  /** Of the ladder, where a drive is too short for its usual times. */
  readonly ladder?: Readonly<Record<string, number>> | undefined;
};

type Status = {
  readonly model: { readonly pid: number | null; readonly digest: string };
  readonly driving: { readonly level: string; readonly lite: { readonly pid: number | null } | null } | null;
  readonly update: { readonly generation: number; readonly phase: string } | null;
};

export class Car {
  readonly answers: DriveAnswer[] = [];
  readonly changes: DriveChange[] = [];
  readonly stolen: Stolen[] = [];
  readonly registry: TinyModelRegistry;
  readonly sensor: string;
  readonly #options: CarOptions;
  readonly #agent: SpawnedService;
  #broker: TinyBroker;
  readonly #brokerPort: number;
  readonly #startedMs = sharedMs();
  readonly #reader: ChildProcess;
  #generation = 0;

  private constructor(
    options: CarOptions,
    agent: SpawnedService,
    broker: TinyBroker,
    registry: TinyModelRegistry,
    sensor: string,
  ) {
    this.#options = options;
    this.#agent = agent;
    this.#broker = broker;
    this.#brokerPort = broker.port;
    this.registry = registry;
    this.sensor = sensor;
    this.#reader = this.#read();
  }

  static async start(options: CarOptions): Promise<Car> {
    const { dir, dataDir, full, lite, pictures, fps, deadlineMs } = options;
    mkdirSync(dir, { recursive: true });
    const [broker, registry] = [await TinyBroker.open(), await TinyModelRegistry.open()];
    const root = join(dir, "root.json");
    writeFileSync(root, registry.rootBytes);
    const sensor = join(dir, "temperature");
    writeFileSync(sensor, "45000\n");
    const camera = { id: "front", kind: "sheet", sheets: pictures, fps, whenFull: "skip", queueFramesMax: 1 };
    const sensors = [{ kind: "celsius", file: sensor, scale: 0.001 }];
    const picture = join(pictures, readdirSync(pictures).find((name) => name.endsWith(".jpg")) ?? "");
    const driving =
      lite === null
        ? {}
        : { driving: { lite: { package: lite, picture }, sensors, sensorsEveryMs: 200, ...options.ladder } };
    const closed = async (error: unknown) => {
      await Promise.all([broker.close(), registry.close()]);
      throw error;
    };
    const agent = await spawnService({
      name: lite === null ? "plain-agent" : "agent",
      main: "edge/agent/dist/main.js",
      dir,
      config: {
        deviceId: DEVICE,
        dataDir,
        mqtt: { url: broker.url, password: "x" },
        model: { package: full },
        models: { registry: registry.url, root },
        log: { level: "info" },
        cameras: [lite === null ? camera : { ...camera, deadlineMs }],
        ...driving,
      },
    }).catch(closed);
    return new Car(options, agent, broker, registry, sensor);
  }

  get dir(): string {
    return this.#options.dir;
  }

  get dataDir(): string {
    return this.#options.dataDir;
  }

  get nowMs(): number {
    return sharedMs() - this.#startedMs;
  }

  get pid(): number {
    return this.#agent.pid;
  }

  async status(): Promise<Status> {
    return (await fetch(`http://127.0.0.1:${this.#agent.ports.http}/v1/status`)).json() as Promise<Status>;
  }

  /** Gives its process id. */
  async fullPid(): Promise<number> {
    return waitFor(async () => (await this.status()).model.pid ?? undefined, { what: "the full model's process" });
  }

  /** Null: the plain agent has none. */
  async litePid(): Promise<number | null> {
    if (this.#options.lite === null) return null;
    return waitFor(async () => (await this.status()).driving?.lite?.pid ?? undefined, { what: "LITE's process" });
  }

  /** A version of the full model that differs in its name only; wanted from now on. */
  async update(bytesPerSecond: number | undefined): Promise<void> {
    this.#generation += 1;
    const version = `2.0.${this.#generation}`;
    const folder = join(this.#options.dir, version);
    await writeVariant(this.#options.full, folder, { version });
    const modelDigest = await this.registry.add(folder);
    this.registry.bytesPerSecond = bytesPerSecond;
    const how = { shadowFrames: 10, probationFrames: 50, condition: "ANY" as const, windows: [] };
    const desired: DeviceDesired = {
      deviceId: DEVICE,
      generation: BigInt(this.#generation),
      slots: { perception: { modelName: "edge-resnet8", modelVersion: version, modelDigest, ...how } },
      policyVersion: null,
      arm: "default",
      rollout: "",
      why: "the drive",
      changedAt: Date.now(),
    };
    await this.#broker.publish(topics.desired(DEVICE), DeviceDesired.encodeSingleObject(desired), true);
  }

  async updated(): Promise<string> {
    const generation = this.#generation;
    const isOver = ["COMMITTED", "REFUSED", "REVERTED"];
    return waitFor(
      async () => {
        const { update } = await this.status();
        return update?.generation === generation && isOver.includes(update.phase) ? update.phase : undefined;
      },
      { what: "the end of the update", timeoutMs: 120_000 },
    );
  }

  async cutNetwork(): Promise<void> {
    await this.#broker.close();
  }

  async restoreNetwork(): Promise<void> {
    this.#broker = await TinyBroker.open(this.#brokerPort);
  }

  setCelsius(celsius: number): void {
    // In one step: a reader sees the one or the other.
    const next = `${this.sensor}.next`;
    writeFileSync(next, `${celsius * 1_000}\n`);
    renameSync(next, this.sensor);
  }

  async stop(): Promise<void> {
    this.#reader.kill();
    await this.#agent.stop();
    await this.#broker.close();
    await this.registry.close();
  }

  #read(): ChildProcess {
    const program = join(import.meta.dirname, "../../dist/vehicles/reader.js");
    const reader = fork(program, [`http://127.0.0.1:${this.#agent.ports.http}/v1/answers`]);
    // Starting takes more time than the device would lend it.
    reader.once("message", () => {
      for (const pid of [reader.pid, this.#cameraPid()]) if (pid !== undefined) putBeside(pid);
    });
    const started = this.#startedMs;
    reader.on("message", ({ answers, changes, stolen }: DriveReading) => {
      for (const one of answers) this.answers.push({ ...one, atMs: one.atMs - started });
      for (const one of changes) this.changes.push({ ...one, atMs: one.atMs - started });
      for (const { fromMs, untilMs, ms } of stolen) {
        this.stolen.push({ fromMs: fromMs - started, untilMs: untilMs - started, ms });
      }
    });
    return reader;
  }

  /** Of the program that stands in for it. */
  #cameraPid(): number | undefined {
    const { stdout } = spawnSync("pgrep", ["--parent", String(this.#agent.pid), "--full", "--", "--sheets"], {
      encoding: "utf8",
    });
    return Number(stdout?.split("\n")[0]) || undefined;
  }
}

/** A camera is hardware, and the program that drives has cores of its own: what stands in for them waits for no other program, and is on the
 * last core, where no frame waits for it. All of their threads: garbage is collected by several, which wait for each other. Without the
 * permission they are ordinary programs. */
function putBeside(pid: number): void {
  const last = coresOfProcess()?.background;
  if (last === undefined) return;
  spawnSync("taskset", ["--all-tasks", "--pid", "--cpu-list", last, String(pid)], { stdio: "ignore" });
  spawnSync("chrt", ["--all-tasks", "--rr", "--pid", "1", String(pid)], { stdio: "ignore" });
}
