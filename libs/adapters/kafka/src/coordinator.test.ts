import { describe, expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import kafkajs from "kafkajs";
import { untilCoordinated } from "./coordinator.ts";

/** Time passes by sleeping alone. */
const clock = (): Clock => {
  let nowMs = 0;
  return {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      nowMs += ms;
    },
  };
};
const refusal = (type: string) => Object.assign(new kafkajs.KafkaJSError(type), { type });
const open = new AbortController().signal;

describe("a group's coordinator", () => {
  test.each(["GROUP_LOAD_IN_PROGRESS", "GROUP_COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR_FOR_GROUP"])(
    "that refuses with %s for a while is asked again until it answers",
    async (type) => {
      let asked = 0;
      const ask = async () => {
        asked++;
        if (asked < 20) throw refusal(type);
      };
      await untilCoordinated(ask, clock(), 45_000, open);
      expect(asked).toBe(20);
    },
  );

  test("that continues to refuse is given up, with its reason", async () => {
    let asked = 0;
    const ask = async () => {
      asked++;
      throw refusal("GROUP_LOAD_IN_PROGRESS");
    };
    await expect(untilCoordinated(ask, clock(), 45_000, open)).rejects.toThrow("GROUP_LOAD_IN_PROGRESS");
    expect(asked).toBe(451);
  });

  test("that refuses permanently is not asked twice", async () => {
    let asked = 0;
    const ask = async () => {
      asked++;
      throw refusal("GROUP_AUTHORIZATION_FAILED");
    };
    await expect(untilCoordinated(ask, clock(), 45_000, open)).rejects.toThrow("GROUP_AUTHORIZATION_FAILED");
    expect(asked).toBe(1);
  });

  test("is not waited for once the consumer closes", async () => {
    const closing = AbortSignal.abort(new Error("closing"));
    const ask = async () => {
      throw refusal("GROUP_LOAD_IN_PROGRESS");
    };
    await expect(untilCoordinated(ask, clock(), 45_000, closing)).rejects.toThrow("closing");
  });
});
