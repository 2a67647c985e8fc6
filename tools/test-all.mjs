// npm run test:all: the third tier, one part after the other, for hours; see test-parts.mjs. A part that hangs is ended at its limit with
// all that it started, and the others go on. Results are kept by commit below .local/test-all, so that a run that was stopped, or a
// machine that was, can be continued. The last line is `N passed, N failed`; exit 1 when a part failed, 2 for wrong arguments.
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { bootstrap, exitOnError, root, run } from "./bootstrap.mjs";
import { killMarked } from "./processes.mjs";
import { allParts } from "./test-parts.mjs";

const MARK = "TRIBUTARY_TEST_PART";
const END_MS_MAX = 30_000;
const HEARTBEAT_MS = 60_000;
const OUTPUT_CHARS_MAX = 2_000_000;
const FAILURES_MAX = 5;
const USAGE = `npm run test:all [-- [PART...] [--resume] [--since COMMIT] [--list] [-o json]]

  PART            only these parts, by name; a name's beginning stands for all that begin so
  --resume        keep the results that this commit has: run only the parts without one that passed
  --since COMMIT  leave out the parts whose sources, and those of what they depend on, are as they were then
  --list          print the parts and their limits, and run none
  -o json         print the results as JSON instead of a table
  --parts FILE    other parts, as JSON: [{ "name", "command": [for node], "dir", "minutesMax" }]
  --results DIR   keep results there instead of in .local/test-all`;

async function main() {
  const { values, positionals } = argumentsOf(process.argv.slice(2));
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const known = values.parts === undefined ? allParts() : JSON.parse(readFileSync(values.parts, "utf8"));
  const wanted = chosen(known, positionals);
  if (values.list) {
    for (const { name, minutesMax } of wanted) console.log(`${name.padEnd(40)} ${minutesMax} min`);
    return 0;
  }
  await bootstrap();
  const commit = commitOfTree();
  const dir = join(resolve(values.results), commit);
  if (!values.resume) for (const { name } of wanted) rmSync(fileOf(dir, name), { force: true });
  mkdirSync(dir, { recursive: true });
  const unchanged = values.since === undefined ? new Set() : await unchangedSince(values.since, wanted);
  console.error(`commit ${commit}: ${wanted.length} parts, results in ${dir}`);
  const rows = await runParts(wanted, { dir, commit, unchanged });
  const { text, code } = summaryOf(rows, known);
  console.log(values.output === "json" ? JSON.stringify({ commit, parts: rows }, null, 2) : text);
  const sum = (key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);
  (values.output === "json" ? console.error : console.log)(`${sum("passed")} passed, ${sum("failed")} failed`);
  return stopSignal === undefined ? code : 128 + (stopSignal === "SIGINT" ? 2 : 15);
}

function argumentsOf(args) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        resume: { type: "boolean" },
        since: { type: "string" },
        list: { type: "boolean" },
        output: { type: "string", short: "o", default: "table" },
        parts: { type: "string" },
        results: { type: "string", default: join(root, ".local/test-all") },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    return wrong(error.message);
  }
}

function wrong(message) {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function chosen(known, names) {
  if (names.length === 0) return known;
  const isMeant = (name) => (part) => part.name === name || part.name.startsWith(name);
  const unknown = names.filter((name) => !known.some(isMeant(name)));
  if (unknown.length > 0) wrong(`no part begins with "${unknown.join('", "')}": --list prints all of them`);
  return known.filter((part) => names.some((name) => isMeant(name)(part)));
}

let current;
let stopSignal;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stopSignal ??= signal;
    current?.end(`stopped by ${signal}`);
  });
}

async function runParts(parts, { dir, commit, unchanged }) {
  const rows = [];
  for (const [i, part] of parts.entries()) {
    if (stopSignal !== undefined) break;
    const place = `[${i + 1}/${parts.length}] ${part.name}`;
    const kept = keptResult(dir, part.name, commit);
    if (unchanged.has(part)) rows.push({ part: part.name, ended: "unchanged" });
    else if (kept?.ended === "passed") rows.push(kept);
    else {
      console.error(`${place}: at most ${part.minutesMax} min`);
      const result = { commit, ...(await runPart(part, dir, place)) };
      keep(dir, result);
      rows.push(result);
    }
    const { ended, seconds, passed, failed } = rows.at(-1);
    console.error(
      `${place}: ${ended}${seconds === undefined ? "" : `, ${seconds} s, ${passed} passed, ${failed} failed`}`,
    );
  }
  return rows;
}

