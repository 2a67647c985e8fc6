/** An outbox that ends with its process, for devices that share one: the same engine, on this thread, its tables in memory. */

import { DatabaseSync } from "node:sqlite";
import { BOOTS_FROM } from "@tributary/kernel";
import { deviceTime } from "../device-time.ts";
import { OutboxEngine } from "./engine.ts";
import type { StartOutboxThread } from "./outbox.ts";
import { runEngine } from "./run-engine.ts";

/** It keeps no count of its boots: a start is a later boot a minute after the one before. */
const BOOT_MS = 60_000;

export const inMemory: StartOutboxThread = ({ clock, ...options }, { onMessage }) => {
  const engine = new OutboxEngine(options, deviceTime(clock), onMessage, {
    openDatabase: () => new DatabaseSync(":memory:"),
    bootCountMin: Math.floor((Date.now() - BOOTS_FROM) / BOOT_MS),
  });
  const receive = runEngine(engine, options.limits.commitMs);
  const exited = Promise.withResolvers<void>();
  const post = (message: Parameters<typeof receive>[0]) => {
    receive(message);
    if (message.kind === "close") exited.resolve();
  };
  return { post, exited: exited.promise, terminate: async () => post({ kind: "close" }) };
};
