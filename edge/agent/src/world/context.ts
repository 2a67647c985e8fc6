/**
 * The context of the frames: where and when they are taken, from a file or a program on this device.
 *
 * X1. What is missing, malformed, older than `ageMsMax` or from the future is no context: perception goes on without, and the reason is
 *     reported once. No frame waits for a read.
 */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import type { Context } from "@tributary/world";
import type { AgentConfig } from "../config.ts";
import { textUpTo } from "../text-up-to.ts";

type ContextConfig = NonNullable<AgentConfig["world"]>;

export type ContextState =
  | { readonly context: Context /** As in predictions. */; readonly text: string }
  | { readonly context: null; readonly code: string; readonly reason: string };

const MALFORMED = "context-malformed";
/** In a prediction. */
const TEXT_BYTES_MAX = 512;
const BODY_BYTES_MAX = 8_192;
const READ_MS_MAX = 5_000;
/** Two clocks of one machine's programs. */
const AHEAD_MS_MAX = 1_000;

export class ContextSource {
  readonly #config: ContextConfig;
  readonly #clock: Clock;
  readonly #onChange: (state: ContextState) => void;
  #read: { readonly at: number; readonly fields: Context; readonly text: string } | undefined;
  #failed: { readonly code: string; readonly reason: string } = {
    code: "context-missing",
    reason: "none was read yet",
  };
  #timer: NodeJS.Timeout | undefined;
  #isReading = false;
  #reported = "";

  constructor(config: ContextConfig, clock: Clock, onChange: (state: ContextState) => void) {
    this.#config = config;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  start(): void {
    void this.#look();
    this.#timer = setInterval(() => void this.#look(), this.#config.everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get now(): ContextState {
    if (this.#read === undefined) return { context: null, ...this.#failed };
    const { at, fields, text } = this.#read;
    const ageMs = this.#clock.now() - at;
    if (ageMs <= this.#config.ageMsMax && ageMs >= -AHEAD_MS_MAX) return { context: fields, text };
    const how = ageMs < 0 ? `${-ageMs} ms from now` : `${ageMs} ms old; ${this.#config.ageMsMax} are allowed`;
    return { context: null, code: ageMs < 0 ? "context-from-the-future" : "context-old", reason: `it is ${how}` };
  }

  async #look(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      this.#read = parseContext(await this.#text());
    } catch (error) {
      this.#read = undefined;
      this.#failed = { code: error instanceof Failure ? error.code : "context-missing", reason: reasonOf(error) };
    } finally {
      this.#isReading = false;
    }
    const { now } = this;
    const code = now.context === null ? now.code : "";
    if (code === this.#reported) return;
    this.#reported = code;
    this.#onChange(now);
  }

  async #text(): Promise<string> {
    const { file, url } = this.#config.context;
    if (file !== undefined) return textUpTo(createReadStream(file), BODY_BYTES_MAX, MALFORMED);
    const response = await fetch(url as string, { signal: AbortSignal.timeout(READ_MS_MAX), redirect: "error" });
    if (!response.ok) throw new Failure("context-missing", "retry", `${url} answered ${response.status}`);
    return textUpTo(response.body ?? Readable.from([]), BODY_BYTES_MAX, MALFORMED);
  }
}

/** `at`: ms since 1970, or RFC 3339. Throws Failure. */
export function parseContext(text: string): { readonly at: number; readonly fields: Context; readonly text: string } {
  const malformed = (what: string) => new Failure(MALFORMED, "give-up", what);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw malformed(`not JSON: ${reasonOf(error)}`);
  }
  if (json === null || typeof json !== "object" || Array.isArray(json)) throw malformed("not an object");
  const { at: written, ...fields } = json as Record<string, unknown>;
  const at = typeof written === "number" ? written : typeof written === "string" ? Date.parse(written) : Number.NaN;
  if (!Number.isFinite(at)) throw malformed("at: expected ms since 1970, or a time as 2026-11-29T14:00:00Z");
  for (const [name, value] of Object.entries(fields)) {
    const isGood = typeof value === "string" || (typeof value === "number" && Number.isFinite(value));
    if (!isGood) throw malformed(`${name}: expected a text or a number`);
  }
  const sorted = JSON.stringify(Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))));
  if (Buffer.byteLength(sorted) > TEXT_BYTES_MAX) throw malformed(`more than ${TEXT_BYTES_MAX} bytes of values`);
  return { at, fields: fields as Context, text: sorted };
}
