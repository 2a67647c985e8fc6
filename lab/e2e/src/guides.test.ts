/** Every shell block that README.md, a guide or an example shows is run by a script (guides.peer.test.ts), or gives a reason why not. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { repositoryRoot } from "@tributary/testing";
import { blocksOf, scriptOf } from "./guide.ts";
import { sessions } from "./guides.ts";

const guides = [
  "README.md",
  ...readdirSync(join(repositoryRoot, "docs/guides")).map((file) => `docs/guides/${file}`),
  ...readdirSync(join(repositoryRoot, "examples"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith("README.md") && !file.includes("node_modules"))
    .map((file) => `examples/${file}`),
];
const fence = "```";

test("every guide with a block that runs is in a session, once", () => {
  const run = guides.filter((guide) =>
    blocksOf(guide, readFileSync(join(repositoryRoot, guide), "utf8")).some(({ kind }) => kind !== "elsewhere"),
  );
  expect(sessions.flat().sort()).toEqual(run.sort());
});

describe("given Markdown", () => {
  const markdown = `# A guide
${fence}sh
echo "in it"
${fence}
- In a list:

  ${fence}sh background "it's ready"
  npm start
    indented
  ${fence}

${fence}yaml
a: b
${fence}
${fence}${fence}md
${fence}sh
shown only
${fence}
${fence}${fence}
${fence}sh elsewhere "needs a Pi"
sudo reboot
${fence}
${fence}sh cluster
kubectl apply
${fence}
${fence}sh cluster background "Forwarding"
kubectl port-forward
${fence}
`;

  test("its blocks are known by line and kind", () => {
    expect(blocksOf("guide.md", markdown)).toEqual([
      { line: 2, kind: "run", needs: "nothing", lines: [`echo "in it"`] },
      { line: 7, kind: "background", needs: "nothing", ready: "it's ready", lines: ["npm start", "  indented"] },
      { line: 20, kind: "elsewhere", reason: "needs a Pi", lines: ["sudo reboot"] },
      { line: 23, kind: "run", needs: "cluster", lines: ["kubectl apply"] },
      { line: 26, kind: "background", needs: "cluster", ready: "Forwarding", lines: ["kubectl port-forward"] },
    ]);
  });

  test("the script has each command on the line it has in the guide", () => {
    const script = scriptOf(blocksOf("guide.md", markdown)).split("\n");
    expect(script.slice(0, 4)).toEqual(["", "guide_block 2", `echo "in it"`, ""]);
    expect(script.slice(6)).toEqual([
      `guide_background 7 'it'\\''s ready' <<'end-of-the-guides-block'`,
      "npm start",
      "  indented",
      "end-of-the-guides-block",
      "",
    ]);
  });

  test("what needs a cluster is in the script where there is one", () => {
    const blocks = blocksOf("guide.md", markdown);
    expect(scriptOf(blocks)).not.toContain("kubectl");
    const script = scriptOf(blocks, { hasCluster: true }).split("\n");
    expect(script.slice(22, 24)).toEqual(["guide_block 23", "kubectl apply"]);
    expect(script[25]).toContain("guide_background 26 'Forwarding'");
  });

  test.each([
    ["a word that is not known", `\n${fence}sh backgruond "x"\n${fence}`, 'guide.md:2: sh backgruond "x": only'],
    [
      "a reason beside a cluster",
      `${fence}sh cluster elsewhere "x"\n${fence}`,
      'guide.md:1: sh cluster elsewhere "x": only',
    ],
    ["no reason", `${fence}sh elsewhere\n${fence}`, "guide.md:1: sh elsewhere: only"],
    ["another name of a shell", `${fence}bash\n${fence}`, 'guide.md:1: "bash": write sh'],
    ["no end", `${fence}sh\nls`, "guide.md:1: the block has no end"],
  ])("%s is refused with its line", (_, text, message) => {
    expect(() => blocksOf("guide.md", text)).toThrow(message);
  });
});
