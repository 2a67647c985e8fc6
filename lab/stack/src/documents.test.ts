/** Documents name what exists: links and paths resolve, and ARCHITECTURE.md leads from an answer to the function that decided it. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { repositoryRoot } from "@tributary/testing";
import { parse } from "yaml";

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

describe("runbooks", () => {
  const RULES = "deploy/helm/tributary/files/rules";
  type Rule = { readonly alert?: string; readonly annotations?: Record<string, string> };
  type Rules = { readonly groups: readonly { readonly rules: readonly Rule[] }[] };
  const alerts = readdirSync(join(repositoryRoot, RULES)).flatMap((file) =>
    (parse(textOf(`${RULES}/${file}`)) as Rules).groups
      .flatMap(({ rules }) => rules)
      .flatMap(({ alert, annotations }) => (alert === undefined ? [] : [{ file, alert, annotations }])),
  );
  const pages = documents.filter((file) => file.startsWith("docs/runbooks/") && basename(file) !== "README.md");

  test("every alert has a section that says what it means, how to check it, what to do and when it ends", () => {
    expect(alerts.length).toBeGreaterThan(60);
    for (const { file, alert, annotations } of alerts) {
      const page = `docs/runbooks/${file.replace(".yml", ".md")}`;
      expect(annotations).toEqual({
        summary: expect.any(String),
        description: expect.any(String),
        runbook_url: `${page}#${alert.toLowerCase()}`,
      });
      const [, section = ""] = new RegExp(`\n## ${alert}\n([\\s\\S]*?)(?=\n## |$)`).exec(textOf(page)) ?? [];
      expect([alert, section]).toEqual([
        alert,
        expect.stringMatching(/^\n\*\*Means:\*\*[\s\S]*\*\*Check:\*\*[\s\S]*\*\*Do:\*\*[\s\S]*\*\*Ends\*\*/),
      ]);
    }
  });

  test("every section is of an alert, and the index has every page", () => {
    const sections = pages.flatMap((page) => [...textOf(page).matchAll(/^## (.*)$/gm)].map(([, name]) => name));
    expect(sections.sort()).toEqual(alerts.map(({ alert }) => alert).sort());
    const index = textOf("docs/runbooks/README.md");
    for (const page of pages) expect(index).toContain(`](${basename(page)})`);
  });

  test("log lines that they name are events of a program", () => {
    const source = ["grep", "-hoE", 'name: "[a-z]+(_[a-z]+)+"', "--", "services", "edge", "libs"];
    const events = new Set(
      [...execFileSync("git", source, { cwd: repositoryRoot, encoding: "utf8" }).matchAll(/"(.*)"/g)].map(
        ([, name]) => name,
      ),
    );
    const named = pages.flatMap((page) =>
      [...textOf(page).matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map(([, name = ""]) => name),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((name) => !events.has(name) && !name.startsWith("tributary_"))).toEqual([]);
  });
});
