/** Contexts that must not be used: old, of the future, malformed, gone; each is reported once, and the next good one ends it. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "@jest/globals";
import type { Clock } from "@tributary/kernel";
import { tempDir, waitFor } from "@tributary/testing";
import { ContextSource, type ContextState } from "./context.ts";

const NOW = Date.parse("2026-11-29T12:00:00Z");
const DAY_MS = 86_400_000;
const dir = tempDir("context");
afterAll(() => dir.remove());
let now = NOW;
const clock = { now: () => now } as Clock;
const config = { package: "", context: { file: join(dir.path, "context.json") }, everyMs: 10, ageMsMax: 10_000 };
const seen: ContextState[] = [];
let source: ContextSource | undefined;
afterEach(() => {
  source?.stop();
  seen.length = 0;
});

function write(text: string): void {
  const file = join(dir.path, "context.json");
  writeFileSync(`${file}.next`, text);
  renameSync(`${file}.next`, file);
}

const codes = () => seen.map((state) => (state.context === null ? state.code : "known"));

test("what cannot be used is no context; the reason is reported once, and so is the end of it", async () => {
  write(JSON.stringify({ at: NOW - 500, place: "sea" }));
  source = new ContextSource(config, clock, (state) => void seen.push(state));
  expect(source.now).toMatchObject({ context: null, code: "context-missing" });
  source.start();
  await waitFor(() => source?.now.context !== null, { what: "the first one", everyMs: 5 });
  const cases: readonly (readonly [text: string, code: string])[] = [
    [JSON.stringify({ at: NOW - DAY_MS, place: "sea" }), "context-old"],
    [JSON.stringify({ at: "2026-11-30T12:00:00Z", place: "sea" }), "context-from-the-future"],
    ['{"at": 1, ', "context-malformed"],
    ["[]", "context-malformed"],
    [JSON.stringify({ place: "sea" }), "context-malformed"],
    [JSON.stringify({ at: NOW, place: { city: "sea" } }), "context-malformed"],
    [JSON.stringify({ at: NOW, place: "x".repeat(9_000) }), "context-malformed"],
  ];
  for (const [text, code] of cases) {
    write(text);
    await waitFor(() => codes().at(-1) === code, { what: code, everyMs: 5 });
    expect(source.now.context).toBeNull();
    if (code !== "context-malformed") continue;
    write(JSON.stringify({ at: NOW, place: "sea" }));
    await waitFor(() => codes().at(-1) === "known", { what: "a good one again", everyMs: 5 });
  }
  expect(codes()).toEqual([
    "context-old",
    "context-from-the-future",
    ...Array.from({ length: 5 }, () => ["context-malformed", "known"]).flat(),
  ]);
  expect(source.now).toEqual({ context: { place: "sea" }, text: '{"place":"sea"}' });
});

test("one that was read grows old by itself: a program that hangs leaves no context", async () => {
  write(JSON.stringify({ at: "2026-11-29T12:00:00Z", place: "sea", hour: 3 }));
  source = new ContextSource({ ...config, everyMs: 60_000 }, clock, (state) => void seen.push(state));
  source.start();
  await waitFor(() => source?.now.context !== null, { what: "the first one", everyMs: 5 });
  expect(source.now).toMatchObject({ text: '{"hour":3,"place":"sea"}' });
  now = NOW + 10_001;
  expect(source.now).toMatchObject({ code: "context-old", reason: "it is 10001 ms old; 10000 are allowed" });
});

test("a source that never ends is read no further than a context is long", async () => {
  source = new ContextSource({ ...config, context: { file: "/dev/zero" } }, clock, (state) => void seen.push(state));
  source.start();
  await waitFor(() => codes().at(-1) === "context-malformed", { what: "the refusal", everyMs: 5 });
  expect(source.now).toMatchObject({ reason: "more than 8192 bytes" });
});