/** One part to its end, or to its limit, with nothing of it left running. */
async function runPart({ name, command, minutesMax }, dir, place) {
  const mark = randomBytes(8).toString("hex");
  const startedMs = performance.now();
  const seconds = () => Math.round((performance.now() - startedMs) / 1_000);
  let output = "";
  let ended;
  const log = logAt(join(dir, `${slug(name)}.log`));
  const env = { ...process.env, [MARK]: mark, npm_lifecycle_event: "" };
  const child = spawn(process.execPath, command, { cwd: root, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const timers = [];
  const end = (why) => {
    ended ??= why;
    signalGroup(child.pid, "SIGTERM");
    timers.push(setTimeout(() => signalGroup(child.pid, "SIGKILL"), END_MS_MAX));
    // Who left the group holds the pipes open.
    timers.push(setTimeout(() => killMarked(MARK, mark), END_MS_MAX + 1_000));
  };
  current = { end };
  timers.push(setTimeout(() => end(`ended at its limit of ${minutesMax} min`), minutesMax * 60_000));
  const beat = () => console.error(`${place}: ${seconds()} s  ${lastLine(output)}`);
  timers.push(setInterval(beat, HEARTBEAT_MS));
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output = (output + text).slice(-OUTPUT_CHARS_MAX);
      log.write(text);
    });
  }
  const code = await new Promise((done) => {
    child.once("error", (error) => done(error.message));
    child.once("exit", () => timers.push(setTimeout(() => killMarked(MARK, mark), END_MS_MAX)));
    child.once("close", (status, signal) => done(status ?? signal));
  });
  current = undefined;
  for (const timer of timers) clearTimeout(timer);
  const left = killMarked(MARK, mark).map(({ pid, command: words }) => `left behind: ${pid} ${words}`);
  const problems = [...(ended === undefined ? left : [ended]), ...log.close()];
  return { part: name, seconds: seconds(), ...resultOf(output, code, problems) };
}

/**
 * What a part's output says of itself: its closing line `N passed, N failed` where it has one, else the rows of its checks; and a part
 * that did not exit with 0 has at least one failure. `problems`: of the run itself.
 */
export function resultOf(output, code, problems) {
  const lines = output.split("\n");
  const closing = lines.map((line) => /^(\d+) passed, (\d+) failed$/.exec(line)).findLast(Boolean);
  const rows = (pattern) => lines.filter((line) => pattern.test(line));
  const bad = rows(/(^|[\s|*])(FAILED|FAILS|UNEXPECTED)([\s|*]|$)/);
  const good = rows(/(^|\|)\s*(holds|passed|as expected)\s*(\||\s{2}|│)/);
  const named = [
    ...problems,
    ...rows(/^failed: /),
    ...bad.filter(() => closing === undefined),
    ...rows(/ is needed\b|^missing programs: /),
  ];
  const isBad = code !== 0 || problems.length > 0;
  const failed = Math.max(closing ? Number(closing[2]) : bad.length, isBad ? 1 : 0);
  const passed = closing ? Number(closing[1]) : good.length || (failed === 0 ? 1 : 0);
  if (failed > 0 && named.length === 0) named.push(`exit code ${code}: ${lastLine(output)}`);
  const failures = [
    ...new Set(
      named.map((line) =>
        line
          .replace(/^failed: /, "")
          .trim()
          .slice(0, 300),
      ),
    ),
  ];
  return { ended: failed === 0 ? "passed" : "failed", passed, failed, failures };
}

const lastLine = (output) => (output.trimEnd().split("\n").at(-1) ?? "").trim().slice(0, 160);

function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch {}
}

/** A log that a full disk may cut: the part goes on, and `close` names the error. */
function logAt(file) {
  const problems = [];
  const attempt = (act) => {
    try {
      return act();
    } catch (error) {
      problems[0] = `the log ${file} is not whole: ${error.message}`;
    }
  };
  const handle = attempt(() => openSync(file, "w"));
  return {
    write: (text) => handle !== undefined && attempt(() => writeSync(handle, text)),
    close: () => {
      if (handle !== undefined) attempt(() => closeSync(handle));
      return problems;
    },
  };
}

const slug = (name) => name.replaceAll(/[^A-Za-z0-9.-]+/g, "-");
const fileOf = (dir, name) => join(dir, `${slug(name)}.json`);

/** The earlier result of this part on this commit; a file that is cut, or of another commit, counts as none. */
function keptResult(dir, name, commit) {
  let text;
  try {
    text = readFileSync(fileOf(dir, name), "utf8");
  } catch {
    return undefined;
  }
  try {
    const result = JSON.parse(text);
    if (result.part === name && result.commit === commit) return result;
    console.error(`${fileOf(dir, name)} is of ${result.part} on commit ${result.commit}: it does not count`);
  } catch (error) {
    console.error(`${fileOf(dir, name)} does not count: ${error.message}`);
  }
  return undefined;
}

