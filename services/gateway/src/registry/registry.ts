/** Confluent's schema registry, read only: every landed version of every topic's schema, by the names clients ask for. */
import { type SchemaVersion, topics } from "@tributary/contracts";

export const REGISTRY_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";

/** Confluent's error body; clients decide by `error_code`. */
export class RegistryError extends Error {
  readonly status: number;
  readonly body: { readonly error_code: number; readonly message: string };

  constructor(errorCode: number, message: string) {
    super(message);
    this.name = "RegistryError";
    this.status = Math.floor(errorCode / 100);
    this.body = { error_code: errorCode, message };
  }
}

const subjectNotFound = (subject: string) => new RegistryError(40401, `Subject '${subject}' not found.`);
const versionNotFound = (version: string) => new RegistryError(40402, `Version ${version} not found.`);
const schemaNotFound = (id: string) => new RegistryError(40403, `Schema ${id} not found`);
const versionInvalid = (version: string) =>
  new RegistryError(
    42202,
    `The specified version '${version}' is not a valid version id. Allowed values are 1 to 2^31-1 and "latest".`,
  );

export class SchemaRegistry {
  readonly #subjects: ReadonlyMap<string, readonly SchemaVersion[]>;

  /** Subjects carry the deployment's topic prefix, as the topics do. */
  constructor(prefix: string) {
    this.#subjects = new Map(
      Object.values(topics).map((topic) => [`${prefix}${topic.name}-value`, topic.codec.versions] as const),
    );
  }

  subjects(): string[] {
    return [...this.#subjects.keys()].sort();
  }

  versions(subject: string): number[] {
    return this.#versionsOf(subject).map((version) => version.version);
  }

  version(subject: string, wanted: string): { subject: string; version: number; id: number; schema: string } {
    const versions = this.#versionsOf(subject);
    if (wanted !== "latest" && wanted !== "-1" && !/^[1-9]\d{0,9}$/.test(wanted)) throw versionInvalid(wanted);
    const found = /^(latest|-1)$/.test(wanted) ? versions.at(-1) : versions.find((v) => v.version === Number(wanted));
    if (found === undefined) throw versionNotFound(wanted);
    return { subject, version: found.version, id: found.id, schema: JSON.stringify(found.schema) };
  }

  schema(id: string): { schema: string } {
    return { schema: JSON.stringify(this.#byId(id)[0].schema) };
  }

  usesOf(id: string): { subject: string; version: number }[] {
    return this.#byId(id).map(({ subject, version }) => ({ subject, version }));
  }

  #versionsOf(subject: string): readonly SchemaVersion[] {
    const versions = this.#subjects.get(subject);
    if (versions === undefined) throw subjectNotFound(subject);
    return versions;
  }

  #byId(id: string): [SchemaVersion & { subject: string }, ...(SchemaVersion & { subject: string })[]] {
    const [first, ...rest] = [...this.#subjects].flatMap(([subject, versions]) =>
      versions.filter((version) => `${version.id}` === id).map((version) => ({ ...version, subject })),
    );
    if (first === undefined) throw schemaNotFound(id);
    return [first, ...rest];
  }
}
