import { execFileSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { wordsOf } from "./command-words.ts";

test.each([
  "ffmpeg -i /dev/video0 -f image2pipe -",
  `  sh -c 'while :; do cat *.jpg; done'  `,
  `a "b c" d\\ e "f\\"g" 'h'i"j" "" 'k\\l' "m\\n"`,
  `x "two
lines"`,
])("a command is split as sh splits it: %s", (line) => {
  const words = execFileSync("sh", ["-c", `printf '%s\\0' ${line}`], { encoding: "utf8" })
    .split("\0")
    .slice(0, -1);
  expect(wordsOf(line)).toEqual({ kind: "words", words });
});

test.each([
  ["cat a.jpg | head", "|"],
  ["cat *.jpg", "*"],
  ['cat "$HOME/a.jpg"', "$"],
  ["cat 'a.jpg", "is not closed"],
  ['cat "a.jpg', "is not closed"],
  ["cat a\\", "backslash"],
  [" ", "empty"],
])("what needs a shell, or is broken, is refused: %s", (line, why) => {
  expect(wordsOf(line)).toMatchObject({ kind: "wrong", problem: expect.stringContaining(why) });
});
