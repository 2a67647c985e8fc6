/**
 * A guide as a script: which blocks of a Markdown file are run, word for word, and how.
 *
 * After `sh` a fence's info string has one of these, which rendered Markdown does not show:
 *   (nothing)            the block runs and must end with 0
 *   background "TEXT"    it is started as in another terminal; the script continues once its output contains TEXT
 *   elsewhere "REASON"   it is not run, because of REASON
 *   cluster              it is run where there is a cluster, and `cluster background "TEXT"` in the background
 * Blocks in other languages are shown, not run. A shell by another name is refused, so that no command is overlooked.
 */
import { Failure } from "@tributary/kernel";

export type Block = {
  /** Of the opening fence, from 1. */
  readonly line: number;
  /** Lines without the indentation of the fence. */
  readonly lines: readonly string[];
} & (
  | { readonly kind: "run"; readonly needs: Needs }
  | { readonly kind: "background"; readonly needs: Needs; readonly ready: string }
  | { readonly kind: "elsewhere"; readonly reason: string }
);
/** What must be there beside this machine. */
type Needs = "cluster" | "nothing";

const OTHER_SHELLS = ["bash", "console", "shell", "shell-session", "zsh"];

/** The `sh` blocks in order; throws a Failure that names file and line of the first one that cannot be understood. */
export function blocksOf(file: string, markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const [, indent = "", fence, language = "", rest = ""] = /^( *)(`{3,}|~{3,})(\S*)(.*)$/.exec(lines[i] ?? "") ?? [];
    if (fence === undefined) continue;
    const line = i + 1;
    const isEnd = (text: string) => text.trim().startsWith(fence) && /^(`+|~+)$/.test(text.trim());
    const body: string[] = [];
    for (i++; i < lines.length && !isEnd(lines[i] ?? ""); i++) body.push(without(indent, lines[i] ?? ""));
    if (OTHER_SHELLS.includes(language)) throw wrong(file, line, `"${language}": write sh, as every shell block`);
    if (language !== "sh") continue;
    if (i === lines.length) throw wrong(file, line, "the block has no end");
    blocks.push({ line, lines: body, ...kindOf(file, line, rest.trim()) });
  }
  return blocks;
}

function kindOf(file: string, line: number, words: string) {
  const [, cluster, kind, text] = /^(?:(cluster)(?: |$))?(?:(background|elsewhere) "([^"]+)")?$/.exec(words) ?? [];
  const needs = cluster ?? "nothing";
  if (words === (cluster ?? "")) return { kind: "run" as const, needs: needs as Needs };
  if (kind === "background" && text !== undefined) return { kind, needs: needs as Needs, ready: text } as const;
  if (kind === "elsewhere" && text !== undefined && cluster === undefined) return { kind, reason: text } as const;
  throw wrong(file, line, `sh ${words}: only cluster, background "TEXT" or elsewhere "REASON" may follow sh`);
}

const without = (indent: string, line: string) =>
  line.startsWith(indent) ? line.slice(indent.length) : line.trimStart();

const wrong = (file: string, line: number, why: string) =>
  new Failure("guide-block-invalid", "ask-a-person", `${file}:${line}: ${why}`);

/** Ends a background block in the script; no line of a guide reads so. */
const END = "end-of-the-guides-block";

/**
 * A bash script whose lines are those of the Markdown, so that bash's own messages name the guide's lines. It calls
 * `guide_block LINE` before each block, and `guide_background LINE TEXT` with the block on standard input. Blocks that need a cluster are
 * left out where there is none.
 */
export function scriptOf(blocks: readonly Block[], { hasCluster = false } = {}): string {
  const script: string[] = [];
  const put = (line: number, text: string) => {
    while (script.length < line) script.push("");
    script[line - 1] = text;
  };
  for (const block of blocks) {
    if (block.kind === "elsewhere" || (block.needs === "cluster" && !hasCluster)) continue;
    const { line, lines } = block;
    const isBackground = block.kind === "background";
    put(line, isBackground ? `guide_background ${line} ${quoted(block.ready)} <<'${END}'` : `guide_block ${line}`);
    lines.forEach((text, i) => {
      put(line + 1 + i, text);
    });
    if (isBackground) put(line + 1 + lines.length, END);
  }
  return `${script.join("\n")}\n`;
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
