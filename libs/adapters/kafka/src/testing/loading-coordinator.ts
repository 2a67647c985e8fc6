/**
 * A Kafka broker as it is just after it started: a proxy before a real one that refuses the first requests to join a group with
 * COORDINATOR_LOAD_IN_PROGRESS, and passes everything else through. It can also seem to have vanished.
 */

import type { AddressInfo } from "node:net";
import { connect, createServer, type Socket } from "node:net";

const COORDINATOR_LOAD_IN_PROGRESS = 14;
const NOT_COORDINATOR = 16;
const METADATA = 3;
const OFFSET_COMMIT = 8;
const JOIN_GROUP = 11;
const HEARTBEAT = 12;

export type LoadingBroker = {
  readonly address: string;
  /** How often it has refused. */
  readonly refusals: () => number;
  /** As if it had just restarted: it refuses one heartbeat, and one join. */
  restart(): void;
  /** Until `returns`, heartbeats and commits get no answer. */
  vanishes(): void;
  /** Connections end, new ones are answered. */
  returns(): void;
  close(): Promise<void>;
};

export async function loadingCoordinator(broker: string, refusalsMax: number): Promise<LoadingBroker> {
  const [host, port] = broker.split(":");
  const sockets = new Set<Socket>();
  let refusals = 0;
  let heartbeatsToRefuse = 0;
  let joinsToRefuse = refusalsMax;
  let hasVanished = false;
  const server = createServer((client) => {
    const upstream = connect(Number(port), host);
    const metadataAsked = new Set<number>();
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        client.destroy();
        upstream.destroy();
        sockets.delete(socket);
      });
    }
    eachMessage(client, (message) => {
      const api = message.readInt16BE(4);
      const correlation = message.readInt32BE(8);
      if (hasVanished && (api === HEARTBEAT || api === OFFSET_COMMIT)) return;
      if (api === METADATA) metadataAsked.add(correlation);
      if (api === HEARTBEAT && heartbeatsToRefuse > 0) {
        heartbeatsToRefuse--;
        return client.write(heartbeatRefusal(correlation));
      }
      if (api !== JOIN_GROUP || joinsToRefuse === 0) return upstream.write(message);
      joinsToRefuse--;
      refusals++;
      client.write(refusal(correlation));
    });
    eachMessage(upstream, (message) => {
      if (metadataAsked.delete(message.readInt32BE(4))) message.writeInt32BE(ownPort(), portOfFirstBroker(message));
      client.write(message);
    });
  });
  const ownPort = () => (server.address() as AddressInfo).port;
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    address: `127.0.0.1:${ownPort()}`,
    refusals: () => refusals,
    restart: () => {
      heartbeatsToRefuse = 1;
      joinsToRefuse = 1;
    },
    vanishes: () => {
      hasVanished = true;
    },
    returns: () => {
      hasVanished = false;
      for (const socket of sockets) socket.destroy();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
}

/** Whole messages, with the four bytes of their length. */
function eachMessage(socket: Socket, handle: (message: Buffer) => void): void {
  let held = Buffer.alloc(0);
  socket.on("data", (bytes) => {
    held = Buffer.concat([held, bytes]);
    while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
      const end = 4 + held.readInt32BE(0);
      handle(held.subarray(0, end));
      held = held.subarray(end);
    }
  });
}

/** As JoinGroup 2 to 5 lay it out. */
function refusal(correlation: number): Buffer {
  const empty = int16(0); // as a string
  const none = int32(0); // as an array
  const body = [int32(0), int16(COORDINATOR_LOAD_IN_PROGRESS), int32(-1), empty, empty, empty, none];
  const message = Buffer.concat([int32(correlation), ...body]);
  return Buffer.concat([int32(message.length), message]);
}

/** As Heartbeat 1 to 3 lay it out. */
function heartbeatRefusal(correlation: number): Buffer {
  const message = Buffer.concat([int32(correlation), int32(0), int16(NOT_COORDINATOR)]);
  return Buffer.concat([int32(message.length), message]);
}

/** Of a Metadata response 3 to 6: length, correlation, throttle, number of brokers, then node id, host and port. */
function portOfFirstBroker(message: Buffer): number {
  const host = 4 + 4 + 4 + 4 + 4;
  return host + 2 + message.readInt16BE(host);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
