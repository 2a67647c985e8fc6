import { EventEmitter } from "node:events";
import { describe, expect, test } from "@jest/globals";
import { someAnswer, someBootId } from "@tributary/testing";
import { type Answer, answersOf } from "./answer.ts";
import { type EventSocket, Subscribers } from "./subscribers.ts";

class Socket extends EventEmitter implements EventSocket {
  destroyed = false;
  writableLength = 0;
  readonly written: string[] = [];
  stuck = false;

  write(text: string): boolean {
    this.written.push(text);
    if (this.stuck) this.writableLength += text.length;
    return !this.stuck;
  }

  end(text?: string): void {
    if (text !== undefined) this.written.push(text);
    this.emit("close");
  }

  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

const [answer] = answersOf(
  { deviceId: "d", bootId: someBootId, answers: [someAnswer()] },
  { partition: 0, offset: 1n, timestamp: 1e12 },
) as [Answer];

describe("event clients", () => {
  test("that are gone take no place, whenever they left", () => {
    const subscribers = new Subscribers({ clientsMax: 2, clientBytesMax: 10_000 }, () => {});
    const early = new Socket();
    early.destroy(); // before it was let in
    subscribers.add(early, {});
    const later = new Socket();
    subscribers.add(later, {});
    expect(subscribers.count).toBe(1);
    later.destroy();
    expect([subscribers.count, subscribers.hasRoom]).toEqual([0, true]);
  });

  test("that do not read are dropped, the others get everything, and are told when it ends (S1, S2)", () => {
    const dropped: string[] = [];
    const subscribers = new Subscribers({ clientsMax: 2, clientBytesMax: 5_000 }, ({ reason }) => dropped.push(reason));
    const [good, slow] = [new Socket(), new Socket()];
    slow.stuck = true;
    subscribers.add(good, {});
    subscribers.add(slow, {});
    expect(subscribers.hasRoom).toBe(false);
    for (let i = 0; i < 50; i++) subscribers.publish(answer);
    expect(good.written.filter((text) => text.startsWith("event: classification"))).toHaveLength(50);
    expect(slow.writableLength).toBeLessThanOrEqual(5_000);
    expect([slow.destroyed, dropped]).toEqual([true, ["slow"]]);
    subscribers.close();
    expect(good.written.at(-1)).toContain('"closing"');
    expect([subscribers.count, subscribers.hasRoom]).toEqual([0, false]);
  });
});
