/** A process for the crash test: the real outbox on its worker thread and the real uplink, fed with generated frames. It prints
 * the committed items on its standard output; the test that kills it compares. Arguments: FOLDER URL FRAMES_PER_SECOND. */
import { join } from "node:path";
import { systemClock } from "@tributary/kernel";
import { noTracer } from "@tributary/telemetry";
import { deviceTime } from "../device-time.ts";
import { Outbox } from "../outbox/outbox.ts";
import { Uplink } from "../uplink.ts";
import { frameItem, limits } from "./items.ts";

const [folder = "", url = "", rate = "400"] = process.argv.slice(2);
const deviceId = "crash-01";
const now = deviceTime("unsynchronized");
let uplink: Uplink | undefined;
let printed = 0;
const outbox = await Outbox.open(
  {
    file: join(folder, "outbox.sqlite"),
    deviceId,
    limits: { ...limits, windowRecords: 8, bytesMax: 64 << 20 },
    clock: "unsynchronized",
  },
  {
    onSend: (send) => uplink?.send(send),
    onCommitted: ({ items, stats }) => {
      const pending = stats.predictions + stats.frames + stats.unacked;
      if (Number(rate) === 0 && pending === 0) process.stdout.write("settled\n");
      if (items > printed) process.stdout.write(`committed ${outbox.opened.bootId} ${printed + 1} ${items}\n`);
      printed = items;
    },
    onSetAside: ({ file }) => process.stdout.write(`failed ${file}\n`),
    onFailed: ({ message }) => process.stdout.write(`failed ${message}\n`),
  },
);
uplink = new Uplink(
  {
    deviceId,
    mqtt: {
      url,
      password: "x",
      prefix: "tributary",
      acks: "puback",
      ackTimeoutMs: 15_000,
      keepaliveSeconds: 30,
      connectTimeoutMs: 2_000,
      backoff: { minMs: 20, maxMs: 100 },
    },
  },
  {
    link: (online, epoch) => outbox.link(online, epoch),
    settled: (key, acked, epoch) => outbox.settled(key, acked, epoch),
    onPolicy: () => undefined,
    onDesired: () => undefined,
    onResults: () => undefined,
    onCheck: () => undefined,
    onSampleKey: () => undefined,
    onAcks: () => undefined,
    onOnline: () => undefined,
    onOffline: () => undefined,
    onSettled: () => undefined,
    tracer: noTracer,
  },
  systemClock,
  Math.random,
);
uplink.start();
process.stdout.write(`opened ${outbox.opened.bootId}\n`);

let frameSeq = 0;
const startMs = performance.now();
if (Number(rate) > 0) {
  setInterval(() => {
    const due = ((performance.now() - startMs) / 1_000) * Number(rate);
    while (frameSeq < due && outbox.hasRoom) {
      frameSeq += 1;
      const isSent = frameSeq % 4 === 0;
      outbox.append(
        frameItem({ captured: now(), frameSeq, ...(isSent && { reason: "AMBIGUOUS", deadlineMs: 3_600_000 }) }),
      );
    }
  }, 5);
}
// It dies with its parent, however that ends.
process.stdin.on("end", () => process.exit(0)).resume();
