/** A vehicle's computer under test: the shipped agent as a process, a camera at a constant rate that reports what it showed, a broker, a model
 * registry, and a reader of the agent's answers, which is what would drive. */

import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { DeviceDesired, mqttTopics, RoutingPolicy } from "@tributary/contracts";
import { completePolicy, parsePolicy } from "@tributary/routing";
import { type SpawnedService, sabotaged, spawnService, waitFor } from "@tributary/testing";
import { TinyBroker, TinyModelRegistry, writeVariant } from "@tributary/testing/devices";
import type { DriveAnswer, DriveChange, StatedLoad } from "./account.ts";
import type { CameraOrder, Shown } from "./camera.ts";
import { sharedMs } from "./clock.ts";
import type { ControlGroup } from "./control-group.ts";
import { linesOf } from "./lines.ts";
import type { Pause } from "./pauses.ts";
import { asAgent, coresOf, putBeside, putFirst } from "./priority.ts";
import type { DriveReading, Late } from "./reader.ts";
import type { Scenes } from "./scenes.ts";

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
  readonly ladder?: Readonly<Record<string, unknown>> | undefined;
  /** What a broken camera shows. */
  readonly scenes?: Scenes | undefined;
  /** The agent, what stands in for hardware, and loads may be in Linux's real-time class. Without it all of them are ordinary programs: one core that programs of that class
   * fill is lost to everything else on the machine. */
  readonly realtime: boolean;
  /** The agent and its models run in them. */
  readonly cpu?: ControlGroup | undefined;
  readonly memory?: ControlGroup | undefined;
  /** A module of lab/sabotage that the agent runs with. */
  readonly sabotage?: string | undefined;
};

type Load = Pick<StatedLoad, "longestMs"> & { readonly stalledAgoMs: number | null };

type Status = {
  readonly online: boolean;
  readonly model: { readonly pid: number | null; readonly digest: string };
  readonly policy: { readonly version: string };
  readonly driving: {
    readonly level: string;
    readonly reason: string;
    readonly load: Load;
    readonly lite: { readonly pid: number | null; readonly sparePid: number | null } | null;
  } | null;
  readonly update: { readonly generation: number; readonly phase: string } | null;
};

export class Car {
  readonly answers: DriveAnswer[] = [];
  readonly changes: DriveChange[] = [];
  /** Without the permission for it, the camera and the reader wait for other programs. */
  areInstrumentsAhead = true;
  readonly pauses: Pause[] = [];
  readonly lates: Late[] = [];
  /** The load that the device states, once a second. */
  readonly loads: StatedLoad[] = [];
  readonly registry: TinyModelRegistry;
  readonly sensor: string;
  readonly #options: CarOptions;
  readonly #agent: SpawnedService;
  #broker: TinyBroker;
  readonly #brokerPort: number;
  readonly #startedMs = sharedMs();
  readonly #reader: ChildProcess;
  readonly #pauseWatches: readonly ChildProcess[];
  readonly #camera: CameraLink;
  readonly #loadTimer: NodeJS.Timeout;
  #asked: Promise<void> | undefined;
  #generation = 0;
  #policyVersion = "";

  private constructor(
    options: CarOptions,
    agent: SpawnedService,
    camera: CameraLink,
    broker: TinyBroker,
    registry: TinyModelRegistry,
    sensor: string,
  ) {
    this.#options = options;
    this.#agent = agent;
    this.#camera = camera;
    this.#broker = broker;
    this.#brokerPort = broker.port;
    this.registry = registry;
    this.sensor = sensor;
    this.#reader = this.#read();
    this.#pauseWatches = coresOf().map((core) => this.#watchPauses(core));
    this.#loadTimer = setInterval(() => void this.askLoad(), LOAD_EVERY_MS);
  }

