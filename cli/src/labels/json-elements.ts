/**
 * The elements of one JSON array, as they come: an export of any size is never held whole.
 *
 * J1. Elements are separated by brackets and strings alone; their reader parses each as JSON, so a malformed one does not
 *     affect those after it as long as its brackets match.
 * J2. An element holds at most `ELEMENT_CHARS_MAX` characters.
 */
export type JsonElement = { readonly line: number; readonly text: string };

const ELEMENT_CHARS_MAX = 16 * 1024 * 1024;

export class JsonArrayBroken extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.name = "JsonArrayBroken";
    this.line = line;
  }
}

export class JsonElements {
  #state: "before" | "inside" | "after" = "before";
  #depth = 0;
  #inString = false;
  #escaped = false;
  #line = 1;
  #element = "";
  #startLine = 1;

  push(text: string): JsonElement[] {
    const found: JsonElement[] = [];
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      const char = text[at] as string;
      if (char === "\n") this.#line++;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (char === "\\") this.#escaped = true;
        else if (char === '"') this.#inString = false;
        continue;
      }
      if (this.#state !== "inside") {
        if (/\s|\uFEFF/.test(char)) continue;
        if (this.#state === "after" || char !== "[") {
          throw new JsonArrayBroken(
            this.#line,
            `"${char}" where ${this.#state === "after" ? "nothing" : "["} is expected`,
          );
        }
        this.#state = "inside";
        from = at + 1;
        this.#startLine = this.#line;
        continue;
      }
      if (char === '"') this.#inString = true;
      else if (char === "{" || char === "[") this.#depth++;
      else if (this.#depth > 0 && (char === "}" || char === "]")) this.#depth--;
      else if (this.#depth === 0 && (char === "," || char === "]")) {
        found.push(...this.#finish(text.slice(from, at)));
        from = at + 1;
        if (char === "]") this.#state = "after";
      }
    }
    if (this.#state === "inside") {
      this.#element += text.slice(from);
      if (this.#element.length > ELEMENT_CHARS_MAX) {
        throw new JsonArrayBroken(this.#startLine, `an element of more than ${ELEMENT_CHARS_MAX} characters`); // J2
      }
    }
    return found;
  }

  end(): void {
    if (this.#state !== "after")
      throw new JsonArrayBroken(this.#startLine, "the array does not end: the file is truncated");
  }

  #finish(rest: string): JsonElement[] {
    const whole = this.#element + rest;
    const text = whole.trim();
    const skipped = whole.slice(0, whole.length - whole.trimStart().length).split("\n").length - 1;
    const line = this.#startLine + skipped;
    this.#element = "";
    this.#startLine = this.#line;
    return text === "" ? [] : [{ line, text }];
  }
}
