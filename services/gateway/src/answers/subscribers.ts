/**
 * Server-sent events to many clients, none of whom can slow the rest or fill the memory.
 *
 * S1. A client holds at most `clientBytesMax` bytes that its socket has not taken; beyond that it is dropped, told so if
 *     it still listens, and counted with the reason `slow` (G9).
 * S2. At most `clientsMax` clients.
 */
import type { Answer } from "./answer.ts";
import { type AnswerFilter, matches } from "./ring.ts";

/** What we need of a node response. */
export interface EventSocket {
  write(text: string): boolean;
  end(text?: string): void;
  destroy(): void;
  readonly writableLength: number;
  /** The peer is gone; `close` was told already. */
  readonly destroyed: boolean;
  on(event: "close" | "error", listener: () => void): void;
}

export type SubscriberLimits = { readonly clientsMax: number; readonly clientBytesMax: number };
export type DropReason = "slow" | "closing";
type Client = { readonly socket: EventSocket; readonly filter: AnswerFilter };

export class Subscribers {
  readonly #limits: SubscriberLimits;
  readonly #onDropped: (event: { readonly reason: DropReason }) => void;
  readonly #clients = new Set<Client>();
  #closed = false;

  constructor(limits: SubscriberLimits, onDropped: (event: { readonly reason: DropReason }) => void) {
    this.#limits = limits;
    this.#onDropped = onDropped;
  }

  get count(): number {
    return this.#clients.size;
  }

  /** S2. Ask before `add`. */
  get hasRoom(): boolean {
    return !this.#closed && this.#clients.size < this.#limits.clientsMax;
  }

  add(socket: EventSocket, filter: AnswerFilter): void {
    if (socket.destroyed) return; // it left while it was let in, and would never tell again
    const client: Client = { socket, filter };
    this.#clients.add(client);
    const leave = () => this.#clients.delete(client);
    socket.on("close", leave);
    socket.on("error", leave);
    socket.write(": connected\n\n");
  }

  publish(answer: Answer): void {
    let text: string | undefined;
    for (const client of this.#clients) {
      if (!matches(answer, client.filter)) continue;
      text ??= eventOf(answer);
      this.#write(client, text);
    }
  }

  /** A comment, so that proxies keep the connection and dead peers are noticed. */
  heartbeat(): void {
    for (const client of this.#clients) this.#write(client, ": heartbeat\n\n");
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients) this.#drop(client, "closing");
  }

  #write(client: Client, text: string): void {
    const { socket } = client;
    if (socket.writableLength + text.length > this.#limits.clientBytesMax)
      this.#drop(client, "slow"); // S1
    else socket.write(text);
  }

  #drop(client: Client, reason: DropReason): void {
    this.#clients.delete(client);
    this.#onDropped({ reason });
    if (reason === "slow") client.socket.destroy();
    else client.socket.end(`event: dropped\ndata: ${JSON.stringify({ reason })}\n\n`);
  }
}

const eventOf = (answer: Answer): string =>
  `event: classification\nid: ${answer.partition}-${answer.offset}-${answer.cameraId}-${answer.frameSeq}\ndata: ${JSON.stringify(answer)}\n\n`;
