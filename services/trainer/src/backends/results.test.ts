import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { folderResults, readResults } from "./results.ts";

const dir = tempDir("results");
afterAll(() => dir.remove());
const model = Buffer.concat([Buffer.from([8, 8]), Buffer.alloc(64, 1)]);

function read(result: string | null, onnx: Uint8Array | null) {
  rmSync(dir.path, { recursive: true, force: true });
  mkdirSync(dir.path, { recursive: true });
  if (result !== null) writeFileSync(join(dir.path, "result.json"), result);
  if (onnx !== null) writeFileSync(join(dir.path, "model.onnx"), onnx);
  return readResults(folderResults(pathToFileURL(dir.path).href));
}

test("results of any backend are read; fields that we do not know are left out", async () => {
  const read1 = await read('{"formatVersion":1,"blend":0.8,"theirs":{"x":1}}', model);
  expect(read1.result).toEqual({ formatVersion: 1, blend: 0.8 });
  expect(Buffer.from(read1.model)).toEqual(model);
});

test("unusable results are refused with what is wrong with them", async () => {
  const cases: [string | null, Uint8Array | null, RegExp][] = [
    [null, model, /result\.json is missing/],
    ["{}", null, /formatVersion/],
    ['{"formatVersion":1}', null, /model\.onnx is missing/],
    ['{"formatVersion":1}', Buffer.from("<html>not found</html>"), /no ONNX file/],
    ['{"formatVersion":1}', Buffer.alloc(0), /no ONNX file/],
    ["torch.save", model, /not JSON/],
    ['{"formatVersion":1,"blend":80}', model, /blend: /],
    ['{"formatVersion":1,"accuracies":[{"slice":"base"}]}', model, /accuracies\.0\.split/],
    [`{"formatVersion":1,"x":"${"x".repeat(5 << 20)}"}`, model, /more than/],
  ];
  for (const [result, onnx, message] of cases) {
    const error = await read(result, onnx).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "training-result-malformed", message: expect.stringMatching(message) });
  }
});
