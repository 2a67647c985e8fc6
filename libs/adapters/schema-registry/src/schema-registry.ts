/**
 * Confluent's schema registry, read only, as data: the gateway serves the schemas from which the codecs were generated.
 *
 * A subject is `<topic>-value`. Topics that share a record share its ids, as with a real registry. It answers as Confluent's
 * does in mode READONLY: existing schemas are found, also by a request to register one, and nothing changes.
 */
import { isDeepStrictEqual } from "node:util";
import { fingerprintOf, type SchemaVersion, type Topic, topics } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";

export type Schema = { readonly schema: string };
export type SubjectVersion = {
  readonly subject: string;
  readonly version: number;
  readonly id: number;
  /** The schema as JSON text. */
  readonly schema: string;
};

/** Confluent's numeric error codes, and the HTTP status that goes with each. */
export const SCHEMA_REGISTRY_ERRORS = {
  "registry-subject-unknown": { errorCode: 40401, status: 404 },
  "registry-version-unknown": { errorCode: 40402, status: 404 },
  "registry-schema-unknown": { errorCode: 40403, status: 404 },
  "registry-config-unknown": { errorCode: 40408, status: 404 },
  "registry-mode-unknown": { errorCode: 40409, status: 404 },
  "registry-schema-invalid": { errorCode: 42201, status: 422 },
  "registry-version-malformed": { errorCode: 42202, status: 422 },
  "registry-read-only": { errorCode: 42205, status: 422 },
} as const;
export type SchemaRegistryErrorCode = keyof typeof SCHEMA_REGISTRY_ERRORS;

export class SchemaRegistryError extends Failure {
  declare readonly code: SchemaRegistryErrorCode;

  constructor(code: SchemaRegistryErrorCode, message: string) {
    super(code, "give-up", message);
    this.name = "SchemaRegistryError";
  }

  get errorCode(): number {
    return SCHEMA_REGISTRY_ERRORS[this.code].errorCode;
  }

  get status(): number {
    return SCHEMA_REGISTRY_ERRORS[this.code].status;
  }
}

export type SchemaRegistry = {
  /** GET /subjects */
  subjects(prefix?: string): readonly string[];
  /** GET /schemas */
  schemas(prefix?: string, latestOnly?: boolean): readonly SubjectVersion[];
  /** GET /schemas/ids/{id} */
  schemaById(id: number): Schema;
  /** GET /schemas/ids/{id}/versions */
  versionsOfSchema(id: number): readonly { readonly subject: string; readonly version: number }[];
  /** GET /schemas/ids/{id}/subjects */
  subjectsOfSchema(id: number): readonly string[];
  /** GET /subjects/{subject}/versions */
  subjectVersions(subject: string): readonly number[];
  /** GET /subjects/{subject}/versions/{version}; a number, its text, or "latest" (also "-1"). */
  subjectVersion(subject: string, version: string | number): SubjectVersion;
  /** POST /subjects/{subject} with `{schema}`: the version of this text, else the first of the same canonical form. */
  lookUp(subject: string, body: unknown): SubjectVersion;
  /** POST /subjects/{subject}/versions: the id of a schema that is there; another is refused. */
  register(subject: string, body: unknown): { readonly id: number };
  /** GET /config, /config/{subject} */
  config(subject: string | undefined, orGlobal: boolean): { readonly compatibilityLevel: string };
  /** GET /mode, /mode/{subject} */
  mode(subject: string | undefined, orGlobal: boolean): { readonly mode: string };
  /** All requests that would change it. */
  refuseChange(subject?: string): never;
};

/** The compatibility that every landed schema must have (libs/contracts, history.ts). */
const COMPATIBILITY = "FULL_TRANSITIVE";
/** Confluent's `subjectPrefix` for all subjects of all contexts. */
const ANY_SUBJECT = ":*:";

const subjectOf = (topicName: string): string => `${topicName}-value`;

/** The ids in Kafka, if the deployment uses another registry. */
export type SchemaRegistryIds = { idOf(topicName: string, ours: number): number };

