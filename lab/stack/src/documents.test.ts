/** Documents name what exists: links between files resolve, and ARCHITECTURE.md leads from an answer to the function that decided. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "@jest/globals";
import { repositoryRoot } from "./paths.ts";

const textOf = (file: string) => readFileSync(join(repositoryRoot, file), "utf8");

test("every link to a file of the repository resolves", () => {
  const files = execFileSync("git", ["ls-files", "*.md"], { cwd: repositoryRoot, encoding: "utf8" });
  const links = files
    .split("\n")
    .filter((file) => file !== "" && existsSync(join(repositoryRoot, file)))
    .flatMap((file) =>
      [...textOf(file).matchAll(/\]\((?!\w+:|#)([^)#\s]+)[^)]*\)/g)].map(([, target]) => ({
        file,
        target: `${target}`,
      })),
    );
  expect(links.length).toBeGreaterThan(100);
  expect(links.filter(({ file, target }) => !existsSync(join(repositoryRoot, dirname(file), target)))).toEqual([]);
});

test("ARCHITECTURE.md: what explains an answer is where it says", () => {
  const [, section = ""] = /\n## Why did it do that\?\n([\s\S]*?)\n## /.exec(textOf("docs/ARCHITECTURE.md")) ?? [];
  const named = [...section.matchAll(/`(\w+)`\s+in\s+\[[\w.-]+\]\(\.\.\/([^)]+)\)/g)];
  expect(named.length).toBeGreaterThan(7);
  for (const [, name, file] of named)
    expect(textOf(`${file}`)).toMatch(new RegExp(`^export (function|class) ${name}\\b`, "m"));
});
