/**
 * Local readers of answers, as server-sent events: `answer` at once, `final` when the cloud's answer arrived, `level` when another one was
 * entered, and the present one first: a reader that comes while SAFE is signalled has to know.
 *
 * The number of readers and each one's buffer are bounded; one that does not read is closed and counted. None slows a frame
 * (G4, G9). */
import type { ServerResponse } from "node:http";
import type { LevelChange } from "./driving/driver.ts";
import type { LocalAnswer } from "./pipeline.ts";

const READERS_MAX = 32;
const READER_BYTES_MAX = 256 << 10;

export class AnswerFeed {
  readonly #readers = new Set<ServerResponse>();
  readonly #latest = new Map<string, LocalAnswer>();
  #level: LevelChange | null = null;
  readonly #onRefused: (code: "reader-too-many" | "reader-too-slow") => void;

  constructor(onRefused: (code: "reader-too-many" | "reader-too-slow") => void) {
    this.#onRefused = onRefused;
  }

  get readers(): number {
    return this.#readers.size;
  }

  latest(): readonly LocalAnswer[] {
    return [...this.#latest.values()];
  }

  answer(answer: LocalAnswer): void {
    this.#latest.set(answer.cameraId, answer);
    this.#send("answer", answer);
  }

  level(change: LevelChange): void {
    this.#level = change;
    this.#send("level", change);
  }

  final(answer: unknown): void {
    this.#send("final", answer);
  }

  /** Takes over the response. */
  read(response: ServerResponse): void {
    if (this.#readers.size >= READERS_MAX) {
      this.#onRefused("reader-too-many");
      response.writeHead(503, { "content-type": "application/json", "retry-after": "5" });
      response.end(JSON.stringify({ error: { code: "reader-too-many", message: `${READERS_MAX} readers at most` } }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(this.#level === null ? ": answers\n\n" : eventOf("level", this.#level));
    this.#readers.add(response);
    response.on("close", () => this.#readers.delete(response));
    response.on("error", () => this.#readers.delete(response));
  }

  close(): void {
    for (const reader of this.#readers) reader.end();
  }

  #send(event: string, payload: unknown): void {
    if (this.#readers.size === 0) return;
    const text = eventOf(event, payload);
    for (const reader of this.#readers) {
      reader.write(text);
      if (reader.writableLength <= READER_BYTES_MAX) continue;
      this.#onRefused("reader-too-slow");
      this.#readers.delete(reader);
      reader.destroy();
    }
  }
}

const eventOf = (event: string, payload: unknown): string => `event: ${event}\ndata: ${JSON.stringify(payload)}\n\n`;
