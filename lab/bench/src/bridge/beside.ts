/** The alternatives of `bench bridge`, each in a process: `acks` shows the load generator's own limit,
 * `aedes` is the MQTT library without Kafka. */
import { createServer, type Socket } from "node:net";
import { Aedes } from "aedes";

const CONNECT = 1;
const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const PUBLISH = 3;
/** The generator counts acknowledgements; it does not read their ids. */
const PUBACK = Buffer.from([0x40, 2, 0, 1]);

const start = { acks, aedes }[process.argv[2] ?? ""];
if (start === undefined) throw new Error(`no such server: ${process.argv[2]}`);
const accept = await start();
const server = createServer({ noDelay: true }, accept).listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : undefined });
});
process.once("disconnect", () => process.exit(0));

/** Reads fixed headers only, and acknowledges whatever a chunk held with one write. */
async function acks() {
  return (socket: Socket) => {
    let [skip, head, length, shift] = [0, -1, 0, 0];
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      let published = 0;
      let at = Math.min(skip, chunk.length);
      skip -= at;
      while (at < chunk.length) {
        const byte = chunk[at++] as number;
        if (head < 0) {
          [head, length, shift] = [byte >> 4, 0, 0];
          continue;
        }
        length += (byte & 0x7f) << shift;
        shift += 7;
        if (byte >= 0x80) continue;
        if (head === CONNECT) socket.write(CONNACK);
        if (head === PUBLISH) published++;
        head = -1;
        const here = Math.min(length, chunk.length - at);
        at += here;
        skip = length - here;
      }
      if (published > 0) socket.write(Buffer.alloc(published * PUBACK.length, PUBACK));
    });
  };
}

async function aedes() {
  const broker = await Aedes.createBroker({});
  return (socket: Socket) => void broker.handle(socket);
}
