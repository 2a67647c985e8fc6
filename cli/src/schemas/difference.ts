/** The changes from one schema to another, by path. Docs count: they are part of the contract. */
import { type Json, namesOf, textOf } from "./compatibility.ts";

export type Change = {
  readonly path: string;
  readonly kind: "added" | "removed" | "changed";
  readonly what: string;
};

type Facts = { readonly type: string; readonly default: string; readonly doc: string };

export function differences(before: Json, after: Json): Change[] {
  const old = factsOf(before);
  const now = factsOf(after);
  const changes: Change[] = [];
  for (const [path, facts] of now) {
    const was = old.get(path);
    if (was === undefined) changes.push({ path, kind: "added", what: withDefault(facts) });
    else {
      for (const name of ["type", "default", "doc"] as const) {
        if (was[name] === facts[name]) continue;
        changes.push({ path, kind: "changed", what: `${name}: ${was[name] || "none"} -> ${facts[name] || "none"}` });
      }
    }
  }
  for (const [path, facts] of old) {
    if (!now.has(path)) changes.push({ path, kind: "removed", what: withDefault(facts) });
  }
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

const withDefault = (facts: Facts): string =>
  facts.default === "" ? facts.type : `${facts.type}, default ${facts.default}`;

type Part = {
  readonly type?: Json;
  readonly name?: string;
  readonly doc?: string;
  readonly default?: unknown;
  readonly fields?: readonly Part[];
  readonly symbols?: readonly string[];
  readonly items?: Json;
  readonly values?: Json;
};

function factsOf(schema: Json): Map<string, Facts> {
  const facts = new Map<string, Facts>();
  const names = namesOf(schema);
  const open = new Set<string>();
  const walk = (type: Json | undefined, path: string): void => {
    if (Array.isArray(type)) {
      for (const branch of type) if (branch !== "null") walk(branch, path);
      return;
    }
    const part = (typeof type === "string" ? names.get(type) : type) as Part | undefined | null;
    if (part === undefined || part === null || typeof part !== "object") return;
    if (part.name !== undefined) {
      if (open.has(part.name)) return;
      open.add(part.name);
    }
    for (const symbol of part.symbols ?? []) facts.set(`${path}<${symbol}>`, { type: "symbol", default: "", doc: "" });
    for (const field of part.fields ?? []) {
      const at = path === "" ? (field.name ?? "") : `${path}.${field.name}`;
      const fallback = field.default === undefined ? "" : JSON.stringify(field.default);
      facts.set(at, { type: textOf(field.type), default: fallback, doc: field.doc ?? "" });
      walk(field.type, at);
    }
    walk(part.items, `${path}[]`);
    walk(part.values, `${path}{}`);
    if (typeof part.type === "object") walk(part.type as Json, path);
    if (part.name !== undefined) open.delete(part.name);
  };
  walk(schema, "");
  return facts;
}
