/**
 * Ends connections whose peer has vanished. When a broker's host is gone, nothing closes the connections to it: requests time out one
 * after the other, and neither client gives a connection up before the kernel does, after a quarter of an hour. A new connection looks
 * the broker's name up again, which may have another address by then.
 *
 * A silent connection ends all others of the process to the same address that have received nothing since: those that are idle would
 * be found out at their next use only.
 */
import type { Socket } from "node:net";
import type { ConnectionPool } from "@platformatic/kafka";

/** Longer than the clients wait for an answer. */
export const SILENT_MS_MAX = 12_000;
const LOOK_MS = 1_000;

/** When each last received something. */
const watched = new Map<Socket, number>();

/** Destroys the socket when something was sent, and nothing received for `silentMsMax` since. */
export function endWhenSilent(socket: Socket, silentMsMax: () => number = () => SILENT_MS_MAX): Socket {
  let writtenBytes = 0;
  let waitsSinceMs: number | undefined;
  watched.set(socket, performance.now());
  socket.on("data", () => {
    writtenBytes = socket.bytesWritten;
    waitsSinceMs = undefined;
    watched.set(socket, performance.now());
  });
  const timer = setInterval(() => {
    if (socket.bytesWritten <= writtenBytes) return;
    const nowMs = performance.now();
    waitsSinceMs ??= nowMs;
    if (nowMs - waitsSinceMs >= silentMsMax()) endThoseTo(addressOf(socket), waitsSinceMs);
  }, LOOK_MS);
  timer.unref();
  socket.once("close", () => {
    clearInterval(timer);
    watched.delete(socket);
  });
  return socket;
}

/** The same for every connection that the pool makes from now on. */
export function endSilentConnections(pool: ConnectionPool): ConnectionPool {
  pool.on("connect", ({ connection }) => endWhenSilent(connection.socket));
  return pool;
}

function endThoseTo(address: string, sinceMs: number): void {
  const error = new Error(`${address} has not answered for ${Math.round((performance.now() - sinceMs) / 1_000)} s`);
  for (const [socket, receivedAtMs] of watched) {
    if (addressOf(socket) === address && receivedAtMs <= sinceMs) socket.destroy(error);
  }
}

const addressOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`;
