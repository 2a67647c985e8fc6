import { describe, expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import { Lease } from "./lease.ts";

class ManualClock implements Clock {
  #ms = 1_000;
  now = () => this.#ms;
  monotonicMs = () => this.#ms;
  sleep = () => Promise.resolve();
  advance(ms: number): void {
    this.#ms += ms;
  }
}

describe("lease", () => {
  test("runs from when the acknowledged heartbeat was sent, not from when its answer was read", () => {
    const clock = new ManualClock();
    const lease = new Lease({ sessionMs: 10_000, clock });
    expect(lease.isHeld).toBe(false);
    lease.answered(100);
    expect(lease.isHeld).toBe(false); // no answer confirmed that we are a member
    lease.renew();
    expect(lease.isHeld).toBe(true);
    clock.advance(7_899);
    expect(lease.isHeld).toBe(true);
    clock.advance(2);
    expect(lease.isHeld).toBe(false);
    // Sent, then paused for 20 s: the answer is as old as the pause.
    lease.answered(20_000);
    lease.renew();
    expect(lease.isHeld).toBe(false);
  });

  test("ends at once", () => {
    const lease = new Lease({ clock: new ManualClock() });
    lease.answered(0);
    lease.renew();
    lease.end();
    lease.renew();
    expect(lease.isHeld).toBe(false);
  });
});
