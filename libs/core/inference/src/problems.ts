/** Reads untrusted JSON and names every wrong key at once, so that a package can be corrected in one go. */
import { Failure } from "@tributary/kernel";

export type JsonObject = { readonly [key: string]: unknown };

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export class Problems {
  readonly found: string[] = [];

  report(key: string, expected: string, value: unknown): void {
    this.found.push(`${key}: expected ${expected}, got ${shown(value)}`);
  }

  /** Reports each key of `object` that is not in `known`. */
  unknownKeys(object: JsonObject, known: readonly string[], path = ""): void {
    for (const key of Object.keys(object)) {
      if (!known.includes(key)) this.found.push(`${path}${key}: unknown key`);
    }
  }

  text(object: JsonObject, key: string, path = "", lengthMax = 256): string {
    const value = object[key];
    if (typeof value === "string" && value.length > 0 && value.length <= lengthMax) return value;
    this.report(path + key, `a text of 1 to ${lengthMax} characters`, value);
    return "";
  }

  number(object: JsonObject, key: string, within: { min: number; max: number; whole?: boolean }, path = ""): number {
    const value = object[key];
    const isGood =
      typeof value === "number" &&
      value >= within.min &&
      value <= within.max &&
      (!within.whole || Number.isInteger(value));
    if (isGood) return value;
    this.report(path + key, `${within.whole ? "a whole number" : "a number"} in [${within.min}, ${within.max}]`, value);
    return within.min;
  }

  numbers(object: JsonObject, key: string, length: number, path = ""): readonly number[] {
    const value = object[key];
    if (isNumbers(value) && value.length === length) return value;
    this.report(path + key, `${length} finite number(s)`, value);
    return new Array<number>(length).fill(0);
  }

  oneOf<T extends string | number>(object: JsonObject, key: string, allowed: readonly T[], path = ""): T {
    const value = object[key];
    const match = allowed.find((candidate) => candidate === value);
    if (match !== undefined) return match;
    this.report(path + key, `one of ${allowed.join(", ")}`, value);
    return allowed[0] as T;
  }

  object(object: JsonObject, key: string, path = ""): JsonObject {
    const value = object[key];
    if (isJsonObject(value)) return value;
    this.report(path + key, "an object", value);
    return {};
  }

  /** Throws when anything was reported. */
  throwAs(code: string, document: string): void {
    if (this.found.length > 0) throw new Failure(code, "give-up", `${document}: ${this.found.join("; ")}`);
  }
}

export const isNumbers = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => typeof item === "number" && Number.isFinite(item));

/** Starts reading a document that must be an object. */
export function objectOr(value: unknown, code: string, document: string): JsonObject {
  if (isJsonObject(value)) return value;
  throw new Failure(code, "give-up", `${document}: expected an object, got ${shown(value)}`);
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
