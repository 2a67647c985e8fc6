// The arguments of `npm test` and `npm run test:file`.
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { root } from "./bootstrap.mjs";

const TEST_FILE = /\.test\.ts$/;
/** What `npm test` leaves out unless it is asked for: by name alone here, too. */
const ASKED_FOR = /\.(ci|peer|drill)\.test\.ts$/;
const NOT_OURS = /(^|\/)(node_modules|dist)\//;
const NEEDS_KAFKA = /\.(integration|ci|peer|drill)\.test\.ts$|^lab\/e2e\//;

export const USAGE =
  "npm run test:file -- PATH... [-t NAME]: test files (*.test.ts) or folders, then options of jest's";

/**
 * `files`: with `--file`, the named test files and those below the named folders, relative to the root; otherwise undefined.
 * `jest`: arguments that are jest's.
 */
export function parseArguments(argv, cwd = process.env.INIT_CWD ?? process.cwd()) {
  if (argv[0] !== "--file") return { files: undefined, jest: argv };
  const rest = argv.slice(1);
  const optionsAt = rest.findIndex((arg) => arg.startsWith("-"));
  const paths = optionsAt < 0 ? rest : rest.slice(0, optionsAt);
  if (paths.length === 0) throw new Error(USAGE);
  const files = paths.flatMap((path) => {
    const place = [resolve(cwd, path), join(root, path)].find(existsSync);
    if (place === undefined) throw new Error(`there is no ${path}\n${USAGE}`);
    if (statSync(place).isDirectory()) {
      const below = readdirSync(place, { recursive: true }).map((name) => relative(root, join(place, name)));
      return below.filter((file) => TEST_FILE.test(file) && !ASKED_FOR.test(file) && !NOT_OURS.test(file)).sort();
    }
    if (!TEST_FILE.test(place)) throw new Error(`${path} is not a test\n${USAGE}`);
    return [relative(root, place)];
  });
  return { files: [...new Set(files)], jest: rest.slice(paths.length) };
}

/** Everything does; of files, those of a unit's tests do not. */
export const needsKafka = ({ files }) => files === undefined || files.some((file) => NEEDS_KAFKA.test(file));
