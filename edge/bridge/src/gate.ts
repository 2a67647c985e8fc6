/**
 * The gate between a device's socket and the broker, which would buffer a packet of 256 MB before it parses it.
 *
 * A packet's body passes only once its bytes are granted by the budget; until then the socket is not read (G9). Each PUBLISH
 * that passed is handed its grant in order; the settler returns the bytes. A device that does not read its
 * messages is not read either, or its pending messages would grow without bound (G9).
 *
 * T2. A packet beyond its bound, or one that takes too long to arrive, ends the connection; before CONNECT is accepted the
 *     bound is small. A device would resend an oversized PUBLISH forever: its body is read and discarded, and its beginning
 *     passes in its place (oversized.ts).
 * T5. A device beyond its rates is read more slowly: the packet that exceeded them passes when the rates permit it.
 * T6. What a message costs is known once it is parsed. The packet behind a large one waits until then, and for what it cost;
 *     small ones cost little, and are charged to what follows. */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Whole } from "@tributary/kafka";
import type { BudgetAccount, ByteBudget } from "./budget.ts";
import { KEPT_BYTES_MAX, OversizedPublish } from "./oversized.ts";
import { PacketScanner, PUBLISH } from "./packet-scanner.ts";

export type GateViolation = "packet-oversized" | "packet-malformed" | "packet-slow";

export type GateOptions = {
  readonly budget: ByteBudget;
  readonly packetBytesMax: number;
  readonly packetMsMax: number;
  readonly monotonicMs: () => number;
  readonly onViolation: (gate: PacketGate, violation: GateViolation, bytes: number) => void;
};

/** CONNECT, SUBSCRIBE and the like; and PUBLISH before authentication. */
const CONTROL_BYTES_MAX = 16 * 1_024;
/** Memory of a record beside its bytes: headers, promises, the client library's own. */
const RECORD_OVERHEAD_BYTES = 1_024;
/** From this size on a PUBLISH is charged before the next packet is read. */
const COSTLY_BYTES_MIN = 8 * 1_024;
const NOTHING = Buffer.alloc(0);

type Skipped = { readonly packet: OversizedPublish; readonly grant: Granted };
type Granted = { readonly bytes: number; readonly isCostly: boolean; whole?: Whole };

export class PacketGate extends Duplex {
  readonly #socket: Socket;
  readonly #options: GateOptions;
  readonly #account: BudgetAccount;
  readonly #scanner = new PacketScanner();
  readonly #grants: Granted[] = [];
  #chunk: Buffer = NOTHING;
  #at = 0;
  /** A fixed header whose rest is to come: it passes with that, if the packet does. */
  #partial: Buffer = NOTHING;
  #skipped: Skipped | undefined;
  #wanted = false;
  #granted = true;
  #pumping = false;
  #frozen = false;
  #charge: ((bytes: number) => number) | undefined;
  #debtMs: (() => number) | undefined;
  /** Costly PUBLISHes that are not charged yet, and whether the current packet waits behind one. */
  #uncharged = 0;
  #held = false;
  #slowed: NodeJS.Timeout | undefined;
  #slowedUntilMs = 0;
  /** Inside a packet whose rest is to come; how long we waited for it so far, and until when that is counted. */
  #isWaiting = false;
  #waitedMs = 0;
  #countedAtMs = 0;
  #authenticated = false;

