import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { candidates, shells } from "./completion.ts";
import type { Io } from "./context.ts";
import { programOf } from "./program.ts";

const io: Io = {
  stdout: () => {},
  stderr: () => {},
  color: false,
  isOutputTerminal: false,
  isTerminal: false,
  env: {},
  now: Date.now,
  signal: new AbortController().signal,
};
const program = await programOf([], io);
const next = (...words: string[]) => candidates(program, words).map(({ word }) => word);

test.each([
  [[""], ["get", "describe", "labels", "dlq", "doctor", "schemas", "completion"]],
  [["la"], ["labels"]],
  [
    ["get", ""],
    ["devices", "policies", "models", "topics"],
  ],
  [["-o", "json", "get", "m"], ["models"]],
  [
    ["get", "devices", "-o", ""],
    ["table", "wide", "json", "yaml", "name"],
  ],
  [["get", "devices", "--output=y"], ["--output=yaml"]],
  [["labels", "import", "--fo"], ["--format"]],
  [["labels", "import", "--format", "c"], ["csv"]],
  [
    ["frames", "tail", "--settled-by", "DEADLINE"],
    ["DEADLINE", "DEADLINE_UNREACHABLE"],
  ],
  [["completion", "z"], ["zsh"]],
  [["rollout", "sta"], ["status"]],
  [
    ["rollout", ""],
    ["create", "lint", "list", "pause", "resume", "promote", "abort", "retry", "undo", "history", "report"],
  ],
  [
    ["rollout", "list", "--phase", "P"],
    ["Progressing", "Paused"],
  ],
  [["rollout", "promote", "edge", "--f"], ["--full"]],
  [
    ["experiment", ""],
    ["lint", "plan", "create", "list", "status", "stop", "history", "report"],
  ],
  [["policy", ""], ["push"]],
])("after %j", (words, expected) => {
  expect(next(...words)).toEqual(expect.arrayContaining(expected));
});

test("an argument that is a file or an id has no completions of ours, so the shell offers files", () => {
  expect(next("labels", "import", "")).toEqual([]);
  expect(next("labels", "import", "--by", "")).toEqual([]);
  expect(next("rollout", "create", "-f", "")).toEqual([]);
  expect(next("rollout", "status", "")).toEqual([]);
  expect(next("__")).toEqual([]);
});

test("bash takes the script and asks with the words before the cursor", () => {
  const dir = mkdtempSync(join(tmpdir(), "completion-"));
  try {
    writeFileSync(join(dir, "tributary"), `#!/bin/sh\nprintf 'asked %s\\tabout\\n' "$*"\n`, { mode: 0o755 });
    const script = `${shells.bash}
COMP_WORDS=(tributary get devices -o ya more); COMP_CWORD=4; _tributary; printf '%s|' "\${COMPREPLY[@]}"`;
    const env = { ...process.env, PATH: `${dir}:${process.env.PATH}` };
    const { stdout, stderr } = spawnSync("bash", ["-c", script], { encoding: "utf8", env });
    expect([stderr, stdout]).toEqual(["", "asked __complete -- get devices -o ya|"]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
