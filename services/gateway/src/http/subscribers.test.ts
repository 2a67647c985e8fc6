import { EventEmitter } from "node:events";
import { describe, expect, test } from "@jest/globals";
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

const format = {
  matches: (text: string, { only }: { only?: string }) => only === undefined || text === only,
  textOf: (text: string) => `event: word\ndata: ${text}\n\n`,
};

describe("event clients", () => {
  test("that disconnected take no place, whenever they did", () => {
    const subscribers = new Subscribers(format, { clientsMax: 2, clientBytesMax: 10_000 }, () => {});
    const early = new Socket();
    early.destroy(); // before it was let in
    subscribers.add(early, {});
    const later = new Socket();
    subscribers.add(later, {});
    expect(subscribers.count).toBe(1);
    later.destroy();
    expect([subscribers.count, subscribers.hasRoom]).toEqual([0, true]);
  });

  test("that do not read are dropped, the others get everything, and are notified when it ends", () => {
    const dropped: string[] = [];
    const subscribers = new Subscribers(format, { clientsMax: 2, clientBytesMax: 5_000 }, ({ reason }) =>
      dropped.push(reason),
    );
    const [good, slow] = [new Socket(), new Socket()];
    slow.stuck = true;
    subscribers.add(good, { only: "frog" }, ["first"]);
    subscribers.add(slow, {});
    expect(subscribers.hasRoom).toBe(false);
    for (let i = 0; i < 50; i++) {
      subscribers.publish("frog");
      subscribers.publish("x".repeat(200));
    }
    expect(good.written[1]).toBe("event: word\ndata: first\n\n");
    expect(good.written.filter((text) => text === "event: word\ndata: frog\n\n")).toHaveLength(50);
    expect(good.written).toHaveLength(52);
    expect(slow.writableLength).toBeLessThanOrEqual(5_000);
    expect([slow.destroyed, dropped]).toEqual([true, ["slow"]]);
    subscribers.close();
    expect(good.written.at(-1)).toContain('"closing"');
    expect([subscribers.count, subscribers.hasRoom]).toEqual([0, false]);
  });
});
