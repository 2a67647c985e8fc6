/** A process of `bench bridge`: devices that publish as fast as they are acknowledged, or at a pace.
 *
 * Packets are made before the load begins; a message costs the generator a share of a write and of a read, and its own
 * processor time is reported beside what it measures. A device has at most `window` messages unacknowledged. At a pace, a message
 * that finds no room is counted as late. Latency runs from the write of a PUBLISH to the read of its PUBACK; acknowledgements
 * arrive in the order of the messages (MQTT-4.6.0). */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { deviceName, fail, Meter, type Order, pace, serveLoad } from "./meter.ts";
import { connectPacket, publishRing } from "./packets.ts";
import { payloadOf } from "./payloads.ts";

const PUBACK_BYTES = 4;
const CONNACK_BYTES = 4;
const STOP_MS_MAX = 10_000;

const meter = new Meter();

class Device {
  readonly #socket: Socket;
  readonly #ring: ReturnType<typeof publishRing>;
  readonly #window: number;
  readonly #writtenAt: Float64Array;
  #isEager = false;
  #next = 0;
  #oldest = 0;
  #inFlight = 0;
  #partial = 0;

  constructor(socket: Socket, ring: ReturnType<typeof publishRing>) {
    this.#socket = socket;
    this.#ring = ring;
    this.#window = ring.starts.length - 1;
    this.#writtenAt = new Float64Array(this.#window);
    socket.on("data", (chunk: Buffer) => this.#read(chunk.length));
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get hasRoom(): boolean {
    return this.#inFlight < this.#window;
  }

  /** From now on, or no longer: what is acknowledged is followed by as many. */
  keepFull(isEager: boolean): void {
    this.#isEager = isEager;
    if (isEager) this.write(this.#window - this.#inFlight);
  }

  /** Writes the next `count` packets: one write, or two where the ring ends. */
  write(count: number): void {
    const { bytes, starts } = this.#ring;
    const now = performance.now();
    this.#inFlight += count;
    for (let rest = count; rest > 0; ) {
      const until = Math.min(this.#window, this.#next + rest);
      this.#writtenAt.fill(now, this.#next, until);
      this.#socket.write(bytes.subarray(starts[this.#next], starts[until]));
      rest -= until - this.#next;
      this.#next = until % this.#window;
    }
  }

  #read(length: number): void {
    const bytes = this.#partial + length;
    const count = Math.floor(bytes / PUBACK_BYTES);
    this.#partial = bytes - count * PUBACK_BYTES;
    if (count > this.#inFlight) fail(`${count} acknowledgements of ${this.#inFlight} messages`);
    const now = performance.now();
    for (let i = 0; i < count; i++) {
      meter.acked(now - (this.#writtenAt[this.#oldest] as number));
      this.#oldest = (this.#oldest + 1) % this.#window;
    }
    this.#inFlight -= count;
    if (this.#isEager) this.write(count);
  }
}

const devices: Device[] = [];
let stopPacing = () => {};

serveLoad(meter, start, stop);

async function start({ port, window, withPassword, ...order }: Order): Promise<number> {
  let payloadBytes = 0;
  for (let i = 0; i < order.devices; i++) {
    const name = deviceName(i);
    const payloads = Array.from({ length: window }, (_, k) =>
      payloadOf(order.payload, order.payloadBytes, name, BigInt(k + 1)),
    );
    payloadBytes = payloads[0]?.length ?? 0;
    const ring = publishRing(order.topic.replace("%d", name), payloads);
    const socket = await connected(port, connectPacket({ clientId: name, password: withPassword ? name : null }));
    devices.push(new Device(socket, ring));
  }
  let turn = 0;
  if (order.rate === null) for (const device of devices) device.keepFull(true);
  else {
    stopPacing = pace(order.rate, () => {
      const device = devices[turn++ % devices.length] as Device;
      if (device.hasRoom) device.write(1);
      else meter.late();
    });
  }
  return payloadBytes;
}

async function stop(): Promise<void> {
  stopPacing();
  for (const device of devices) device.keepFull(false);
  const until = performance.now() + STOP_MS_MAX;
  while (devices.some(({ inFlight }) => inFlight > 0)) {
    if (performance.now() > until) fail("messages stay unacknowledged");
    await sleep(10);
  }
}

function connected(port: number, hello: Buffer): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => socket.write(hello));
    socket.once("error", (error) => fail(error.message));
    socket.once("close", () => fail("a connection was closed"));
    socket.once("data", (answer: Buffer) => {
      if (answer.length !== CONNACK_BYTES || answer[0] !== 0x20 || answer[3] !== 0) {
        fail(`not accepted: ${answer.toString("hex")}`);
      }
      resolve(socket);
    });
  });
}
