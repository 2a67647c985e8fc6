/** A TCP proxy that makes a server farther away: what it sends arrives so many ms later, as over a longer network, and some of it later than the rest. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { seededRandom } from "@tributary/kernel";

/** Of what waits for one connection; then no more of it is read. */
const HELD_BYTES_MAX = 1 << 20;
const SEED = 1;

export class FarAway {
  /** Of each answer; what waits already keeps its time. */
  distanceMs = 0;
  readonly url: string;
  readonly #target: URL;
  /** Each answer takes so much longer at most, evenly drawn. */
  readonly #spreadMs: number;
  readonly #random = seededRandom(SEED);
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, target: URL, spreadMs: number) {
    this.#server = server;
    this.#target = target;
    this.#spreadMs = spreadMs;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (client) => this.#accept(client));
  }

  static async start(targetUrl: string, spreadMs: number): Promise<FarAway> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FarAway(server, new URL(targetUrl), spreadMs);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.on("data", (bytes) => upstream.write(bytes));
    let held = 0;
    let dueMs = 0;
    upstream.on("data", (bytes) => {
      held += bytes.length;
      if (held > HELD_BYTES_MAX) upstream.pause();
      // In order, also when it comes nearer.
      dueMs = Math.max(dueMs, performance.now() + this.distanceMs + this.#spreadMs * this.#random());
      setTimeout(() => {
        held -= bytes.length;
        if (held <= HELD_BYTES_MAX) upstream.resume();
        if (!client.destroyed) client.write(bytes);
      }, dueMs - performance.now());
    });
  }
}
