/**
 * Connections that are not authenticated yet: they use a socket and a few bytes, and no resources of the broker.
 *
 * Every end other than an admission is counted by its reason, and logged with the peer's address.
 *
 * P1. They have limits of their own, in number and in bytes. A new connection is always accepted: another is closed for it,
 *     first one of the same address if that has too many, else one of the address that has most (G9). Of an address'
 *     connections the oldest that has sent nothing is closed first, so that silent connections never lock a device out, not
 *     even one with the same address.
 * P2. A complete CONNECT packet must arrive within `connectMsMax`. */
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

type PendingConnection = {
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
const PENDING_BYTES_MAX = 64 * 1_024;
/** Time to read its refusal and close. */
const LEAVE_MS_MAX = 1_000;
const SWEEP_MS = 250;

export class PreAuth {
  readonly #options: PreAuthOptions;
  /** The oldest first. */
  readonly #pending = new Set<PendingConnection>();
  readonly #bySource = new BySource<PendingConnection>();
  readonly #sweeper: NodeJS.Timeout;
  #bytes = 0;

  constructor(options: PreAuthOptions) {
    this.#options = options;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  get size(): number {
    return this.#pending.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  accept(socket: Socket): void {
    const { clock, config } = this.#options;
    const source = sourceOf(socket.remoteAddress);
    this.#makeRoom(source);
    const pending: PendingConnection = {
      socket,
      source,
      onReadable: () => this.#read(pending),
      onOver: () => this.#forget(pending),
      phase: "silent",
      untilMs: clock.monotonicMs() + config.limits.connectMsMax,
      chunks: [],
      bytes: 0,
    };
    this.#pending.add(pending);
    this.#bySource.add(source, pending);
    socket.on("readable", pending.onReadable);
    socket.on("error", pending.onOver);
    socket.on("close", pending.onOver);
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const pending of this.#pending) this.#end(pending);
  }

  #makeRoom(source: string): void {
    const { unauthenticatedMax, unauthenticatedPerAddressMax } = this.#options.config.limits;
    if (this.#bySource.countOf(source) >= unauthenticatedPerAddressMax) this.#evictOf(source);
    else if (this.#pending.size >= unauthenticatedMax) this.#evictOf(this.#bySource.heaviest() ?? source);
  }

  #evictOf(source: string): void {
    const order: readonly Phase[] = ["silent", "leaving", "checked"];
    const found = new Map<Phase, PendingConnection>();
    for (const pending of this.#bySource.itemsOf(source)) {
      if (!found.has(pending.phase)) found.set(pending.phase, pending);
      if (pending.phase === "silent") break;
    }
    const victim = order.map((phase) => found.get(phase)).find((one) => one !== undefined);
    if (victim === undefined) return;
    if (victim.phase === "leaving") this.#end(victim);
    else this.#cut(victim, "unauthenticated-full");
  }

  #read(pending: PendingConnection): void {
    for (;;) {
      const chunk: Buffer | null = pending.socket.read();
      if (chunk === null) return;
      if (pending.phase === "leaving" || pending.phase === "over") continue;
      pending.chunks.push(chunk);
      pending.bytes += chunk.length;
      this.#bytes += chunk.length;
      if (pending.bytes > PENDING_BYTES_MAX) {
        this.#cut(pending, "connect-oversized");
        return;
      }
      if (this.#bytes > this.#options.config.limits.unauthenticatedBytesMax) this.#evictLargest();
      if (pending.phase === "silent") this.#parse(pending);
    }
  }

  #evictLargest(): void {
    let largest: PendingConnection | undefined;
    for (const pending of this.#pending) {
      if (pending.bytes > (largest?.bytes ?? 0)) largest = pending;
    }
    if (largest !== undefined) this.#cut(largest, "unauthenticated-full");
  }

  #parse(pending: PendingConnection): void {
    if (pending.chunks.length > 1) pending.chunks = [Buffer.concat(pending.chunks)];
    const read = readConnect(pending.chunks[0] as Buffer, CONNECT_BYTES_MAX);
    if (read.kind === "incomplete") return;
    if (read.kind === "connect") {
      pending.phase = "checked";
      this.#check(pending, read.connect).catch(() => this.#refuse(pending, "unknown", "authentication-busy"));
    } else if (read.fault === "protocol-unsupported") this.#refuse(pending, "unknown", read.fault);
    else this.#cut(pending, read.fault);
  }

  async #check(pending: PendingConnection, connect: Connect): Promise<void> {
    const { authenticate, config } = this.#options;
    const isGone = () => pending.phase !== "checked";
    const refusal = isOwnWill(connect, config.mqtt.prefix)
      ? await authenticate(connect, { source: pending.source, isGone })
      : ("will-not-availability" as const);
    if (isGone()) return;
    const reason = refusal ?? this.#options.mayAdmit(pending.socket, connect.clientId);
    if (reason !== undefined) return this.#refuse(pending, connect.clientId, reason);
    this.#admit(pending, connect.clientId);
  }

  #admit(pending: PendingConnection, deviceId: string): void {
    const { socket } = pending;
    const received = Buffer.concat(pending.chunks);
    pending.phase = "over";
    this.#remove(pending);
    socket.off("readable", pending.onReadable);
    socket.off("error", pending.onOver);
    socket.off("close", pending.onOver);
    socket.unshift(received);
    this.#options.admit(socket, deviceId);
  }

  /** CONNACK, and the end of the connection (MQTT-3.2.2-5). */
  #refuse(pending: PendingConnection, clientId: string, code: ConnectRefusal): void {
    const { socket } = pending;
    const remote = socket.remoteAddress ?? pending.source;
    this.#options.telemetry.emit(connectRefused, { code, clientId: JSON.stringify(clientId.slice(0, 64)), remote });
    pending.phase = "leaving";
    pending.untilMs = this.#options.clock.monotonicMs() + LEAVE_MS_MAX;
    this.#drop(pending);
    socket.end(Buffer.from([0x20, 2, 0, returnCodeOf(code)]));
  }

  #cut(pending: PendingConnection, code: PreAuthCut): void {
    const { bytes, socket } = pending;
    const remote = socket.remoteAddress ?? pending.source;
    this.#options.telemetry.emit(connectionCut, { code, deviceId: "unknown", bytes, remote });
    this.#end(pending);
  }

  #end(pending: PendingConnection): void {
    this.#forget(pending);
    pending.socket.destroy();
  }

  #forget(pending: PendingConnection): void {
    pending.phase = "over";
    this.#remove(pending);
  }

  #remove(pending: PendingConnection): void {
    if (!this.#pending.delete(pending)) return;
    this.#bySource.remove(pending.source, pending);
    this.#drop(pending);
  }

  /** Its bytes. */
  #drop(pending: PendingConnection): void {
    this.#bytes -= pending.bytes;
    pending.bytes = 0;
    pending.chunks = [];
  }

  #sweep(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const pending of this.#pending) {
      if (pending.phase === "checked" || pending.untilMs > nowMs) continue;
      if (pending.phase === "leaving") this.#end(pending);
      else this.#cut(pending, "connect-late");
    }
  }
}
