/** A broker's host that vanishes leaves connections open that nobody answers. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { endWhenSilent } from "./silent-socket.ts";

const SILENT_MS_MAX = 1_500;
const sockets: Socket[] = [];
let isSilent = false;
const server = createServer((socket) => {
  sockets.push(socket);
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    if (!isSilent) socket.write(bytes);
  });
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve)));
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

test("connections to a peer that answers no more are ended, idle ones too, and not those to others (silent-socket.ts)", async () => {
  const dial = (host: string) => {
    const { port } = server.address() as AddressInfo;
    return endWhenSilent(connect(port, host), () => SILENT_MS_MAX);
  };
  const [vanished, idle, other] = [dial("127.0.0.1"), dial("127.0.0.1"), dial("127.0.0.2")];
  const answered = once(vanished, "data");
  vanished.write("asked");
  await answered;
  isSilent = true;
  const errors = Promise.all([vanished, idle].map((socket) => once(socket, "error")));
  vanished.write("asked again");
  for (const [error] of await errors) expect(String(error)).toMatch(/127\.0\.0\.1:\d+ has not answered for \d s/);
  expect(other.destroyed).toBe(false);
  other.destroy();
});
