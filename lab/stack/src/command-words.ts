/** A command line in words, as a POSIX shell splits it: spaces separate, quotes and backslashes keep together. */

export type Words =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "wrong"; readonly problem: string };

/** What a shell would act on: no shell is involved, so it is refused rather than passed on as text. */
const SHELL_ONLY = /[|&;<>()$`*?[\]{}~#!]/;

export function wordsOf(line: string): Words {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at++) {
    const char = line[at] as string;
    if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === "'") {
      const end = line.indexOf("'", at + 1);
      if (end < 0) return { kind: "wrong", problem: "a ' is not closed" };
      word = (word ?? "") + line.slice(at + 1, end);
      at = end;
    } else if (char === '"') {
      const quoted = /^"((?:[^"\\]|\\.)*)"/s.exec(line.slice(at));
      if (quoted === null) return { kind: "wrong", problem: 'a " is not closed' };
      const [whole, inside = ""] = quoted;
      if (/(?<!\\)[$`]/.test(inside)) return shellOnly(inside.includes("$") ? "$" : "`");
      word = (word ?? "") + inside.replace(/\\(["\\$`])/g, "$1");
      at += whole.length - 1;
    } else if (char === "\\") {
      if (at + 1 === line.length) return { kind: "wrong", problem: "it ends with a backslash" };
      word = (word ?? "") + line[++at];
    } else if (SHELL_ONLY.test(char)) return shellOnly(char);
    else word = (word ?? "") + char;
  }
  if (word !== undefined) words.push(word);
  return words.length > 0 ? { kind: "words", words } : { kind: "wrong", problem: "it is empty" };
}

const shellOnly = (char: string): Words => ({
  kind: "wrong",
  problem: `it runs without a shell, so ${char} has no effect: quote it, or write sh -c '...'`,
});
