import { describe, expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import type { Entry } from "./entries.ts";
import { frameOfPicture, pictureNameOf } from "./frame-names.ts";
import { type LabelFormat, LabelsFileUnusable, readLabels } from "./read-labels.ts";

const frame = (seq: number) => `cam-01:5497558138881:front:${seq}`;

async function entriesOf(text: string, format?: LabelFormat, seed = 1): Promise<Entry[]> {
  const random = seededRandom(seed);
  async function* pieces() {
    for (let at = 0; at < text.length; ) {
      const length = 1 + Math.floor(random() * 40);
      yield text.slice(at, at + length);
      at += length;
    }
  }
  const entries: Entry[] = [];
  for await (const entry of readLabels(pieces(), format)) entries.push(entry);
  return entries;
}
const brief = (entries: readonly Entry[]): string[] =>
  entries.map((entry) => {
    if (entry.kind === "label") return `${entry.line} ${entry.label.frameId.split(":").at(-1)} ${entry.label.label}`;
    return `${entry.line} ${entry.kind === "bad" ? entry.code : entry.why}`;
  });

const csv = [
  "﻿frameId;label;labelledBy;comment",
  `${frame(1)};cat;ada;"two; or ""three"" \n legs"`,
  `${frame(2)};dog;;`,
  "nonsense;cat;;",
  `${frame(3)};;;`,
  "too;few",
  `${frame(4)};"never closed;;`,
  `${frame(5)};ship;;`,
  "",
].join("\r\n");

const task = (data: object, annotations: unknown) => JSON.stringify({ id: 1, data, annotations, project: 3 }, null, 2);
const choice = (label: string, updated_at: string, more: object = {}) => ({
  result: [{ from_name: "kind", type: "choices", value: { choices: [label] } }],
  completed_by: { email: "ada@example.org" },
  updated_at,
  ...more,
});
const labelStudio = `[
${task({ frameId: frame(1), image: "x.jpg" }, [choice("cat", "2026-01-01T00:00:00.123456Z"), choice("dog", "2026-01-02T00:00:00Z")])},
${task({ image: "/data/upload/3/0123abcd-cam-01.5497558138881.front.2.jpg" }, [choice("ship", "2026-01-02T00:00:00Z")])},
${task({ frameId: frame(3) }, [choice("cat", "2026-01-02T00:00:00Z", { was_cancelled: true })])},
{"id": 4, "data": {"frameId": "x"}, "annotations": [nonsense]},
${task({ frameId: frame(5) }, [{ result: [{ value: { choices: ["a", "b"] } }] }])},
${task({ image: "https://elsewhere/photo.jpg" }, [choice("cat", "2026-01-02T00:00:00Z")])},
{"image": "s3://bucket/${pictureNameOf(frame(6))}", "choice": "frog", "annotator": 7, "updated_at": "2026-01-03T00:00:00Z"}
]`;

describe.each([1, 2, 3, 4, 5, 6])("seed %i, however the text is cut", (seed) => {
  test("CSV: quotes, line ends, and a bad line costs itself alone (V1, R1)", async () => {
    const entries = await entriesOf(csv, undefined, seed);
    expect(brief(entries)).toEqual([
      "2 1 cat",
      "4 2 dog",
      "5 frame-id-malformed",
      "6 label-missing",
      "7 line-unreadable",
      "8 line-unreadable",
      "9 5 ship",
    ]);
    expect(entries[0]).toMatchObject({ label: { labelledBy: "ada", comment: 'two; or "three" \n legs' } });
  });

  test("JSONL", async () => {
    const lines = [
      JSON.stringify({ frameId: frame(1), label: "cat", labelledAt: "2026-01-01T00:00:00+02:00", extra: 1 }),
      JSON.stringify({ frame_id: frame(2), label: null }),
      "{broken",
      "[1]",
      JSON.stringify({ frameId: frame(3), label: 7 }),
      JSON.stringify({ label: "cat" }),
      JSON.stringify({ frameId: frame(3), label: "x".repeat(257) }),
      JSON.stringify({ frameId: frame(3), label: "cat", labelledAt: "yesterday" }),
      "",
      JSON.stringify({ frameId: frame(4), label: "dog" }),
    ];
    const entries = await entriesOf(lines.join("\n"), undefined, seed);
    expect(brief(entries)).toEqual([
      "1 1 cat",
      "2 2 null",
      "3 line-unreadable",
      "4 line-unreadable",
      "5 label-missing",
      "6 frame-missing",
      "7 field-malformed",
      "8 field-malformed",
      "10 4 dog",
    ]);
    expect(entries[0]).toMatchObject({ label: { labelledAt: "2025-12-31T22:00:00.000Z" } });
  });

  test("Label Studio: the newest annotation, pictures by name, tasks without a label (S1, S2, J1)", async () => {
    const entries = await entriesOf(labelStudio, undefined, seed);
    expect(brief(entries).map((text) => text.replace(/^\d+ /, ""))).toEqual([
      "1 dog",
      "2 ship",
      "it has no label",
      "line-unreadable",
      "label-missing",
      "frame-missing",
      "6 frog",
    ]);
    expect(entries[0]).toMatchObject({ line: 2, label: { labelledBy: "ada@example.org" } });
    const cut = await entriesOf(labelStudio.slice(0, -20), undefined, seed);
    expect(cut.slice(0, 6)).toEqual(entries.slice(0, 6));
    expect(cut.at(-1)).toMatchObject({ kind: "bad", message: expect.stringContaining("truncated") });
  });
});

test("endless lines are skipped (R2)", async () => {
  const long = `{"frameId": "${"x".repeat(3_000_000)}"}`;
  const good = JSON.stringify({ frameId: frame(1), label: "cat" });
  async function* pieces() {
    for (let at = 0; at < long.length; at += 65_536) yield long.slice(at, at + 65_536);
    yield `\n${good}\n`;
  }
  const entries: Entry[] = [];
  for await (const entry of readLabels(pieces(), undefined)) entries.push(entry);
  expect(brief(entries)).toEqual(["1 line-unreadable", "2 1 cat"]);
  await expect(entriesOf("x".repeat(70_000))).rejects.toThrow("header line");
});

test("a file that cannot be labels is refused whole, with the reason", async () => {
  await expect(entriesOf("a,b\n1,2\n")).rejects.toThrow('no column frameId or frame_id or frame; it has "a", "b"');
  await expect(entriesOf(" \n")).rejects.toThrow(LabelsFileUnusable);
  expect(brief(await entriesOf('{"frameId": 1}', "label-studio"))).toEqual(["1 line-unreadable"]);
});

test("a picture's name has its frame's id", () => {
  expect(frameOfPicture(pictureNameOf(frame(9)))).toBe(frame(9));
  expect(frameOfPicture(`/data/local-files/?d=labels/${pictureNameOf(frame(9))}`)).toBe(frame(9));
  expect(frameOfPicture(`https://s3/${pictureNameOf(frame(9))}?X-Amz-Date=1#x`)).toBe(frame(9));
  expect(frameOfPicture("photo.jpg")).toBeUndefined();
});
