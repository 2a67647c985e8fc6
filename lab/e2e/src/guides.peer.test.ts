/** Guides work, word for word: a script of their shell blocks runs in a copy of this clone, on the oldest Node that README.md supports. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { debian, node20 } from "../../../tools/peers.mjs";
import { copyClone, type GuideSession, openSession, requireFreePorts } from "./guide-session.ts";
import { sessions } from "./guides.ts";

const GUIDE_MS_MAX = 15 * 60_000;
const dir = tempDir("guides");
afterAll(() => dir.remove());

describe("given the script of a guide", () => {
  const clone = join(dir.path, "made-up");
  let session: GuideSession;
  const guide = (name: string, ...lines: readonly string[]) => {
    writeFileSync(join(clone, name), ["# Made up", "", ...lines, ""].join("\n"));
    return session.run(name);
  };
  const block = (...lines: readonly string[]) => ["```sh", ...lines, "```"];
  beforeAll(() => {
    mkdirSync(clone);
    session = openSession({ clone, dir: mkdtempSync(join(dir.path, "session-")), node: node20() });
  });
  afterAll(() => session.end());

  test("when all of it holds, then later blocks see what earlier ones did, and later guides its processes and files", async () => {
    const background = [
      '```sh background "ready"',
      "echo ready; trap 'echo over; exit' INT; while :; do sleep 0.1; done",
      "```",
    ];
    await guide(
      "a.md",
      ...block('[ "$(node --version)" = v20.10.0 ]', "x=1", "touch ~/here"),
      ...background,
      ...block('[ "$x" = 1 ]'),
    );
    await guide("b.md", ...block("[ -e ~/here ]", "[ ! -v x ]"));
  });

  test.each([
    [
      "a command fails",
      block("true", "echo before", "false | cat", "echo after"),
      /^docs.md:6: exit code 1\nfalse \| cat\n[\s\S]*before\n$/,
    ],
    [
      "a variable is not set",
      block('echo "$nobody"'),
      /^docs.md:3: exit code 1\n[\s\S]*docs.md: line 4: nobody: unbound/,
    ],
    [
      "a command continues",
      // Until the shell's child has become sleep, it is named as the shell is.
      block("sleep 300 &", 'until grep -q sleep "/proc/$!/comm"; do sleep 0.01; done'),
      /^docs.md: left running\nsleep 300/,
    ],
    [
      "the background ends early",
      ['```sh background "never"', "echo sorry", "```"],
      /^docs.md:3: exit code 1\n[\s\S]*sorry\nended before it printed: never/,
    ],
  ])("when %s, then it names the line", async (_, lines, message) => {
    await expect(guide("docs.md", ...lines)).rejects.toThrow(message);
  });
});

describe("given a clone", () => {
  const clone = join(dir.path, "tributary");
  beforeAll(async () => {
    await requireFreePorts();
    for (const [program, pkg] of [["mosquitto_pub", "mosquitto-clients"], ["kcat"]] as const) debian(program, pkg);
    copyClone(clone);
  });

  describe.each(sessions.map((guides) => [guides[0], guides] as const))("and who reads %s first", (_, guides) => {
    let session: GuideSession;
    beforeAll(() => {
      session = openSession({ clone, dir: mkdtempSync(join(dir.path, "session-")), node: node20() });
    });
    test.each(guides)("%s holds", (guide) => session.run(guide), GUIDE_MS_MAX);
    afterAll(() => session.end(), GUIDE_MS_MAX);
  });
});