/** `prefix` is the deployment's: subjects are named after the topics as Kafka has them. */
export function schemaRegistryOf(prefix: string, ids?: SchemaRegistryIds): SchemaRegistry {
  const bySubject = new Map<string, Topic>(
    Object.values(topics).map((topic) => [subjectOf(prefix + topic.name), topic as Topic]),
  );
  const versionsIn = (topic: Topic): readonly SchemaVersion[] =>
    ids === undefined
      ? topic.codec.versions
      : topic.codec.versions.map((version) => ({ ...version, id: ids.idOf(topic.name, version.id) }));
  const versionsOf = (subject: string): readonly SchemaVersion[] => {
    const topic = bySubject.get(subject);
    if (topic === undefined)
      throw new SchemaRegistryError("registry-subject-unknown", `Subject '${subject}' not found.`);
    return versionsIn(topic);
  };
  const textOf = (version: SchemaVersion): string => JSON.stringify(version.schema);

  const subjects = (prefix = ANY_SUBJECT) =>
    [...bySubject.keys()].filter((subject) => prefix === ANY_SUBJECT || subject.startsWith(prefix)).sort();
  const asVersion = (subject: string, version: SchemaVersion): SubjectVersion => ({
    subject,
    version: version.version,
    id: version.id,
    schema: textOf(version),
  });
  const lookUp = (subject: string, body: unknown): SubjectVersion =>
    asVersion(subject, versionWithSchema(versionsOf(subject), body));

  return {
    subjects,
    schemas: (prefix, latestOnly = false) =>
      subjects(prefix).flatMap((subject) =>
        versionsOf(subject)
          .slice(latestOnly ? -1 : 0)
          .map((version) => asVersion(subject, version)),
      ),
    schemaById(id) {
      const found = [...bySubject.values()].flatMap(versionsIn).find((version) => version.id === id);
      if (found === undefined) throw new SchemaRegistryError("registry-schema-unknown", `Schema ${id} not found`);
      return { schema: textOf(found) };
    },
    subjectsOfSchema(id) {
      return this.versionsOfSchema(id).map(({ subject }) => subject);
    },
    versionsOfSchema(id) {
      const found = [...bySubject].flatMap(([subject, topic]) =>
        versionsIn(topic)
          .filter((version) => version.id === id)
          .map(({ version }) => ({ subject, version })),
      );
      if (found.length === 0) throw new SchemaRegistryError("registry-schema-unknown", `Schema ${id} not found`);
      return found;
    },
    subjectVersions: (subject) => versionsOf(subject).map(({ version }) => version),
    subjectVersion: (subject, wanted) => asVersion(subject, pick(versionsOf(subject), String(wanted))),
    lookUp,
    register(subject, body) {
      try {
        return { id: lookUp(subject, body).id };
      } catch (error) {
        if (error instanceof SchemaRegistryError && error.status === 404) return refuseChange(subject);
        throw error;
      }
    },
    config(subject, orGlobal) {
      if (!(subject === undefined || orGlobal || bySubject.has(subject))) throw notConfigured(subject, "compatibility");
      return { compatibilityLevel: COMPATIBILITY };
    },
    mode(subject, orGlobal) {
      if (!(subject === undefined || orGlobal || bySubject.has(subject))) throw notConfigured(subject, "mode");
      return { mode: "READONLY" };
    },
    refuseChange,
  };
}

function versionWithSchema(versions: readonly SchemaVersion[], body: unknown): SchemaVersion {
  const { schema, fingerprint } = schemaIn(body);
  const found =
    versions.find((version) => isDeepStrictEqual(version.schema, schema)) ??
    versions.find((version) => version.fingerprint === fingerprint);
  if (found === undefined) throw new SchemaRegistryError("registry-schema-unknown", "Schema not found");
  return found;
}

function refuseChange(subject?: string): never {
  const what = subject === undefined ? "The registry" : `Subject ${subject}`;
  throw new SchemaRegistryError(
    "registry-read-only",
    `${what} is in read-only mode: schemas come with Tributary's build`,
  );
}

function pick(versions: readonly SchemaVersion[], wanted: string): SchemaVersion {
  const isLatest = wanted === "latest" || wanted === "-1";
  if (!isLatest && !/^[1-9]\d{0,8}$/.test(wanted)) {
    const what = `The specified version '${wanted}' is not a valid version id: expected 1 or more, or "latest"`;
    throw new SchemaRegistryError("registry-version-malformed", what);
  }
  const found = isLatest ? versions.at(-1) : versions.find(({ version }) => version === Number(wanted));
  if (found === undefined) throw new SchemaRegistryError("registry-version-unknown", `Version ${wanted} not found.`);
  return found;
}

const notConfigured = (subject: string, what: "compatibility" | "mode"): SchemaRegistryError => {
  const code = what === "mode" ? "registry-mode-unknown" : "registry-config-unknown";
  return new SchemaRegistryError(code, `Subject '${subject}' does not have subject-level ${what} configured`);
};

/** The schema of a request's `{schema: TEXT}`. */
function schemaIn(body: unknown): { readonly schema: unknown; readonly fingerprint: string } {
  const { schema: text, schemaType = "AVRO" } = (body ?? {}) as { schema?: unknown; schemaType?: unknown };
  if (schemaType !== "AVRO") {
    throw new SchemaRegistryError("registry-schema-invalid", `Invalid schema type ${clip(schemaType)}: expected AVRO`);
  }
  if (typeof text !== "string") throw new SchemaRegistryError("registry-schema-invalid", "Empty schema");
  try {
    const schema: unknown = JSON.parse(text);
    return { schema, fingerprint: fingerprintOf(schema) };
  } catch {
    throw new SchemaRegistryError(
      "registry-schema-invalid",
      `Invalid schema ${clip(text)}: it is no Avro schema in JSON`,
    );
  }
}

const clip = (value: unknown): string => JSON.stringify(value)?.slice(0, 100) ?? "";
