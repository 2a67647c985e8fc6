/** Documents name what exists: links and paths resolve, and ARCHITECTURE.md leads from an answer to the function that decided it. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "@jest/globals";
import { repositoryRoot } from "@tributary/testing";

const textOf = (file: string) => readFileSync(join(repositoryRoot, file), "utf8");
const exists = (file: string) => existsSync(join(repositoryRoot, file));
const documents = execFileSync("git", ["ls-files", "*.md"], { cwd: repositoryRoot, encoding: "utf8" })
  .trim()
  .split("\n")
  .filter(exists);
/** Everything in the documents that matches. */
const found = (pattern: RegExp) =>
  documents.flatMap((file) => [...textOf(file).matchAll(pattern)].map(([text, ...groups]) => ({ file, text, groups })));
/** As GitHub makes them of headings. */
const anchorsOf = (file: string) =>
  [...textOf(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );

test("every link to a file of the repository, and to a heading of it, resolves", () => {
  const links = found(/\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)/g);
  expect(links.length).toBeGreaterThan(100);
  const broken = links.filter(({ file, groups: [target = "", anchor = ""] }) => {
    const path = target === "" ? file : join(dirname(file), target);
    return !exists(path) || (anchor !== "" && !anchorsOf(path).includes(anchor));
  });
  expect(broken).toEqual([]);
});

test("every path of a source folder exists", () => {
  const folders = "cli|deploy|docs|edge|examples|k8s|lab|libs|models|samples|schemas|services|tools|training";
  const paths = found(new RegExp(`\`((?:${folders})/[\\w./-]*)\``, "g")).filter(
    ({ text }) => !/NAME|\/dist\//.test(text),
  );
  expect(paths.length).toBeGreaterThan(100);
  expect(paths.filter(({ groups: [path = ""] }) => !exists(path))).toEqual([]);
});

test("ARCHITECTURE.md: the functions that explain an answer are where it says", () => {
  const [, section = ""] = /\n## Why did it do that\?\n([\s\S]*?)\n## /.exec(textOf("docs/ARCHITECTURE.md")) ?? [];
  const named = [...section.matchAll(/`(\w+)`\s+in\s+\[[\w.-]+\]\(\.\.\/([^)]+)\)/g)];
  expect(named.length).toBeGreaterThan(7);
  for (const [, name, file] of named)
    expect(textOf(`${file}`)).toMatch(new RegExp(`^export (function|class) ${name}\\b`, "m"));
});