  static async start(options: CarOptions): Promise<Car> {
    const { dir, dataDir, full, lite, pictures, fps, deadlineMs, realtime, cpu, memory, sabotage } = options;
    const groups = [cpu, memory].filter((group) => group !== undefined);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, CLOCK), "0");
    const [broker, registry] = [await TinyBroker.open(), await TinyModelRegistry.open()];
    const root = join(dir, "root.json");
    writeFileSync(root, registry.rootBytes);
    const sensor = join(dir, "temperature");
    writeFileSync(sensor, "45000\n");
    const link = await CameraLink.open(join(dir, "camera.sock"), fps);
    const command = cameraCommand(link.path, pictures, options.scenes);
    const camera = { id: "front", kind: "command", command, whenFull: "skip", queueFramesMax: 1 };
    const sensors = [{ kind: "celsius", file: sensor, scale: 0.001 }];
    const picture = join(pictures, readdirSync(pictures).find((name) => name.endsWith(".jpg")) ?? "");
    const driving =
      lite === null
        ? {}
        : { driving: { lite: { package: lite, picture }, sensors, sensorsEveryMs: 200, ...options.ladder } };
    const closed = async (error: unknown) => {
      await Promise.all([broker.close(), registry.close(), link.close()]);
      throw error;
    };
    for (const group of groups) group.enter(process.pid);
    const program = {
      name: lite === null ? "plain-agent" : "agent",
      main: "edge/agent/dist/main.js",
      dir,
      nodeArgs: sabotage === undefined ? [] : sabotaged(sabotage),
      env: { TRIBUTARY_CLOCK_FILE: join(dir, CLOCK) },
      config: {
        deviceId: DEVICE,
        dataDir,
        mqtt: { url: broker.url, password: "x" },
        model: { package: full },
        models: { registry: registry.url, root },
        log: { level: "info" },
        clock: "synchronized",
        // With cores of its own an agent puts itself into the real-time class, where it may.
        cores: realtime && cpu === undefined ? "separate" : "shared",
        cameras: [lite === null ? camera : { ...camera, deadlineMs }],
        ...driving,
      },
    };
    // In a container it has no niceness, either.
    const start = () => spawnService(program);
    const agent = await (realtime || cpu !== undefined ? start() : asAgent(start)).catch(closed).finally(() => {
      for (const group of groups) group.leave(process.pid);
    });
    return new Car(options, agent, link, broker, registry, sensor);
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

  /** LITE's and its spare's, if they run; the plain agent has none. */
  async litePids(): Promise<readonly number[]> {
    const lite = (await this.status()).driving?.lite;
    return [lite?.pid, lite?.sparePid].filter((pid) => pid != null);
  }

  /** Asks for the load that the device states, once at a time. */
  async askLoad(): Promise<void> {
    this.#asked ??= this.#readLoad().finally(() => {
      this.#asked = undefined;
    });
    await this.#asked;
  }

  async #readLoad(): Promise<void> {
    const { driving } = await this.status().catch(() => ({ driving: null }));
    if (driving === null) return;
    const { longestMs, stalledAgoMs } = driving.load;
    const atMs = this.nowMs;
    this.loads.push({ atMs, longestMs, stalledAtMs: stalledAgoMs === null ? null : atMs - stalledAgoMs });
  }

  async isUpdating(): Promise<boolean> {
    const { update } = await this.status();
    return update?.generation === this.#generation && !UPDATED.includes(update.phase);
  }

  /** False: not within so long. */
  async isAtFull(withinMs: number): Promise<boolean> {
    const isFull = async () => (await this.status()).driving?.level === "FULL" || undefined;
    return waitFor(isFull, { what: "FULL", timeoutMs: withinMs }).catch(() => false);
  }

  get shown(): readonly Shown[] {
    return this.#camera.shown.map((one) => ({ ...one, capturedMs: one.capturedMs - this.#startedMs }));
  }

  get memory(): ControlGroup | undefined {
    return this.#options.memory;
  }

  get fps(): number {
    return this.#options.fps;
  }

  /** Changes what the camera shows, from now on. */
  order(change: Partial<CameraOrder>): void {
    this.#camera.order(change);
  }

  /** How far the agent's wall clock is off, where it runs with `wrong-clock`. */
  setClock(offsetMs: number): void {
    writeInOneStep(join(this.dir, CLOCK), String(offsetMs));
  }

  /** The device's share of the configuration that the fleet changes while it runs. Its file is read once, as it starts. */
  async reloadPolicy(turn: number): Promise<void> {
    const { model } = await this.status();
    const content = parsePolicy(JSON.parse(readFileSync(join(this.#options.full, "policy.json"), "utf8")));
    const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
    const tie = { modelDigest: model.digest, createdAt: Date.now(), sha256Hex };
    const policy = completePolicy({ ...content, deadlineMs: 1_000 + turn }, tie);
    this.#policyVersion = policy.policyVersion;
    await this.#broker.publish(topics.policy(DEVICE), RoutingPolicy.encodeSingleObject(policy));
  }

  async policyReloaded(): Promise<boolean> {
    const isInForce = async () => (await this.status()).policy.version === this.#policyVersion || undefined;
    return waitFor(isInForce, { what: "the policy that was sent last" });
  }

  /** The agent's wall clock is off by so much, by what it says of its last frame. */
  async hasClock(offsetMs: number): Promise<boolean> {
    const latest = await fetch(`http://127.0.0.1:${this.#agent.ports.http}/v1/latest?cameraId=front`);
    const { capturedAt } = (await latest.json()) as { capturedAt: number | null };
    return capturedAt !== null && Math.abs(capturedAt - Date.now() - offsetMs) < CLOCK_MS_MAX;
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
    return waitFor(
      async () => {
        const { update } = await this.status();
        return update?.generation === generation && UPDATED.includes(update.phase) ? update.phase : undefined;
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
    writeInOneStep(this.sensor, `${celsius * 1_000}\n`);
  }

  async stop(): Promise<void> {
    clearInterval(this.#loadTimer);
    for (const program of [this.#reader, ...this.#pauseWatches]) program.kill();
    await this.#agent.stop();
    await this.#camera.close();
    await this.#broker.close();
    await this.registry.close();
  }

  #read(): ChildProcess {
    const program = join(import.meta.dirname, "../../dist/vehicles/reader.js");
    const url = `http://127.0.0.1:${this.#agent.ports.http}/v1/answers`;
    const reader = fork(program, [url], INSTRUMENT);
    // Starting takes more time than the device would lend it.
    reader.once("message", () => {
      const camera = this.#cameraPid();
      const { realtime, cpu, memory } = this.#options;
      for (const group of [cpu, memory]) if (camera !== undefined) group?.leave(camera);
      for (const pid of [reader.pid, camera])
        if (pid === undefined || !putBeside(pid, realtime)) this.areInstrumentsAhead = false;
    });
    const started = this.#startedMs;
    reader.on("message", ({ answers, changes, lates }: DriveReading) => {
      for (const one of answers) this.answers.push({ ...one, atMs: one.atMs - started });
      for (const one of changes) this.changes.push({ ...one, atMs: one.atMs - started });
      for (const one of lates) this.lates.push({ ...one, atMs: one.atMs - started });
    });
    return reader;
  }

  #watchPauses(core: string): ChildProcess {
    const program = join(import.meta.dirname, "../../dist/vehicles/pauses.js");
    const watch = fork(program, INSTRUMENT);
    watch.once("message", () => {
      if (watch.pid !== undefined) putFirst(watch.pid, core, this.#options.realtime);
    });
    watch.on("message", (pauses: Pause[]) => {
      for (const { fromMs, untilMs } of pauses) {
        this.pauses.push({ fromMs: fromMs - this.#startedMs, untilMs: untilMs - this.#startedMs });
      }
    });
    return watch;
  }

  /** Of the program that stands in for it. */
  #cameraPid(): number | undefined {
    const { stdout } = spawnSync("pgrep", ["--parent", String(this.#agent.pid), "--full", "--", "--socket"], {
      encoding: "utf8",
    });
    return Number(stdout?.split("\n")[0]) || undefined;
  }
}

const CLOCK = "clock";
/** A frame is not older. */
const CLOCK_MS_MAX = 5_000;
const LOAD_EVERY_MS = 1_000;
const UPDATED = ["COMMITTED", "REFUSED", "REVERTED"];
/** These programs go before the models: while V8 compiled or collected garbage for them in threads of its own, the core on which the models decode
 * pictures would be theirs for tens of milliseconds. */
const INSTRUMENT_FLAGS = ["--no-opt", "--single-threaded", "--max-semi-space-size=1"];
/** Each leads a session, as a camera does that an agent starts (priority.ts). */
const INSTRUMENT = { execArgv: INSTRUMENT_FLAGS, detached: true };

/** A reader sees the one or the other. */
function writeInOneStep(file: string, text: string): void {
  writeFileSync(`${file}.next`, text);
  renameSync(`${file}.next`, file);
}

function cameraCommand(socket: string, pictures: string, scenes: Scenes | undefined): readonly string[] {
  const program = join(import.meta.dirname, "../../dist/vehicles/camera.js");
  const broken = scenes === undefined ? [] : ["--frozen", scenes.frozen, "--dark", scenes.dark];
  return [process.execPath, ...INSTRUMENT_FLAGS, program, "--socket", socket, "--pictures", pictures, ...broken];
}

/** The connection to the camera, whichever process it is now: orders go to it, and its reports come back. */
class CameraLink {
  readonly path: string;
  readonly shown: Shown[] = [];
  readonly #server: Server;
  #socket: Socket | undefined;
  #order: CameraOrder;

  private constructor(path: string, fps: number) {
    this.path = path;
    this.#order = { scene: "road", fps, stampOffsetMs: 0 };
    this.#server = createServer((socket) => {
      this.#socket = socket.on("error", () => undefined);
      this.order({});
      linesOf(socket, (line) => this.shown.push(...(JSON.parse(line) as Shown[])));
    });
  }

  static async open(path: string, fps: number): Promise<CameraLink> {
    rmSync(path, { force: true });
    const link = new CameraLink(path, fps);
    await new Promise<void>((resolve, reject) => {
      link.#server.once("error", reject).listen(path, resolve);
    });
    return link;
  }

  order(change: Partial<CameraOrder>): void {
    this.#order = { ...this.#order, ...change };
    this.#socket?.write(`${JSON.stringify(this.#order)}\n`);
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
