/** Confluent's registry protocol in memory, as its documentation has it, with the faults that tests ask for. */
import { fingerprintOf } from "@tributary/contracts";

type Schema = { readonly id: number; readonly text: string };

export class StubSchemaRegistry {
  readonly subjects = new Map<string, Schema[]>();
  readonly levels = new Map<string, string>();
  readonly calls: string[] = [];
  /** Answers of the next calls, in order; without one, it answers normally. */
  readonly faults: ((() => Response | Promise<Response>) | undefined)[] = [];
  #nextId: number;

  constructor(firstId = 100) {
    this.#nextId = firstId;
  }

  put(subject: string, schema: unknown): number {
    const text = JSON.stringify(schema);
    const same = [...this.subjects.values()].flat().find((known) => known.text === text);
    const id = same?.id ?? this.#nextId++;
    const versions = this.subjects.get(subject) ?? [];
    if (!versions.some((known) => known.id === id)) versions.push({ id, text });
    this.subjects.set(subject, versions);
    return id;
  }

  readonly fetch = (async (url: string, init: RequestInit = {}) => {
    const { pathname } = new URL(url);
    this.calls.push(`${init.method} ${pathname}`);
    const fault = this.faults.shift();
    if (fault !== undefined) return fault();
    const [kind, name = "", ...rest] = pathname.slice(1).split("/").map(decodeURIComponent);
    if (kind === "config") {
      this.levels.set(name, JSON.parse(String(init.body)).compatibility);
      return json(200, { compatibility: "FULL_TRANSITIVE" });
    }
    if (kind === "schemas") {
      const found = [...this.subjects.values()].flat().find(({ id }) => id === Number(rest[0]));
      return found ? json(200, { schema: found.text }) : json(404, { error_code: 40403, message: "Schema not found" });
    }
    const versions = this.subjects.get(name);
    if (init.method === "POST")
      return json(200, { id: this.put(name, JSON.parse(JSON.parse(String(init.body)).schema)) });
    if (versions === undefined) return json(404, { error_code: 40401, message: `Subject '${name}' not found.` });
    if (rest[1] === undefined)
      return json(
        200,
        versions.map((_, i) => i + 1),
      );
    const version = versions[Number(rest[1]) - 1];
    if (version === undefined) return json(404, { error_code: 40402, message: "Version not found." });
    return json(200, { subject: name, version: Number(rest[1]), id: version.id, schema: version.text });
  }) as typeof fetch;
}

export const json = (status: number, body: unknown): Response => new Response(JSON.stringify(body), { status });

/** What the registry has for a schema, whatever its id. */
export const hasSchema = (stub: StubSchemaRegistry, subject: string, schema: unknown): boolean =>
  (stub.subjects.get(subject) ?? []).some(({ text }) => fingerprintOf(JSON.parse(text)) === fingerprintOf(schema));
