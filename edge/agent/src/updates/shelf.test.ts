import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type Book, emptyBook } from "@tributary/updates";
import { Pace } from "./download.ts";
import { Shelf } from "./shelf.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tributary-shelf-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const ref = (letter: string) => ({ digest: letter.repeat(64), name: "m", version: letter });
const bookOf = (generation: bigint): Book => ({ ...emptyBook, generation, good: ref("a"), previous: ref("b") });

describe("shelf", () => {
  test("an empty one is an empty book; what is written is read", async () => {
    const shelf = new Shelf(dir);
    expect(shelf.read()).toEqual({ book: emptyBook, damaged: null });
    await shelf.write(bookOf(7n));
    await shelf.write(bookOf(2n ** 50n));
    expect(new Shelf(dir).read()).toEqual({ book: bookOf(2n ** 50n), damaged: null });
    expect(readdirSync(join(dir, "models"))).toEqual(["slots.json"]);
  });

  test("shelf.ts S1: ended at any byte of the writing, the book is the old one", async () => {
    const shelf = new Shelf(dir);
    await shelf.write(bookOf(7n));
    const file = join(dir, "models/slots.json");
    await shelf.write(bookOf(8n));
    const next = readFileSync(file);
    await shelf.write(bookOf(7n));
    for (let bytes = 0; bytes <= next.length; bytes++) {
      writeFileSync(`${file}.new`, next.subarray(0, bytes));
      expect(shelf.read().book.generation).toBe(7n);
    }
  });

  test("shelf.ts S1: cut at any byte, or with any bit flipped, it is set aside and never half believed", async () => {
    const shelf = new Shelf(dir);
    await shelf.write(bookOf(7n));
    const file = join(dir, "models/slots.json");
    const whole = readFileSync(file);
    for (let at = 0; at < whole.length - 1; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      for (const bytes of [whole.subarray(0, at), flipped]) {
        writeFileSync(file, bytes);
        const { book, damaged } = shelf.read();
        expect([at, book.generation, damaged === null]).toEqual([at, 0n, false]);
      }
    }
    await shelf.setAside();
    expect(existsSync(`${file}.damaged`)).toBe(true);
    expect(shelf.read()).toEqual({ book: emptyBook, damaged: null });
  });

  test("shelf.ts S2: a package gets its place whole, over what was there; all but what is kept goes", async () => {
    const shelf = new Shelf(dir);
    const [a, b] = ["a".repeat(64), "b".repeat(64)];
    for (const digest of [a, b]) {
      mkdirSync(shelf.incomingDir(digest), { recursive: true });
      writeFileSync(join(shelf.incomingDir(digest), "manifest.json"), digest);
    }
    mkdirSync(shelf.packageDir(a), { recursive: true });
    writeFileSync(join(shelf.packageDir(a), "half"), "");
    await shelf.place(a);
    expect(readdirSync(shelf.packageDir(a))).toEqual(["manifest.json"]);
    expect(await shelf.packages()).toEqual([a]);
    await shelf.prune([b]);
    expect([await shelf.packages(), existsSync(shelf.incomingDir(b))]).toEqual([[], true]);
  });

  test("a folder that cannot be written to is a failure to try again", async () => {
    writeFileSync(join(dir, "models"), "in the way");
    await expect(new Shelf(dir).write(emptyBook)).rejects.toMatchObject({ code: "slots-unwritable", advice: "retry" });
  });
});

test("download.ts W3: a pace keeps to its rate on average, and lets no burst be saved up", () => {
  const pace = new Pace(1_000);
  let nowMs = 0;
  for (let i = 0; i < 100; i++) nowMs += pace.took(50, nowMs);
  expect(nowMs).toBeCloseTo(5_000);
  nowMs += 60_000;
  expect(pace.took(1_000, nowMs)).toBeCloseTo(1_000);
});
