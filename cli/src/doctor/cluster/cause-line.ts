/** The line of a log that has the cause for which its process ended: of our services' JSON lines the last error's message, of others an error, else the last. */
import { redactedText } from "../redact.ts";

const LINE_CHARS_MAX = 300;
const NOISE = /^(Node\.js v|\s+at |[\s{}()[\]^]*$)/;

export function causeLine(log: string): string | undefined {
  const lines = log.split("\n").filter((line) => !NOISE.test(line));
  const errors = lines.flatMap((line) => errorOf(line) ?? []);
  const line =
    errors.at(-1) ?? lines.findLast((one) => /^\w*(Error|Exception|Failure)\b|error:/i.test(one)) ?? lines.at(-1);
  return line === undefined ? undefined : redactedText(line.trim()).slice(0, LINE_CHARS_MAX);
}

function errorOf(line: string): string | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
    return (level === "error" || level === "fatal") && typeof msg === "string" ? msg : undefined;
  } catch {
    return undefined;
  }
}
