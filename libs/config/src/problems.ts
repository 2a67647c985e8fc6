/** Describes in one line per key what is wrong with it and what would be right. */
import type { z } from "zod";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

export function problemsOf(error: z.ZodError, schema: z.ZodType): string[] {
  return error.issues.flatMap((issue) => describe(issue, schema, []));
}

function describe(issue: Issue, schema: z.ZodType, prefix: Path): string[] {
  const path = [...prefix, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = keysAt(schema, path);
      const hint = known.length > 0 ? ` (known: ${known.join(", ")})` : "";
      return issue.keys.map((key) => `${nameOf([...path, key])}: unknown key${hint}`);
    }
    case "invalid_union": {
      // The branch that fits best is the one the author meant.
      const branches = issue.errors.filter((branch) => branch.length > 0);
      const best = branches.toSorted((a, b) => a.length - b.length)[0];
      if (best === undefined) return [`${nameOf(path)}: ${issue.message}`];
      return best.flatMap((inner) => describe(inner, schema, path));
    }
    case "invalid_type": {
      const missing = /received undefined$/.test(issue.message);
      return [`${nameOf(path)}: ${missing ? `missing; expected ${issue.expected}` : issue.message}`];
    }
    default:
      return [`${nameOf(path)}: ${issue.message}`];
  }
}

const nameOf = (path: Path): string =>
  path.length === 0
    ? "(the whole file)"
    : path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i === 0 ? "" : "."}${String(key)}`)).join("");

type Definition = {
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly in?: z.ZodType;
};

/** The keys the schema knows at `path`; none when the schema there is not one plain object. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let at: z.ZodType | undefined = schema;
  for (const key of path) {
    const definition = unwrap(at);
    at = definition?.shape?.[String(key)] ?? definition?.element ?? definition?.valueType;
  }
  return Object.keys(unwrap(at)?.shape ?? {});
}

function unwrap(schema: z.ZodType | undefined): Definition | undefined {
  let definition = schema?.def as Definition | undefined;
  for (;;) {
    const inner = definition?.innerType ?? definition?.in;
    if (inner === undefined) return definition;
    definition = inner.def as Definition;
  }
}
