/** Labels of devices on a command line, as kubectl has them: `key=value` sets a label, `key-` removes it. */
import { InvalidArgumentError } from "commander";

type Labels = Readonly<Record<string, string>>;

/** Of an option that is given several times. */
export function labelOption(text: string, before: Labels = {}): Labels {
  const [key, value] = keyAndValue(text);
  if (value === null) throw new InvalidArgumentError("expected KEY=VALUE, e.g. lens=acme-2.");
  return { ...before, [key]: value };
}

/** Of an argument; null removes. */
export function labelArgument(
  text: string,
  before: Readonly<Record<string, string | null>> = {},
): Readonly<Record<string, string | null>> {
  const [key, value] = keyAndValue(text);
  return { ...before, [key]: value };
}

function keyAndValue(text: string): readonly [string, string | null] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  if (at < 0 && text.length > 1 && text.endsWith("-")) return [text.slice(0, -1), null];
  throw new InvalidArgumentError("expected KEY=VALUE, or KEY- to remove a label.");
}

/** `lens=acme-2,rack=7`, by key. */
export const labelWords = (labels: Labels = {}): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
