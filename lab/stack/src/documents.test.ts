/** Documents name what exists: links resolve, and ARCHITECTURE.md leads from an answer to the function that decided it. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "@jest/globals";
import { repositoryRoot } from "./paths.ts";

const textOf = (file: string) => readFileSync(join(repositoryRoot, file), "utf8");
/** As GitHub makes them of headings. */
const anchorsOf = (file: string) =>
  [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );

test("every link to a file of the repository, and to a heading of it, resolves", () => {
  const files = execFileSync("git", ["ls-files", "*.md"], { cwd: repositoryRoot, encoding: "utf8" }).trim().split("\n");
  const links = files
    .filter((file) => existsSync(join(repositoryRoot, file)))
    .flatMap((file) =>
      [...textOf(file).matchAll(/\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)/g)].map(([link, target = "", anchor = ""]) => {
        const path = target === "" ? file : join(dirname(file), target);
        return { file, link, path, anchor };
      }),
    );
  expect(links.length).toBeGreaterThan(100);
  const isBroken = ({ path, anchor }: (typeof links)[number]) =>
    !existsSync(join(repositoryRoot, path)) || (anchor !== "" && !anchorsOf(path).includes(anchor));
  expect(links.filter(isBroken)).toEqual([]);
});

test("ARCHITECTURE.md: the functions that explain an answer are where it says", () => {
  const [, section = ""] = /\n## Why did it do that\?\n([\s\S]*?)\n## /.exec(textOf("docs/ARCHITECTURE.md")) ?? [];
  const named = [...section.matchAll(/`(\w+)`\s+in\s+\[[\w.-]+\]\(\.\.\/([^)]+)\)/g)];
  expect(named.length).toBeGreaterThan(7);
  for (const [, name, file] of named)
    expect(textOf(`${file}`)).toMatch(new RegExp(`^export (function|class) ${name}\\b`, "m"));
});
