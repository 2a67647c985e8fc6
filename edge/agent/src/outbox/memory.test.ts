import { expect, test } from "@jest/globals";
import { BOOTS_FROM } from "@tributary/kernel";
import { deviceTime } from "../device-time.ts";
import { frameItem, limits } from "../testing/items.ts";
import { inMemory } from "./memory.ts";
import { Outbox, type Send } from "./outbox.ts";

test("an outbox in memory sends its pending records, again after a lost connection, and deletes acknowledged ones", async () => {
  const sent: Send[] = [];
  const outbox = await Outbox.open(
    { file: "nowhere", deviceId: "light-1", limits: { ...limits, batchWaitMs: 0 }, clock: "synchronized" },
    {
      onSend: (send) => sent.push(send),
      onCommitted: () => undefined,
      onFailed: ({ message }) => expect(message).toBe(""),
      onSetAside: ({ file }) => expect(file).toBe(""),
    },
    inMemory,
  );
  // A start is a later boot than one a minute before.
  expect(Number(BigInt(outbox.opened.bootId) >> 39n)).toBe(Math.floor((Date.now() - BOOTS_FROM) / 60_000));
  const captured = deviceTime("synchronized")();
  outbox.append(frameItem({ captured, frameSeq: 1, deadlineMs: 60_000 }));
  await outbox.flush();
  expect([outbox.committed, sent.length]).toEqual([1, 0]);
  outbox.link(true, 1);
  await outbox.flush();
  outbox.link(false, 1);
  outbox.link(true, 2);
  await outbox.flush();
  expect(sent.map(({ key, epoch }) => [key.stream, key.seq, epoch])).toEqual([
    ["predictions", 1, 1],
    ["predictions", 1, 2],
  ]);
  outbox.settled((sent[1] as Send).key, true, 2);
  await outbox.flush();
  expect(outbox.stats).toMatchObject({ predictions: 0, unacked: 0, bytes: 0 });
  await outbox.close();
});
