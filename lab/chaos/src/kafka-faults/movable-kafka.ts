/**
 * A Kafka whose clients know it by a name, `kafka.test`. It can vanish, as with its host: connections to it stay open and are never
 * answered, and the next start is at another address, as that of a pod in Kubernetes. Clients resolve the name by
 * lab/sabotage/moving-name.mjs.
 */
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "@tributary/testing";
import { type KafkaNode, startKafka } from "../../../../tools/kafka.mjs";

const NAME = "kafka.test";
const READY_MS_MAX = 180_000;
/** Resolves to no address. */
const NOWHERE = "";

export class MovableKafka {
  readonly #dir: string;
  readonly #clientsPort: number;
  /** Stopped with SIGSTOP. */
  readonly #vanished: KafkaNode[] = [];
  #node: KafkaNode | undefined;

  static async make(dir: string): Promise<MovableKafka> {
    return new MovableKafka(dir, await freePort());
  }

  private constructor(dir: string, clientsPort: number) {
    this.#dir = dir;
    this.#clientsPort = clientsPort;
    writeFileSync(this.nameFile, NOWHERE);
  }

  /** For the variable TRIBUTARY_MOVING_NAME. */
  get nameFile(): string {
    return join(this.#dir, "kafka-address");
  }

  get brokers(): readonly string[] {
    return [`${NAME}:${this.#clientsPort}`];
  }

  get #dataDir(): string {
    return join(this.#dir, `kafka-${this.#vanished.length + 1}`);
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const [port, controllerPort] = [await freePort(), await freePort()];
    const address = `127.0.0.${2 + this.#vanished.length}`;
    const clients = `${address}:${this.#clientsPort}`;
    writeFileSync(this.nameFile, address);
    this.#node = await startKafka({
      port,
      controllerPort,
      dataDir: this.#dataDir,
      logFile: join(this.#dir, "logs", "kafka.log"),
      readyMsMax: READY_MS_MAX,
      config: {
        listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort},PROXIED://${clients}`,
        "advertised.listeners": `PLAINTEXT://127.0.0.1:${port},PROXIED://${this.brokers[0]}`,
      },
    });
  }

  async kill(): Promise<void> {
    this.#node?.kill("SIGKILL");
    await this.#node?.exited;
  }

  async stop(): Promise<void> {
    await this.#node?.stop();
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#node?.kill(signal);
  }

  /** Until the next start its name has no address. Its disk follows it. */
  vanish(): void {
    const node = this.#node;
    if (node === undefined) return;
    const before = this.#dataDir;
    node.kill("SIGSTOP");
    writeFileSync(this.nameFile, NOWHERE);
    this.#vanished.push(node);
    cpSync(before, this.#dataDir, { recursive: true });
  }

  /** It is stopped, and has lost everything. */
  forget(): void {
    rmSync(this.#dataDir, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    for (const node of this.#vanished) node.kill("SIGKILL");
    await this.stop();
  }
}
