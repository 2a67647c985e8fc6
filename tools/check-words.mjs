// Rejects words of our own (banned-words.json) in names, strings, comments and documents; the list has the field's word beside
// each. Add a word once its last use is gone.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
/** `not`: what is banned; `write`: what to write; `except`: files that name a configuration key or a metric label of that name, which stays. */
export const banned = JSON.parse(readFileSync(new URL("banned-words.json", import.meta.url), "utf8"));
const patterns = banned.map(({ not, write, except = [] }) => ({
  // A phrase may span lines, and a comment's next line starts with a star or slashes.
  pattern: new RegExp(`\\b(${not.map((phrase) => phrase.replaceAll(" ", "[\\s*/_-]+")).join("|")})\\b`, "gi"),
  write,
  except,
}));
/** Generated from schemas, which stay as they were registered. */
const WIRE = ["docs/asyncapi.yaml", "libs/contracts/src/generated/"];

/** One line for each banned word in a file's text. */
export function wordProblems(file, text) {
  const words = text.replace(/([a-z0-9])([A-Z])/g, "$1 $2");
  const isIn = (places) => places.some((place) => file.startsWith(place));
  if (isIn(WIRE)) return [];
  const rules = patterns.filter(({ except }) => !isIn(except));
  return rules.flatMap(({ pattern, write }) =>
    [...words.matchAll(pattern)].map(({ 0: found, index }) => {
      const line = words.slice(0, index).split("\n").length;
      return `${file}:${line}: "${found.replaceAll(/\s+/g, " ")}": write ${write}`;
    }),
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const listed = ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts", "*.mjs", "*.cjs", "*.md", "*.yaml"];
  const files = execFileSync("git", listed, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 }).split("\n");
  const there = files.filter((file) => file !== "" && existsSync(join(root, file)));
  const problems = there.flatMap((file) => wordProblems(file, readFileSync(join(root, file), "utf8")));
  for (const problem of problems) console.error(problem);
  console.log(`words: ${banned.length} banned, ${problems.length} uses`);
  if (problems.length > 0) process.exit(1);
}
