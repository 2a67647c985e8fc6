/** Prints one dead letter in full. */
import { ContractError, openConfluent, openSingleObject, type Topic } from "@tributary/contracts";
import type { Output } from "../output.ts";
import { ERRORS, type Letter, sourceTopicOf } from "./letter.ts";
import { judgeReplay } from "./replay.ts";

const BYTES_SHOWN = 256;
const TEXT_SHOWN = 400;

export function showLetter(letter: Letter, output: Output): void {
  const { record, ...plain } = letter;
  const headers = Object.fromEntries(Object.entries(record.headers).filter(([name]) => !name.startsWith(ERRORS)));
  const content = contentOf(letter);
  const verdict = judgeReplay(letter, false);
  const canReplay = verdict.kind === "replay" ? "yes" : `no: ${verdict.why} (${verdict.code})`;
  const value = { value: record.value?.toString("base64") ?? null, valueEncoding: "base64" };
  output.one({ ...plain, headers, ...content, canReplay, ...value }, letter.id, () => {
    output.pairs([
      ["Letter", letter.id],
      ["Came from", letter.sourcePosition ?? `${letter.source}, before Kafka`],
      ["Written by", `${letter.group}, ${letter.at}`],
      ["Why", `${letter.message} (${letter.code})`],
      ["Key", letter.key],
      ["Bytes", letter.cut ? `${letter.bytes}, of which ${record.value?.length ?? 0} are kept` : letter.bytes],
      ["Framing", content.framing],
      ["Can be replayed", canReplay],
    ]);
    output.line();
    output.line(output.style("bold", "Headers"));
    output.pairs(Object.entries(headers), "  ");
    output.line();
    if (content.record === null) {
      output.line(output.style("bold", `Bytes, the first ${BYTES_SHOWN}`));
      output.line(`  ${record.value?.subarray(0, BYTES_SHOWN).toString("hex") ?? "none"}`);
      return;
    }
    output.line(output.style("bold", "Record"));
    output.pairs(
      Object.entries(content.record).map(([name, field]) => [name, clipped(field)] as const),
      "  ",
    );
  });
}

type Content = { readonly framing: string; readonly record: Record<string, unknown> | null };

function contentOf({ source, record: { value } }: Letter): Content {
  const topic = sourceTopicOf(source) as Topic | undefined;
  if (value === null || value.length === 0) return { framing: "no bytes", record: null };
  const isConfluent = opens(openConfluent, value);
  const isSingleObject = opens(openSingleObject, value);
  const framing = isConfluent
    ? `Confluent, schema id ${openConfluent(value).id}`
    : isSingleObject
      ? `Avro single object, fingerprint ${openSingleObject(value).fingerprint}`
      : "neither Confluent's nor Avro's";
  if (topic === undefined || !(isConfluent || isSingleObject)) return { framing, record: null };
  try {
    const decoded = isConfluent ? topic.codec.decodeConfluent(value) : topic.codec.decodeSingleObject(value);
    return { framing, record: topic.codec.toJson(decoded) as Record<string, unknown> };
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return { framing: `${framing}, not readable: ${error.message}`, record: null };
  }
}

function opens(open: (bytes: Uint8Array) => unknown, bytes: Uint8Array): boolean {
  try {
    open(bytes);
    return true;
  } catch {
    return false;
  }
}

function clipped(value: unknown): unknown {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > TEXT_SHOWN ? `${text.slice(0, TEXT_SHOWN)}… (${text.length} characters)` : value;
}
