/**
 * Removes secrets from files of a bundle.
 *
 * R1. From configuration: the value of every key with the name of a secret, all headers that are sent
 *     with requests, and passwords in URLs.
 * R2. From logs: the same, found in text. A file that is not valid configuration is left out.
 */
import { parse, stringify } from "yaml";

const HIDDEN = "[redacted]";
const SECRET = /pass|secret|token|credential|private|auth|hash|cookie|^headers$|(api|access|session|signing)[-_]?key/i;
const USER_INFO = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi;
const BEARER = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+/g;
/** Quoted, or bare up to a space, comma or brace; the key may end in more letters. */
const PAIR =
  /(["']?)([A-Za-z0-9_.-]*(?:pass|secret|token|credential|private|cookie|api[-_]?key)[A-Za-z0-9_.-]*)\1(\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}&]+)/gi;

/** Throws if it is not YAML, without quoting it. */
export function redactedConfig(text: string): string {
  let value: unknown;
  try {
    value = parse(text, { prettyErrors: false });
  } catch (error) {
    throw new Error(`not YAML: ${String((error as { code?: unknown }).code ?? "unreadable")}`); // R2: the parser quotes the line
  }
  return stringify(hidden(value));
}

function hidden(value: unknown): unknown {
  if (typeof value === "string") return value.replace(USER_INFO, `$1${HIDDEN}@`);
  if (Array.isArray(value)) return value.map(hidden);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, SECRET.test(name) ? HIDDEN : hidden(inner)]),
  ); // R1
}

export const redactedText = (text: string): string =>
  text
    .replace(PAIR, (_all, quote: string, name: string, between: string, value: string) => {
      const mark = /^["']/.exec(value)?.[0] ?? "";
      return `${quote}${name}${quote}${between}${mark}${HIDDEN}${mark}`;
    })
    .replace(BEARER, `$1 ${HIDDEN}`)
    .replace(USER_INFO, `$1${HIDDEN}@`); // R2
