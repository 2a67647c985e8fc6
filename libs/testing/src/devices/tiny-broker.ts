/** A broker for tests of devices: aedes on a port of its own, whose PUBACKs can be held back as the bridge does. */
import { createServer, type Server, type Socket } from "node:net";
import { Aedes } from "aedes";

export type Received = { readonly topic: string; readonly payload: Buffer; readonly retain: boolean };

export class TinyBroker {
  readonly received: Received[] = [];
  /** Publishes are taken; their acknowledgement waits as long as this promise. */
  hold: Promise<void> = Promise.resolve();
  readonly #aedes: Aedes;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(aedes: Aedes) {
    this.#aedes = aedes;
    aedes.authorizePublish = (_client, packet, callback) => {
      const { topic, retain } = packet;
      this.received.push({ topic, payload: Buffer.from(packet.payload), retain });
      this.hold.then(() => callback(null));
    };
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      aedes.handle(socket);
    });
  }

  static async open(port = 0): Promise<TinyBroker> {
    const broker = new TinyBroker(await Aedes.createBroker());
    await new Promise<void>((resolve) => broker.#server.listen(port, "127.0.0.1", resolve));
    return broker;
  }

  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** As if the network broke. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  publish(topic: string, payload: Buffer, retain = false): Promise<void> {
    return new Promise((resolve) => {
      this.#aedes.publish({ cmd: "publish", qos: 1, dup: false, retain, topic, payload }, () => resolve());
    });
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#aedes.close(() => resolve()));
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
