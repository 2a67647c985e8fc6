/**
 * Confluent's schema registry, read only, as data: what the gateway serves is what the codecs were generated from.
 *
 * A subject is `<topic>-value`. Topics that share a record share its ids, as with a real registry.
 */
import { type SchemaVersion, type Topic, topics } from "@tributary/contracts";
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
export const REGISTRY_ERRORS = {
  "registry-subject-unknown": { errorCode: 40401, status: 404 },
  "registry-version-unknown": { errorCode: 40402, status: 404 },
  "registry-schema-unknown": { errorCode: 40403, status: 404 },
  "registry-version-malformed": { errorCode: 42202, status: 422 },
} as const;
export type RegistryErrorCode = keyof typeof REGISTRY_ERRORS;

export class RegistryError extends Failure {
  declare readonly code: RegistryErrorCode;

  constructor(code: RegistryErrorCode, message: string) {
    super(code, "give-up", message);
    this.name = "RegistryError";
  }

  get errorCode(): number {
    return REGISTRY_ERRORS[this.code].errorCode;
  }

  get status(): number {
    return REGISTRY_ERRORS[this.code].status;
  }
}

export type Registry = {
  /** GET /subjects */
  subjects(): readonly string[];
  /** GET /schemas/ids/{id} */
  schemaById(id: number): Schema;
  /** GET /schemas/ids/{id}/versions */
  versionsOfSchema(id: number): readonly { readonly subject: string; readonly version: number }[];
  /** GET /subjects/{subject}/versions */
  subjectVersions(subject: string): readonly number[];
  /** GET /subjects/{subject}/versions/{version}; a number, its text, or "latest" (also "-1"). */
  subjectVersion(subject: string, version: string | number): SubjectVersion;
};

const subjectOf = (topicName: string): string => `${topicName}-value`;

/** The ids that stand in Kafka where the deployment's registry is another. */
export type RegistryIds = { idOf(topicName: string, ours: number): number };

/** `prefix` is the deployment's: subjects are named after the topics as Kafka has them. */
export function registryOf(prefix: string, ids?: RegistryIds): Registry {
  const bySubject = new Map<string, Topic>(
    Object.values(topics).map((topic) => [subjectOf(prefix + topic.name), topic as Topic]),
  );
  const versionsIn = (topic: Topic): readonly SchemaVersion[] =>
    ids === undefined
      ? topic.codec.versions
      : topic.codec.versions.map((version) => ({ ...version, id: ids.idOf(topic.name, version.id) }));
  const versionsOf = (subject: string): readonly SchemaVersion[] => {
    const topic = bySubject.get(subject);
    if (topic === undefined) throw new RegistryError("registry-subject-unknown", `Subject '${subject}' not found.`);
    return versionsIn(topic);
  };
  const textOf = (version: SchemaVersion): string => JSON.stringify(version.schema);

  return {
    subjects: () => [...bySubject.keys()].sort(),
    schemaById(id) {
      const found = [...bySubject.values()].flatMap(versionsIn).find((version) => version.id === id);
      if (found === undefined) throw new RegistryError("registry-schema-unknown", `Schema ${id} not found`);
      return { schema: textOf(found) };
    },
    versionsOfSchema(id) {
      const found = [...bySubject].flatMap(([subject, topic]) =>
        versionsIn(topic)
          .filter((version) => version.id === id)
          .map(({ version }) => ({ subject, version })),
      );
      if (found.length === 0) throw new RegistryError("registry-schema-unknown", `Schema ${id} not found`);
      return found;
    },
    subjectVersions: (subject) => versionsOf(subject).map(({ version }) => version),
    subjectVersion(subject, wanted) {
      const versions = versionsOf(subject);
      const text = String(wanted);
      const isLatest = text === "latest" || text === "-1";
      if (!isLatest && !/^[1-9]\d{0,8}$/.test(text)) {
        const what = `The specified version '${text}' is not a valid version id: expected 1 or more, or "latest"`;
        throw new RegistryError("registry-version-malformed", what);
      }
      const found = isLatest ? versions.at(-1) : versions.find(({ version }) => version === Number(text));
      if (found === undefined) throw new RegistryError("registry-version-unknown", `Version ${text} not found.`);
      return { subject, version: found.version, id: found.id, schema: textOf(found) };
    },
  };
}
