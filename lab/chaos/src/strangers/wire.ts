/** An attacker's MQTT client: packets of any bytes over plain sockets, and the responses. */
import { connect, type Socket } from "node:net";

type Text = string | Buffer;

export type Hello = {
  readonly clientId: Text;
  readonly user?: Text | undefined;
  readonly password?: Text | undefined;
  readonly will?: { readonly topic: Text; readonly payload: Text };
  readonly name?: string;
  readonly level?: number;
};

const field = (text: Text): Buffer => {
  const bytes = Buffer.from(text as string);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

/** A packet of a type and flags (the first byte) around a body. */
export function packet(first: number, ...body: readonly Buffer[]): Buffer {
  const rest = Buffer.concat(body);
  const length: number[] = [];
  let left = rest.length;
  do {
    length.push((left % 128) | (left >= 128 ? 0x80 : 0));
    left = Math.floor(left / 128);
  } while (left > 0);
  return Buffer.concat([Buffer.from([first, ...length]), rest]);
}

export function hello({ clientId, user, password, will, name = "MQTT", level = 4 }: Hello): Buffer {
  const flags =
    2 | (will === undefined ? 0 : 0x2c) | (user === undefined ? 0 : 0x80) | (password === undefined ? 0 : 0x40);
  return packet(
    0x10,
    field(name),
    Buffer.from([level, flags, 0, 60]),
    field(clientId),
    ...(will === undefined ? [] : [field(will.topic), field(will.payload)]),
    ...(user === undefined ? [] : [field(user)]),
    ...(password === undefined ? [] : [field(password)]),
  );
}

export const subscribe = (filter: Text): Buffer => packet(0x82, Buffer.from([0, 7]), field(filter), Buffer.from([1]));

export const publish = (topic: Text, payload: Buffer): Buffer =>
  packet(0x32, field(topic), Buffer.from([0, 9]), payload);

/** The first packet that is returned, or how the wait for it ended. */
export type Reply = { readonly type: number; readonly code: number } | "closed";

export const TYPE = { connack: 2, puback: 4, suback: 9 } as const;
const ANSWER_MS_MAX = 60_000;

export class Wire {
  readonly socket: Socket;
  readonly #waiting: ((reply: Reply) => void)[] = [];
  readonly #replies: Reply[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("close", () => {
      this.#closed = true;
      for (const go of this.#waiting.splice(0)) go("closed");
    });
  }

  /** Rejects when there is no connection. */
  static open(port: number, localAddress = "127.0.0.1"): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.on("error", () => {}); // its close event follows
        resolve(new Wire(socket));
      });
    });
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next packet, in order. Throws when neither an answer nor an end arrives in time. */
  next(): Promise<Reply> {
    const reply = this.#replies.shift();
    if (reply !== undefined) return Promise.resolve(reply);
    if (this.#closed) return Promise.resolve("closed");
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("neither an answer nor an end arrived")), ANSWER_MS_MAX);
      this.#waiting.push((one) => {
        clearTimeout(timer);
        resolve(one);
      });
    });
  }

  async ask(bytes: Buffer): Promise<Reply> {
    this.send(bytes);
    return this.next();
  }

  close(): void {
    this.socket.destroy();
  }

  /** Packets here are short: one byte of length. */
  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 2 && this.#rest.length >= 2 + (this.#rest[1] as number)) {
      const length = 2 + (this.#rest[1] as number);
      const reply = { type: (this.#rest[0] as number) >> 4, code: this.#rest[length - 1] as number };
      this.#rest = this.#rest.subarray(length);
      const go = this.#waiting.shift();
      if (go === undefined) this.#replies.push(reply);
      else go(reply);
    }
  }
}

export const isWelcome = (reply: Reply): boolean =>
  reply !== "closed" && reply.type === TYPE.connack && reply.code === 0;

/** A login as one of `address`; the session if it is accepted, or the refusal. */
export async function login(port: number, who: Hello, address?: string): Promise<Wire | Reply> {
  const wire = await Wire.open(port, address);
  const reply = await wire.ask(hello(who));
  if (isWelcome(reply)) return wire;
  wire.close();
  return reply;
}
