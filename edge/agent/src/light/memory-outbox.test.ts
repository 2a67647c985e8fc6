import { describe, expect, test } from "@jest/globals";
import { MemoryOutbox } from "./memory-outbox.ts";

type Sent = { readonly seq: number; settle(acked: boolean): void };

function outboxOf(recordsMax?: number) {
  const sent: Sent[] = [];
  const outbox = new MemoryOutbox(
    (_, payload, settled) => sent.push({ seq: payload[0] as number, settle: settled }),
    recordsMax,
  );
  const add = (count: number) => {
    for (let i = 0; i < count; i++) outbox.add("metrics", (seq) => Uint8Array.of(Number(seq)));
  };
  return { outbox, sent, add, seqs: () => sent.map(({ seq }) => seq) };
}

describe("a light device's outbox", () => {
  test("sends in order, a window at a time, and forgets what is acknowledged (B1)", () => {
    const { outbox, sent, add, seqs } = outboxOf();
    add(2);
    expect(seqs()).toEqual([]);
    outbox.online();
    add(30);
    expect(seqs()).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
    for (let i = 0; i < 32; i++) sent[i]?.settle(true);
    expect(seqs()).toEqual(Array.from({ length: 32 }, (_, i) => i + 1));
    outbox.offline();
    outbox.online();
    expect(sent).toHaveLength(32);
  });

  test("what a lost connection took comes again, first and in order (B1)", () => {
    const { outbox, sent, add, seqs } = outboxOf();
    outbox.online();
    add(3);
    sent[0]?.settle(true);
    outbox.offline();
    sent[1]?.settle(false);
    sent[2]?.settle(false);
    add(1);
    outbox.online();
    expect(seqs()).toEqual([1, 2, 3, 2, 3, 4]);
  });

  test("is bounded: the oldest that has not left goes, and is counted (B2)", () => {
    const { outbox, add, seqs } = outboxOf(4);
    add(6);
    outbox.online();
    expect([seqs(), outbox.dropped]).toEqual([[3, 4, 5, 6], 2]);
  });
});
