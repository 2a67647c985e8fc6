/**
 * Reads one YAML file into a validated, frozen object.
 *
 * F1. Every unknown key, wrong value, missing value and unset variable is reported at once.
 * F2. `${NAME}` and `${NAME:-default}` come from the environment after YAML is parsed, so a value can never become
 *     structure. A plain scalar that is only a variable is typed like YAML (`${PORT}` may be a number); a quoted one stays
 *     a string (inside `{}` and `[]` YAML wants quotes). `$${` writes a literal `${`.
 */
import { readFileSync } from "node:fs";
import { reasonOf } from "@tributary/kernel";
import { type Document, isPair, isScalar, parse, parseDocument, visit } from "yaml";
import type { z } from "zod";
import { ConfigError } from "./config-error.ts";
import { problemsOf } from "./problems.ts";

export type Env = Readonly<Record<string, string | undefined>>;

export type LoadOptions<S extends z.ZodType> = {
  readonly schema: S;
  readonly file: string;
  readonly env?: Env;
};

export function loadConfig<S extends z.ZodType>(options: LoadOptions<S>): z.output<S> {
  let text: string;
  try {
    text = readFileSync(options.file, "utf8");
  } catch (error) {
    throw new ConfigError(options.file, [`cannot be read: ${reasonOf(error)}`]);
  }
  return parseConfig({ ...options, text });
}

export function parseConfig<S extends z.ZodType>(options: LoadOptions<S> & { readonly text: string }): z.output<S> {
  const document = parseDocument(options.text, { prettyErrors: true, uniqueKeys: true });
  // Behind the first syntax error a parser only guesses.
  const broken = document.errors[0];
  if (broken !== undefined) {
    throw new ConfigError(options.file, [broken.message.replaceAll(/\s*\n\s*/g, " ").trim()]);
  }
  const problems = interpolate(document, options.env ?? process.env);
  const unset = new Set(problems.map((problem) => problem.split(": ")[0]));
  const result = options.schema.safeParse(document.toJS() ?? {});
  if (!result.success) {
    // A key whose variable is unset is already named.
    problems.push(...problemsOf(result.error, options.schema).filter((p) => !unset.has(p.split(": ")[0])));
  }
  if (!result.success || problems.length > 0) throw new ConfigError(options.file, problems);
  return deepFreeze(result.data);
}

const VARIABLE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

function interpolate(document: Document, env: Env): string[] {
  const problems: string[] = [];
  visit(document, {
    Scalar(key, node, path) {
      if (key === "key" || typeof node.value !== "string" || !node.value.includes("${")) return;
      let literal = false;
      const replaced = node.value.replaceAll(VARIABLE, (match, name: string | undefined, fallback?: string) => {
        if (name === undefined) {
          literal = true;
          return "${";
        }
        const value = env[name] ?? fallback;
        if (value === undefined) {
          const where = path.flatMap((parent) =>
            isPair(parent) && isScalar(parent.key) ? [String(parent.key.value)] : [],
          );
          problems.push(`${where.join(".")}: the environment has no ${name}`);
        }
        return value ?? match;
      });
      const isOnlyVariable = node.type === "PLAIN" && !literal && /^\$\{[^}]*\}$/.test(node.value);
      node.value = isOnlyVariable ? scalarOf(replaced) : replaced;
    },
  });
  return problems;
}

function scalarOf(text: string): unknown {
  try {
    const value: unknown = parse(text);
    return value !== null && typeof value === "object" ? text : value;
  } catch {
    return text;
  }
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
