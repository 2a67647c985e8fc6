import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import type { CloudBackend, CloudOutcome } from "../cloud-backend.ts";
import { ReplaceableBackend } from "./replaceable.ts";

const answer = (label: string): CloudOutcome => {
  return { kind: "answered", label, confidence: 1, margin: 1, modelDigest: label };
};
const context = { deadline: 0, signal: new AbortController().signal };
const frame = [{ jpeg: Uint8Array.of(1) }];

/** Answers when it is released; counts how often it is closed, and what is asked of it afterwards. */
function held(label: string) {
  const waiting: (() => void)[] = [];
  const seen = { closes: 0, callsAfterClose: 0 };
  const backend: CloudBackend = {
    classify: async (batch) => {
      if (seen.closes > 0) seen.callsAfterClose++;
      await new Promise<void>((resolve) => waiting.push(resolve));
      if (seen.closes > 0) seen.callsAfterClose++;
      return batch.map(() => answer(label));
    },
    ready: () => true,
    close: async () => void seen.closes++,
  };
  return { backend, seen, release: () => waiting.shift()?.(), label };
}

test("replaceable.ts B1: calls end where they began, and a backend is closed once, after its last call (seeds 1 to 100)", async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed);
    const replaceable = new ReplaceableBackend(() => {});
    const made = [held("0")];
    replaceable.replace((made[0] as ReturnType<typeof held>).backend);
    const calls: Promise<void>[] = [];
    for (let i = 0; i < 40; i++) {
      const draw = random();
      if (draw < 0.2) {
        made.push(held(`${made.length}`));
        replaceable.replace((made.at(-1) as ReturnType<typeof held>).backend);
      } else if (draw < 0.6) {
        const { label } = made.at(-1) as ReturnType<typeof held>;
        const call = replaceable.classify(frame, context);
        calls.push(call.then((outcomes) => expect(outcomes).toEqual([answer(label)])));
      } else made[Math.floor(random() * made.length)]?.release();
      await Promise.resolve();
    }
    for (const { release } of made) for (let i = 0; i < 40; i++) release();
    await Promise.all(calls);
    const closes = made.map(({ seen }) => seen.closes);
    expect([seed, closes]).toEqual([seed, made.map((_, i) => Number(i < made.length - 1))]);
    await replaceable.close();
    expect(made.map(({ seen }) => [seen.closes, seen.callsAfterClose])).toEqual(made.map(() => [1, 0]));
  }
});

test("replaceable.ts B2: without a backend a call fails at once, with a code; one that comes after the close is closed", async () => {
  const replaceable = new ReplaceableBackend(() => {});
  expect(replaceable.ready()).toBe(false);
  expect(await replaceable.classify(frame, context)).toMatchObject([{ kind: "failed", code: "package-unavailable" }]);
  await replaceable.close();
  const late = held("late");
  replaceable.replace(late.backend);
  expect(late.seen.closes).toBe(1);
});
