/**
 * Server-sent events to many clients, none of which can slow the others or fill the memory.
 *
 * A client holds at most `clientBytesMax` bytes that its socket has not taken; beyond that it is dropped, notified if it
 * still listens, and counted with the reason `slow` (G9). There are at most `clientsMax` clients.
 */
import { Problem } from "@tributary/service-kit";

/** What we need of a node response. */
export interface EventSocket {
  write(text: string): boolean;
  end(text?: string): void;
  destroy(): void;
  readonly writableLength: number;
  /** The peer is gone; `close` was emitted already. */
  readonly destroyed: boolean;
  on(event: "close" | "error", listener: () => void): void;
}

export type SubscriberLimits = { readonly clientsMax: number; readonly clientBytesMax: number };
export type DropReason = "slow" | "closing";
/** Who gets an item, and as which text. */
export type StreamFormat<Item, Filter> = {
  readonly matches: (item: Item, filter: Filter) => boolean;
  readonly textOf: (item: Item) => string;
};
type Client<Filter> = { readonly socket: EventSocket; readonly filter: Filter };

export class Subscribers<Item, Filter> {
  readonly #format: StreamFormat<Item, Filter>;
  readonly #limits: SubscriberLimits;
  readonly #onDropped: (event: { readonly reason: DropReason }) => void;
  readonly #clients = new Set<Client<Filter>>();
  #closed = false;

  constructor(
    format: StreamFormat<Item, Filter>,
    limits: SubscriberLimits,
    onDropped: (event: { readonly reason: DropReason }) => void,
  ) {
    this.#format = format;
    this.#limits = limits;
    this.#onDropped = onDropped;
  }

  get count(): number {
    return this.#clients.size;
  }

  /** Whether there is room for another client; ask before `add`. */
  get hasRoom(): boolean {
    return !this.#closed && this.#clients.size < this.#limits.clientsMax;
  }

  /** `first` is sent before all that comes. */
  add(socket: EventSocket, filter: Filter, first: readonly Item[] = []): void {
    if (socket.destroyed) return; // it left while it was admitted, and would emit no event again
    const client: Client<Filter> = { socket, filter };
    this.#clients.add(client);
    const leave = () => this.#clients.delete(client);
    socket.on("close", leave);
    socket.on("error", leave);
    socket.write(": connected\n\n");
    for (const item of first) if (this.#clients.has(client)) this.#write(client, this.#format.textOf(item));
  }

  publish(item: Item): void {
    let text: string | undefined;
    for (const client of this.#clients) {
      if (!this.#format.matches(item, client.filter)) continue;
      text ??= this.#format.textOf(item);
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

  #write(client: Client<Filter>, text: string): void {
    const { socket } = client;
    if (socket.writableLength + text.length > this.#limits.clientBytesMax) this.#drop(client, "slow");
    else socket.write(text);
  }

  #drop(client: Client<Filter>, reason: DropReason): void {
    this.#clients.delete(client);
    this.#onDropped({ reason });
    if (reason === "slow") client.socket.destroy();
    else client.socket.end(`event: dropped\ndata: ${JSON.stringify({ reason })}\n\n`);
  }
}

/** How a stream of events begins. */
export const EVENT_STREAM = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
} as const;

export const eventsBusy = (): Problem =>
  new Problem(503, "events-busy", "retry", "Too many event clients. Try again later.", {
    headers: { "Retry-After": "5" },
  });
