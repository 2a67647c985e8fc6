/** Checks a specification's text without a server: the problems, with their lines, columns and fixes. */
import { isNestedDeeper, LEVELS_MAX } from "@tributary/kernel";
import {
  pathText,
  type ReadSpec,
  type RolloutSpec,
  readSpec,
  type SpecPath,
  type SpecProblem,
} from "@tributary/rollouts";
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments } from "yaml";

/** A specification is about a page; a larger file is something else. */
export const SPEC_BYTES_MAX = 1024 * 1024;
const TOO_DEEP = `nests lists and fields deeper than ${LEVELS_MAX} levels; a specification has about ten`;

export type Located = {
  /** From 1. */
  readonly line: number;
  readonly column: number;
  readonly field: string;
  readonly message: string;
};

export type Linted<Spec = RolloutSpec> = {
  readonly problems: readonly Located[];
  /** As written, for the server; null if the text is not YAML. */
  readonly written: unknown;
  /** Null when there are problems. */
  readonly spec: Spec | null;
  /** The place of a field in the text; of a missing field, that of the nearest parent. */
  readonly locate: (problem: SpecProblem) => Located;
};

export const lint = (text: string): Linted => lintAs(readSpec, text, "docs/guides/roll-out-a-model.md");

/** `guide`: where a specification of this kind is explained. */
export function lintAs<Spec>(read: (written: unknown) => ReadSpec<Spec>, text: string, guide: string): Linted<Spec> {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [document, second] = Array.isArray(documents) ? documents : [];
  const placeAt = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const alone = (offset: number, message: string): Linted<Spec> => ({
    problems: [{ ...placeAt(offset), field: "", message }],
    written: null,
    spec: null,
    locate: ({ message: own }) => ({ line: 1, column: 1, field: "", message: own }),
  });
  if (text.length > SPEC_BYTES_MAX) return alone(0, `is longer than ${SPEC_BYTES_MAX} bytes; is it a specification?`);
  if (document === undefined || document.contents === null) return alone(0, `is empty; see ${guide}`);
  // After the first syntax error a parser only guesses.
  const broken = document.errors[0];
  if (broken?.code === "RESOURCE_EXHAUSTION") return alone(broken.pos[0], TOO_DEEP);
  if (broken !== undefined) return alone(broken.pos[0], `is not YAML: ${broken.message}`);
  if (second !== undefined)
    return alone(second.range[0], "a second document starts here; a file has one specification");
  const locate = ({ path, isName, message }: SpecProblem): Located => ({
    ...placeAt(offsetOf(document, path, isName === true)),
    field: pathText(path),
    message,
  });
  let written: unknown;
  try {
    written = document.toJS({ maxAliasCount: 100 });
  } catch {
    return alone(0, "expands too much by aliases; write it out");
  }
  if (isNestedDeeper(written)) return alone(0, TOO_DEEP);
  const { spec, problems } = read(written);
  return {
    problems: problems.map(locate).sort((a, b) => a.line - b.line || a.column - b.column),
    written,
    spec,
    locate,
  };
}

/** Of the value at the path, or of its name; as deep as the text goes. */
function offsetOf(document: Document, path: SpecPath, isName: boolean): number {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const [i, key] of path.entries()) {
    const isLast = i === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find(({ key: name }) => isScalar(name) && String(name.value) === String(key));
      if (pair === undefined) return offset;
      const name = isNode(pair.key) ? pair.key.range?.[0] : undefined;
      offset = name ?? offset;
      node = pair.value;
      if (isLast && !isName && isNode(node) && isScalar(node)) offset = node.range?.[0] ?? offset;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      if (!isNode(node)) return offset;
      offset = node.range?.[0] ?? offset;
    } else return offset;
  }
  return offset;
}

/** `FILE:LINE:COLUMN: field: message`, like a compiler, so that editors jump there. */
export const lineOf = (file: string, { line, column, field, message }: Located): string =>
  `${file}:${line}:${column}: ${field === "" ? "" : `${field}: `}${message}`;
