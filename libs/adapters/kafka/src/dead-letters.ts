/**
 * Writes unusable records to dead letter topics, so that none stops a partition and every one can be replayed (G8).
 *
 * `write` resolves only once Kafka has the dead letters: only then may the original be committed or acknowledged.
 *
 * D1. A dead letter has the original bytes, key and headers. Only a value too large for the topic is cut to its first 64 KiB;
 *     headers then give its length and SHA-256.
 * D3. The reason is in Kafka Connect's headers, `__connect.errors.*`, which existing tools read. */
import { createHash } from "node:crypto";
import { dlqOf } from "@tributary/contracts";
import { reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { deadLettered } from "./events.ts";
import type { OutRecord, Position, RecordSink } from "./ports.ts";
import { RECORD_BYTES_MAX } from "./tributary-topics.ts";

export type DeadLetter = {
  /** The topic it was read from or meant for, without prefix. */
  readonly topic: string;
  /** Where it was read; absent when it never reached Kafka. */
  readonly partition?: number;
  readonly offset?: bigint;
  readonly key: string | null;
  readonly value: Uint8Array | null;
  /** Length and digest of the whole value, if `value` is only its beginning. */
  readonly whole?: Whole | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Stable, e.g. a ContractError's code. */
  readonly code: string;
  readonly message: string;
};

export type Whole = { readonly bytes: number; readonly sha256: string };

export type DeadLettersOptions = {
  readonly sink: RecordSink;
  /** The consumer group, or "bridge". */
  readonly group: string;
  readonly telemetry?: Telemetry;
  /** Largest value kept whole. */
  readonly wholeBytesMax?: number;
};

/** Bytes kept of a value that is too large. */
export const CUT_BYTES = 64 * 1024;
const HEADERS_ROOM_BYTES = 64 * 1024;
const ERRORS = "__connect.errors.";
const REASON_CHARS_MAX = 2_000;

export class DeadLetters {
  readonly #sink: RecordSink;
  readonly #group: string;
  readonly #telemetry: Telemetry | undefined;
  readonly #wholeBytesMax: number;

  constructor(options: DeadLettersOptions) {
    this.#sink = options.sink;
    this.#group = options.group;
    this.#telemetry = options.telemetry;
    this.#wholeBytesMax = options.wholeBytesMax ?? RECORD_BYTES_MAX - HEADERS_ROOM_BYTES;
  }

  async write(letters: readonly DeadLetter[]): Promise<readonly Position[]> {
    const positions = await this.#sink.send(
      letters.map((letter) => deadLetterRecord(letter, this.#group, this.#wholeBytesMax)),
    );
    for (const { topic, code, key, message, headers } of letters) {
      const traceparent = headers?.traceparent;
      this.#telemetry?.emit(deadLettered, { topic, code, key: key ?? "", reason: message, traceparent });
    }
    return positions;
  }
}

export function deadLetterRecord(letter: DeadLetter, group: string, wholeBytesMax: number): OutRecord {
  const { topic, key, code } = letter;
  const value = letter.value === null ? null : asBuffer(letter.value);
  const isCut = value !== null && value.length > wholeBytesMax;
  const whole = letter.whole ?? (isCut ? wholeOf(value) : undefined);
  return {
    topic: dlqOf(topic, group),
    key: key ?? "",
    value: isCut ? value.subarray(0, CUT_BYTES) : value,
    headers: {
      ...letter.headers,
      [`${ERRORS}topic`]: topic,
      ...(letter.partition !== undefined && { [`${ERRORS}partition`]: String(letter.partition) }),
      ...(letter.offset !== undefined && { [`${ERRORS}offset`]: String(letter.offset) }),
      [`${ERRORS}connector.name`]: group,
      [`${ERRORS}exception.class.name`]: code,
      [`${ERRORS}exception.message`]: letter.message.slice(0, REASON_CHARS_MAX),
      ...(whole && {
        [`${ERRORS}value.length`]: String(whole.bytes),
        [`${ERRORS}value.sha256`]: whole.sha256,
      }),
    },
  };
}

const wholeOf = (value: Buffer): Whole => ({
  bytes: value.length,
  sha256: createHash("sha256").update(value).digest("hex"),
});

/** The stable code of anything thrown: Failures and ContractErrors have one. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "unexpected-error";
}

/** A dead letter of a record as it was read. */
export const letterOf = (
  record: Pick<DeadLetter, "topic" | "partition" | "offset" | "key" | "value" | "headers">,
  error: unknown,
): DeadLetter => ({
  topic: record.topic,
  ...(record.partition !== undefined && { partition: record.partition }),
  ...(record.offset !== undefined && { offset: record.offset }),
  key: record.key,
  value: record.value,
  ...(record.headers && { headers: record.headers }),
  code: codeOf(error),
  message: reasonOf(error),
});

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