function keep(dir, result) {
  const file = fileOf(dir, result.part);
  try {
    writeFileSync(`${file}.new`, `${JSON.stringify(result, null, 2)}\n`);
    renameSync(`${file}.new`, file);
  } catch (error) {
    console.error(`${file} is not kept, and --resume will run the part again: ${error.message}`);
    rmSync(`${file}.new`, { force: true });
  }
}

/** The table of all results, and the exit code. Nothing run is no success. */
function summaryOf(rows, known) {
  const cells = rows.map(({ part, ended, seconds, passed, failed, failures = [] }) => [
    part,
    String(seconds ?? "-"),
    ...[passed, failed].map((count) => String(count ?? "-")),
    ended === "unchanged" ? "left out: its sources did not change" : shortened(failures),
  ]);
  const all = [["part", "seconds", "passed", "failed", "what failed"], ...cells];
  const widths = all[0].map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const pad = (cell, i) => (i >= 1 && i <= 3 ? cell.padStart(widths[i]) : i === 4 ? cell : cell.padEnd(widths[i]));
  const text = all.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
  const missing = known.length - rows.length;
  const code = rows.some(({ ended }) => ended === "failed") || !rows.some(({ ended }) => ended === "passed") ? 1 : 0;
  return { text: missing > 0 ? `${text}\n${missing} parts were not run` : text, code };
}

const shortened = (failures) =>
  [
    ...failures.slice(0, FAILURES_MAX),
    ...(failures.length > FAILURES_MAX ? [`and ${failures.length - FAILURES_MAX} more`] : []),
  ].join("; ");

/** The commit; with changes that are not committed, also a digest of them. */
function commitOfTree() {
  const git = (...args) => {
    const { status, stdout, stderr } = spawnSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 28 });
    if (status !== 0) throw new Error(`git ${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const commit = git("rev-parse", "--short=12", "HEAD").trim();
  const added = git("ls-files", "-o", "--exclude-standard", "-z").split("\0").filter(Boolean);
  const hash = createHash("sha256").update(git("diff", "HEAD"));
  for (const file of added) hash.update(file).update(readFileSync(join(root, file)));
  const isClean = added.length === 0 && git("diff", "HEAD", "--name-only") === "";
  return isClean ? commit : `${commit}-${hash.digest("hex").slice(0, 8)}`;
}

/** The parts that no change since then concerns, by nx's graph. */
async function unchangedSince(since, parts) {
  const list = spawnSync("git", ["diff", "--name-only", since], { cwd: root, encoding: "utf8" });
  if (list.status !== 0) wrong(`--since ${since}: ${list.stderr.trim()}`);
  const added = spawnSync("git", ["ls-files", "-o", "--exclude-standard"], { cwd: root, encoding: "utf8" });
  const changed = `${list.stdout}\n${added.stdout}`.split("\n").filter(Boolean);
  const file = join(tmpdir(), `tributary-graph-${process.pid}.json`);
  await run(process.execPath, ["node_modules/nx/dist/bin/nx.js", "graph", `--file=${file}`]);
  const { graph } = JSON.parse(readFileSync(file, "utf8"));
  rmSync(file);
  const affected = affectedBy(changed, graph);
  return new Set(parts.filter((part) => !isConcerned(part, changed, affected)));
}

const isConcerned = ({ dir, reads = [] }, changed, affected) =>
  affected.has(dir) || changed.some((path) => reads.some((prefix) => path.startsWith(prefix)));

/** Documents, and what only editors and GitHub read, concern no program; guides name them in `reads`. */
const NO_SOURCE = /^(docs\/|\.github\/|\.vscode\/|\.devcontainer\/)|\.md$/;

/** The folders of the packages that changed, and of all that depend on them; of all packages, where a file outside of them changed. */
export function affectedBy(changed, { nodes, dependencies }) {
  const roots = Object.entries(nodes).map(([name, { data }]) => [name, data.root]);
  const sources = changed.filter((path) => !NO_SOURCE.test(path));
  const ownerOf = (path) => {
    const owners = roots.filter(([, dir]) => path.startsWith(`${dir}/`));
    return owners.sort((a, b) => b[1].length - a[1].length)[0]?.[0];
  };
  const owners = sources.map(ownerOf);
  if (owners.includes(undefined)) return new Set(roots.map(([, dir]) => dir));
  const found = new Set(owners);
  for (const name of found) {
    for (const [user, uses] of Object.entries(dependencies))
      if (uses.some(({ target }) => target === name)) found.add(user);
  }
  return new Set(roots.filter(([name]) => found.has(name)).map(([, dir]) => dir));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().then((code) => process.exit(code), exitOnError);
}
