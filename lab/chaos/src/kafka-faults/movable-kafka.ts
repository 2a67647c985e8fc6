/**
 * A Kafka whose clients know it by a name, `kafka.test`, behind which its address changes when it is started again elsewhere, as
 * that of a pod in Kubernetes does. Clients resolve the name by lab/sabotage/moving-name.mjs.
 */
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { freePort } from "@tributary/testing";
import { type KafkaNode, startKafka } from "../../../../tools/kafka.mjs";

const NAME = "kafka.test";
const READY_MS_MAX = 180_000;

type Ports = { readonly port: number; readonly controllerPort: number };

export class MovableKafka {
  readonly #dir: string;
  readonly #ports: Ports;
  readonly #clientsPort: number;
  /** Addresses that it had: connections are accepted there, and never answered. */
  readonly #silent: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];
  #moves = 0;
  #node: KafkaNode | undefined;

  static async make(dir: string): Promise<MovableKafka> {
    const ports = { port: await freePort(), controllerPort: await freePort() };
    return new MovableKafka(dir, ports, await freePort());
  }

  private constructor(dir: string, ports: Ports, clientsPort: number) {
    this.#dir = dir;
    this.#ports = ports;
    this.#clientsPort = clientsPort;
    writeFileSync(this.nameFile, this.#address);
  }

  /** For the variable TRIBUTARY_MOVING_NAME. */
  get nameFile(): string {
    return join(this.#dir, "kafka-address");
  }

  get brokers(): readonly string[] {
    return [`${NAME}:${this.#clientsPort}`];
  }

  get #address(): string {
    return `127.0.0.${2 + this.#moves}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const { port, controllerPort } = this.#ports;
    const clients = `${this.#address}:${this.#clientsPort}`;
    this.#node = await startKafka({
      ...this.#ports,
      dataDir: join(this.#dir, "kafka"),
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

  /** From the next start on it has another address; at the former one nothing answers any more. */
  async move(): Promise<void> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket.on("error", () => {})));
    const former = this.#address;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#clientsPort, former, resolve);
    });
    this.#silent.push({ server, sockets });
    this.#moves++;
    writeFileSync(this.nameFile, this.#address);
  }

  /** It is stopped, and has lost everything. */
  forget(): void {
    rmSync(join(this.#dir, "kafka"), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await this.stop();
    for (const { server, sockets } of this.#silent) {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}