  constructor(socket: Socket, options: GateOptions) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#options = options;
    this.#account = options.budget.open();
    socket.on("readable", () => this.#pump());
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
    this.on("drain", () => this.#pump());
  }

  get remoteAddress(): string {
    return this.#socket.remoteAddress ?? "unknown";
  }

  /** `charge` is called with each packet of the device and returns how long to wait with it, in ms; `debtMs` how long to wait
   * for what earlier messages cost: then each grant's `charged` has to be called. */
  authenticated(charge?: (bytes: number) => number, debtMs?: () => number): void {
    this.#authenticated = true;
    this.#charge = charge;
    this.#debtMs = debtMs;
  }

  /** The grant of the next PUBLISH: call once per PUBLISH, in order. */
  nextGrant(): { readonly whole?: Whole; charged(): void; release(): void } {
    const { bytes, whole, isCostly } = this.#grants.shift() ?? { bytes: 0, isCostly: false };
    let held = true;
    return {
      ...(whole && { whole }),
      charged: () => {
        if (isCostly) this.#charged();
      },
      release: () => {
        if (held) this.#account.give(bytes);
        held = false;
      },
    };
  }

  /** Nothing is read any more; messages in flight are still answered. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Ends the connection if a packet takes too long to arrive; time in which the bridge did not read does not count. */
  sweep(): void {
    const nowMs = this.#options.monotonicMs();
    if (this.#isWaiting && this.#isReading) this.#waitedMs += nowMs - this.#countedAtMs;
    this.#countedAtMs = nowMs;
    if (this.#waitedMs > this.#options.packetMsMax) this.#violate("packet-slow", 0);
  }

  override _read(): void {
    this.#wanted = true;
    this.#pump();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#waited();
    clearTimeout(this.#slowed);
    this.#chunk = NOTHING;
    this.#account.close();
    for (const { bytes } of this.#grants.splice(0)) this.#account.give(bytes);
    this.#skipped = undefined;
    this.#socket.destroy();
    done(error);
  }

  get #isReading(): boolean {
    if (this.#slowed !== undefined || this.#held || this.#frozen || this.destroyed) return false;
    return this.#wanted && this.#granted && !this.writableNeedDrain;
  }

  #wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#countedAtMs = this.#options.monotonicMs();
  }

  #waited(): void {
    this.#isWaiting = false;
    this.#waitedMs = 0;
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#isReading && this.#step()) {}
    } finally {
      this.#pumping = false;
    }
  }

  /** Forwards the bytes up to the next packet's body. False: the socket has no more for now. */
  #step(): boolean {
    if (this.#at >= this.#chunk.length) {
      const chunk: Buffer | null = this.#socket.read();
      if (chunk === null) {
        if (this.#scanner.isInside) this.#wait();
        return false;
      }
      this.#chunk = chunk;
      this.#at = 0;
    }
    if (this.#skipped !== undefined) return this.#skip(this.#skipped);
    const from = this.#at;
    for (;;) {
      const { at, header } = this.#scanner.scan(this.#chunk, this.#at);
      this.#at = at;
      if (this.#scanner.isMalformed) return this.#violate("packet-malformed", 0);
      if (header === undefined) break;
      this.#waited();
      const isPublish = header.type === PUBLISH;
      const isLarge = isPublish && this.#authenticated;
      const isOversized = header.length > (isLarge ? this.#options.packetBytesMax : CONTROL_BYTES_MAX);
      if (isOversized && !isLarge) return this.#violate("packet-oversized", header.length);
      this.#slow(Math.max(this.#charge?.(header.length) ?? 0, this.#debtMs?.() ?? 0));
      this.#held = this.#uncharged > 0;
      const isCostly = isLarge && this.#debtMs !== undefined && header.length >= COSTLY_BYTES_MIN;
      if (isCostly) this.#uncharged++;
      const grant = { bytes: (isOversized ? KEPT_BYTES_MAX : header.length) + RECORD_OVERHEAD_BYTES, isCostly };
      if (isPublish) this.#grant(grant);
      if (isOversized) {
        this.#pass(from, at - (header.headerBytes - this.#partial.length));
        this.#partial = NOTHING;
        this.#skipped = { packet: new OversizedPublish(header.first, header.length), grant };
        return true;
      }
      if (this.#partial.length > 0) this.push(this.#partial);
      this.#partial = NOTHING;
      if (!this.#granted || this.#held || this.#slowed !== undefined) break;
    }
    if (!this.#scanner.isInside) this.#waited();
    const partialAt = this.#at - (this.#scanner.partialBytes - this.#partial.length);
    this.#pass(from, partialAt);
    if (partialAt < this.#at) this.#partial = Buffer.concat([this.#partial, this.#chunk.subarray(partialAt, this.#at)]);
    return true;
  }

  #pass(from: number, to: number): void {
    if (to > from) this.#wanted = this.push(this.#chunk.subarray(from, to));
  }

  #grant(grant: Granted): void {
    this.#granted = this.#account.take(grant.bytes, () => {
      this.#grants.push(grant);
      this.#granted = true;
      this.#pump();
    });
    if (this.#granted) this.#grants.push(grant);
  }

  /** Discards the available bytes of an oversized body. */
  #skip({ packet, grant }: Skipped): boolean {
    const part = this.#chunk.subarray(this.#at, this.#at + packet.bytesLeft);
    packet.take(part);
    this.#at += this.#scanner.scan(part, 0).at;
    this.#waited();
    if (packet.isMalformed) return this.#violate("packet-malformed", 0);
    if (packet.bytesLeft > 0) return true;
    const ended = packet.end();
    grant.whole = ended.whole;
    this.#skipped = undefined;
    this.#wanted = this.push(ended.packet);
    return true;
  }

  /** T6 */
  #charged(): void {
    this.#uncharged--;
    if (!this.#held) return;
    this.#held = false;
    this.#slow(this.#debtMs?.() ?? 0);
    this.#pump();
  }

  #slow(waitMs: number): void {
    const untilMs = this.#options.monotonicMs() + waitMs;
    if (waitMs <= 0 || (this.#slowed !== undefined && untilMs <= this.#slowedUntilMs)) return;
    clearTimeout(this.#slowed);
    this.#slowedUntilMs = untilMs;
    this.#slowed = setTimeout(() => {
      this.#slowed = undefined;
      this.#pump();
    }, waitMs);
  }

  #violate(violation: GateViolation, bytes: number): false {
    this.#options.onViolation(this, violation, bytes);
    this.destroy();
    return false;
  }
}
