import { describe, expect, test } from "@jest/globals";
import type { Io } from "../context.ts";
import { exitCodes } from "../exit-codes.ts";
import { Output } from "../output.ts";
import { waitForGate } from "./gate-wait.ts";
import type { ModelVersion } from "./model-api.ts";

const passed = { passed: true, failed: [], unsure: ["class, cat: too few"], forcedBy: "" };
const challenger = (change: object): ModelVersion =>
  ({ name: "edge", version: "2", modelDigest: "b", aliases: ["challenger"], gate: null, ...change }) as never;

/** The registry's successive answers; the last one repeats. */
async function waited(...looks: readonly ModelVersion[]) {
  const lines: string[] = [];
  let looked = 0;
  const io = { stderr: () => {}, now: () => 0, signal: new AbortController().signal } as unknown as Io;
  const output = new Output("table", false, (line) => void lines.push(line));
  const models = { versions: async () => [looks[Math.min(looked++, looks.length - 1)] as ModelVersion] };
  await waitForGate(models, { name: "edge", version: "2" }, { output, io });
  return lines.join("");
}

describe("models push --wait", () => {
  test("ends when the challenger has passed the current gate, and prints the lines that are unsure", async () => {
    const running = challenger({ gate: passed, judging: { state: "running", detail: "300 frames" } });
    expect(await waited(running, challenger({ gate: passed, judging: null }))).toBe(
      "edge@2 passed the gate.\nUnsure: class, cat: too few\n",
    );
    const forced = { ...passed, passed: false, failed: ["accuracy"], forcedBy: "ada" };
    expect(await waited(challenger({ gate: forced }))).toContain("ada overrode the gate of edge@2");
  });

  test.each([
    [{ gate: { ...passed, passed: false, failed: ["accuracy, all frames: 91 %"] } }, "accuracy, all frames: 91 %"],
    [{ judging: { state: "blocked", detail: "there are no validation frames" } }, "there are no validation frames"],
    [{ aliases: [] }, "it is not the challenger"],
    [{ aliases: ["challenger", "champion"] }, "it is the champion"],
  ])("fails where it never will: %o", async (change, why) => {
    const failed = { exitCode: exitCodes.failed, message: expect.stringContaining(why) };
    await expect(waited(challenger(change))).rejects.toMatchObject(failed);
  });
});
