/**
 * Connections that are not authenticated yet: they get a socket and a few bytes here, and nothing of the broker.
 *
 * Every end that is not an admission is counted by its reason, and logged with the peer's address.
 *
 * P1. They come from pools of their own, in number and in bytes. A newcomer is always heard: room for it is made by ending
 *     another, first one of its own address if that has too many, else one of the address that has most (G9). Of an address'
 *     connections the oldest that has sent nothing goes first, so that silence never keeps a device out, not even one that
 *     shares its address with the silent.
 * P2. A CONNECT packet has to be there, whole, within `connectMsMax`. */
import type { Socket } from "node:net";
import { type Clock, sourceOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { type Connect, type ConnectRefusal, isOwnWill, type Origin, returnCodeOf } from "./auth.ts";
import { BySource } from "./by-source.ts";
import type { BridgeConfig } from "./config.ts";
import { type ConnectFault, readConnect } from "./connect-packet.ts";
import { connectionCut, connectRefused } from "./events.ts";

export type PreAuthCut = Exclude<ConnectFault, "protocol-unsupported"> | "connect-late" | "unauthenticated-full";

export type PreAuthOptions = {
  readonly config: BridgeConfig;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly authenticate: (connect: Connect, origin: Origin) => Promise<ConnectRefusal | undefined>;
  /** Whether there is room for a device whose password was right. */
  readonly mayAdmit: (socket: Socket, deviceId: string) => ConnectRefusal | undefined;
  /** Takes it; the socket gives all bytes received so far again. */
  readonly admit: (socket: Socket, deviceId: string) => void;
};

/** `silent` until its CONNECT is there whole, `leaving` once it is answered by a refusal. */
type Phase = "silent" | "checked" | "leaving" | "over";

type Stranger = {
  readonly socket: Socket;
  readonly source: string;
  readonly onReadable: () => void;
  readonly onOver: () => void;
  phase: Phase;
  /** When its phase must be over. */
  untilMs: number;
  chunks: Buffer[];
  bytes: number;
};

/** A CONNECT's largest useful content is a will, two names and a password. */
const CONNECT_BYTES_MAX = 16 * 1_024;
/** With what it sends before it has its CONNACK, which MQTT allows. */
const STRANGER_BYTES_MAX = 64 * 1_024;
/** To read its refusal and go. */
const LEAVE_MS_MAX = 1_000;
const SWEEP_MS = 250;

export class PreAuth {
  readonly #options: PreAuthOptions;
  /** The oldest first. */
  readonly #strangers = new Set<Stranger>();
  readonly #bySource = new BySource<Stranger>();
  readonly #sweeper: NodeJS.Timeout;
  #bytes = 0;

  constructor(options: PreAuthOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  get size(): number {
    return this.#strangers.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  accept(socket: Socket): void {
    const { clock, config } = this.#options;
    const source = sourceOf(socket.remoteAddress);
    this.#makeRoom(source);
    const stranger: Stranger = {
      socket,
      source,
      onReadable: () => this.#read(stranger),
      onOver: () => this.#forget(stranger),
      phase: "silent",
      untilMs: clock.monotonicMs() + config.limits.connectMsMax,
      chunks: [],
      bytes: 0,
    };
    this.#strangers.add(stranger);
    this.#bySource.add(source, stranger);
    socket.on("readable", stranger.onReadable);
    socket.on("error", stranger.onOver);
    socket.on("close", stranger.onOver);
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const stranger of this.#strangers) this.#end(stranger);
  }

  #makeRoom(source: string): void {
    const { unauthenticatedMax, unauthenticatedPerAddressMax } = this.#options.config.limits;
    if (this.#bySource.countOf(source) >= unauthenticatedPerAddressMax) this.#evictOf(source);
    else if (this.#strangers.size >= unauthenticatedMax) this.#evictOf(this.#bySource.heaviest() ?? source);
  }

  #evictOf(source: string): void {
    const order: readonly Phase[] = ["silent", "leaving", "checked"];
    const found = new Map<Phase, Stranger>();
    for (const stranger of this.#bySource.itemsOf(source)) {
      if (!found.has(stranger.phase)) found.set(stranger.phase, stranger);
      if (stranger.phase === "silent") break;
    }
    const victim = order.map((phase) => found.get(phase)).find((one) => one !== undefined);
    if (victim === undefined) return;
    if (victim.phase === "leaving") this.#end(victim);
    else this.#cut(victim, "unauthenticated-full");
  }

  #read(stranger: Stranger): void {
    for (;;) {
      const chunk: Buffer | null = stranger.socket.read();
      if (chunk === null) return;
      if (stranger.phase === "leaving" || stranger.phase === "over") continue;
      stranger.chunks.push(chunk);
      stranger.bytes += chunk.length;
      this.#bytes += chunk.length;
      if (stranger.bytes > STRANGER_BYTES_MAX) {
        this.#cut(stranger, "connect-oversized");
        return;
      }
      if (this.#bytes > this.#options.config.limits.unauthenticatedBytesMax) this.#evictLargest();
      if (stranger.phase === "silent") this.#hear(stranger);
    }
  }

  #evictLargest(): void {
    let largest: Stranger | undefined;
    for (const stranger of this.#strangers) {
      if (stranger.bytes > (largest?.bytes ?? 0)) largest = stranger;
    }
    if (largest !== undefined) this.#cut(largest, "unauthenticated-full");
  }

  #hear(stranger: Stranger): void {
    if (stranger.chunks.length > 1) stranger.chunks = [Buffer.concat(stranger.chunks)];
    const read = readConnect(stranger.chunks[0] as Buffer, CONNECT_BYTES_MAX);
    if (read.kind === "incomplete") return;
    if (read.kind === "connect") {
      stranger.phase = "checked";
      this.#check(stranger, read.connect).catch(() => this.#refuse(stranger, "unknown", "authentication-busy"));
    } else if (read.fault === "protocol-unsupported") this.#refuse(stranger, "unknown", read.fault);
    else this.#cut(stranger, read.fault);
  }

  async #check(stranger: Stranger, connect: Connect): Promise<void> {
    const { authenticate, config } = this.#options;
    const isGone = () => stranger.phase !== "checked";
    const refusal = isOwnWill(connect, config.mqtt.prefix)
      ? await authenticate(connect, { source: stranger.source, isGone })
      : ("will-not-availability" as const);
    if (isGone()) return;
    const reason = refusal ?? this.#options.mayAdmit(stranger.socket, connect.clientId);
    if (reason !== undefined) return this.#refuse(stranger, connect.clientId, reason);
    this.#admit(stranger, connect.clientId);
  }

  #admit(stranger: Stranger, deviceId: string): void {
    const { socket } = stranger;
    const received = Buffer.concat(stranger.chunks);
    stranger.phase = "over";
    this.#remove(stranger);
    socket.off("readable", stranger.onReadable);
    socket.off("error", stranger.onOver);
    socket.off("close", stranger.onOver);
    socket.unshift(received);
    this.#options.admit(socket, deviceId);
  }

  /** CONNACK, and the end of the connection (MQTT-3.2.2-5). */
  #refuse(stranger: Stranger, clientId: string, code: ConnectRefusal): void {
    const { socket } = stranger;
    const remote = socket.remoteAddress ?? stranger.source;
    this.#options.telemetry.emit(connectRefused, { code, clientId: JSON.stringify(clientId.slice(0, 64)), remote });
    stranger.phase = "leaving";
    stranger.untilMs = this.#options.clock.monotonicMs() + LEAVE_MS_MAX;
    this.#drop(stranger);
    socket.end(Buffer.from([0x20, 2, 0, returnCodeOf(code)]));
  }

  #cut(stranger: Stranger, code: PreAuthCut): void {
    const { bytes, socket } = stranger;
    const remote = socket.remoteAddress ?? stranger.source;
    this.#options.telemetry.emit(connectionCut, { code, deviceId: "unknown", bytes, remote });
    this.#end(stranger);
  }

  #end(stranger: Stranger): void {
    this.#forget(stranger);
    stranger.socket.destroy();
  }

  #forget(stranger: Stranger): void {
    stranger.phase = "over";
    this.#remove(stranger);
  }

  #remove(stranger: Stranger): void {
    if (!this.#strangers.delete(stranger)) return;
    this.#bySource.remove(stranger.source, stranger);
    this.#drop(stranger);
  }

  /** Its bytes. */
  #drop(stranger: Stranger): void {
    this.#bytes -= stranger.bytes;
    stranger.bytes = 0;
    stranger.chunks = [];
  }

  #sweep(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const stranger of this.#strangers) {
      if (stranger.phase === "checked" || stranger.untilMs > nowMs) continue;
      if (stranger.phase === "leaving") this.#end(stranger);
      else this.#cut(stranger, "connect-late");
    }
  }
}
