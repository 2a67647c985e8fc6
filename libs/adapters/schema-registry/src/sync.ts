/**
 * Registers the contract's schemas in a schema registry, and finds which id it has for each of our schema versions.
 *
 * Every version in a subject must be readable with every version of ours and the other way round (FULL_TRANSITIVE), whatever
 * compatibility the registry is set to check. All conflicts are reported at once, and nothing is registered while there is one.
 * Schemas are equal when their canonical forms are; of several the one with the same text is taken, if there is one. When it
 * registers, it never takes one with the text of another version: a service that starts between two registrations would take
 * the first for both. Services that start at the same time register the same: a refused one checks whether another did it. */
import { isDeepStrictEqual } from "node:util";
import { assertReadable, fingerprintOf, type SchemaVersion, type Topic } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import {
  type Registered,
  SCHEMA_REGISTRY_CONFLICT,
  SCHEMA_REGISTRY_REFUSED,
  type SchemaRegistryClient,
} from "./client.ts";

/** The registry's id by ours. */
export type TopicIds = ReadonlyMap<number, number>;

export type SyncOptions = {
  readonly client: SchemaRegistryClient;
  readonly prefix: string;
  readonly topics: readonly Pick<Topic, "name" | "codec">[];
  readonly autoRegister: boolean;
  readonly onRegistered?: (subject: string, id: number) => void;
};

const VERSIONS_MAX = 200;

type Plan = {
  readonly topic: SyncOptions["topics"][number];
  readonly subject: string;
  readonly there: readonly Registered[];
};

export const SCHEMA_MISSING = "schema-registry-schema-missing";

/** Ids by topic name, without the prefix. */
export async function syncSubjects(options: SyncOptions): Promise<ReadonlyMap<string, TopicIds>> {
  const { client, topics, prefix, autoRegister } = options;
  const plans: Plan[] = [];
  for (const topic of topics) {
    const subject = `${prefix}${topic.name}-value`;
    plans.push({ topic, subject, there: await versionsIn(client, subject) });
  }
  const conflicts = plans.flatMap(conflictsOf);
  if (conflicts.length > 0) {
    throw new Failure(
      SCHEMA_REGISTRY_CONFLICT,
      "ask-a-person",
      `${client.url} has other schemas: ${conflicts.join("; ")}`,
    );
  }
  const missing = plans.flatMap(({ topic, subject, there }) =>
    missingOf(topic.codec.versions, there, autoRegister).map(() => subject),
  );
  if (missing.length > 0 && !autoRegister) {
    const what = `${client.url} lacks schemas of ${[...new Set(missing)].join(", ")}; register them, or set schemaRegistry.autoRegister`;
    throw new Failure(SCHEMA_MISSING, "ask-a-person", what);
  }
  const ids = new Map<string, TopicIds>();
  for (const plan of plans) ids.set(plan.topic.name, await registered(plan, options));
  return ids;
}

async function registered({ topic, subject, there }: Plan, options: SyncOptions): Promise<TopicIds> {
  const { client, onRegistered, autoRegister } = options;
  const ids = new Map<number, number>();
  const missing = new Set(missingOf(topic.codec.versions, there, autoRegister));
  for (const version of topic.codec.versions) {
    if (missing.has(version)) {
      const id = await register(client, subject, version);
      onRegistered?.(subject, id);
      ids.set(version.id, id);
    } else {
      ids.set(version.id, idOf(version, there) as number);
    }
  }
  if (missing.size > 0 && there.length === 0) {
    // It may lack the permission, and another service may be setting it; compatibility is checked at every start anyway.
    await client.requireFullTransitive(subject).catch(unlessRefused);
  }
  return ids;
}

/** All services start at once, and registries answer a second registration in different ways. */
async function register(client: SchemaRegistryClient, subject: string, version: SchemaVersion): Promise<number> {
  try {
    return await client.register(subject, version.schema);
  } catch (error) {
    unlessRefused(error);
    const id = idOf(version, await versionsIn(client, subject));
    if (id === undefined) throw error;
    return id;
  }
}

function unlessRefused(error: unknown): void {
  if (error instanceof Failure && (error.code === SCHEMA_REGISTRY_REFUSED || error.code === SCHEMA_REGISTRY_CONFLICT))
    return;
  throw error;
}

async function versionsIn(client: SchemaRegistryClient, subject: string): Promise<readonly Registered[]> {
  const versions = (await client.versionsOf(subject)) ?? [];
  const there: Registered[] = [];
  // The newest ones, if there are too many.
  for (const version of versions.slice(-VERSIONS_MAX)) there.push(await client.version(subject, version));
  return there;
}

/** `others`: our versions whose text is not meant. */
const idOf = (
  version: SchemaVersion,
  there: readonly Registered[],
  others: readonly SchemaVersion[] = [],
): number | undefined =>
  (
    there.find(({ schema }) => isDeepStrictEqual(schema, version.schema)) ??
    there.find(
      ({ schema }) => isSame(version, schema) && !others.some((other) => isDeepStrictEqual(other.schema, schema)),
    )
  )?.id;

const missingOf = (
  versions: readonly SchemaVersion[],
  there: readonly Registered[],
  autoRegister: boolean,
): readonly SchemaVersion[] =>
  versions.filter((version) => idOf(version, there, autoRegister ? versions : []) === undefined);

function isSame(version: SchemaVersion, schema: unknown): boolean {
  try {
    return fingerprintOf(schema) === version.fingerprint;
  } catch {
    return false;
  }
}

function conflictsOf({ topic, subject, there }: Plan): readonly string[] {
  return there.flatMap(({ version, id, schema }) => {
    for (const ours of topic.codec.versions) {
      if (isSame(ours, schema)) continue;
      const reason = unreadable(ours.schema, schema) ?? unreadable(schema, ours.schema);
      if (reason !== undefined) return [`${subject} version ${version} (id ${id}): ${reason}`];
    }
    return [];
  });
}

function unreadable(reader: unknown, writer: unknown): string | undefined {
  try {
    assertReadable(reader, writer);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}
