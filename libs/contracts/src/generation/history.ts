/**
 * What a schema may become: every landed version must read today's and be read by it (FULL_TRANSITIVE), since a device in
 * the field may be as old as the first and a topic keeps what the last one wrote.
 *
 * H1. A landed version never changes and its numbers have no gap.
 * H2. A version keeps its registry id forever; ids are given once, in the order of first sight.
 * H3. A schema that is not landed yet may still change; its id stays.
 */
import type { AvroSchema } from "../bounded.ts";
import { assertReadable, type SchemaVersion } from "../codec.ts";
import { fingerprintOf } from "../fingerprint.ts";

export type LandedVersion = { readonly version: number; readonly schema: AvroSchema };

export type SchemaRegistryLock = {
  readonly nextId: number;
  readonly schemas: Readonly<Record<string, { readonly id: number; readonly fingerprint: string }>>;
};

export const EMPTY_LOCK: SchemaRegistryLock = { nextId: 1, schemas: {} };

export type SchemaHistory = {
  /** Landed versions, then today's when it differs from the last. */
  readonly versions: readonly SchemaVersion[];
  /** The version that landing would add. */
  readonly unlanded: SchemaVersion | undefined;
  readonly lock: SchemaRegistryLock;
  readonly problems: readonly string[];
};

export function historyOf(
  name: string,
  current: AvroSchema,
  landed: readonly LandedVersion[],
  before: SchemaRegistryLock,
): SchemaHistory {
  const problems = [
    ...landed.flatMap(({ version }, i) =>
      version === i + 1
        ? []
        : [`landed/${name}/v${version}.avsc: expected v${i + 1}; versions are numbered without gaps`],
    ),
    ...landed.flatMap(({ version, schema }) => incompatibilities(name, current, version, schema)),
  ];
  const last = landed.at(-1);
  const isLanded = last !== undefined && JSON.stringify(last.schema) === JSON.stringify(current);
  const all = isLanded ? landed : [...landed, { version: (last?.version ?? 0) + 1, schema: current }];
  let lock = before;
  const versions = all.map(({ version, schema }, i): SchemaVersion => {
    const key = `${name}@${version}`;
    const fingerprint = fingerprintOf(schema);
    const known = lock.schemas[key];
    if (known !== undefined && known.fingerprint !== fingerprint && i < landed.length) {
      problems.push(`landed/${name}/v${version}.avsc was changed; a landed version never is`);
    }
    const id = known?.id ?? lock.nextId;
    lock = {
      nextId: Math.max(lock.nextId, id + 1),
      schemas: { ...lock.schemas, [key]: { id, fingerprint } },
    };
    return { version, id, fingerprint, schema };
  });
  return { versions, unlanded: isLanded ? undefined : versions.at(-1), lock, problems };
}

function incompatibilities(name: string, current: AvroSchema, version: number, schema: AvroSchema): string[] {
  const pairs = [
    { reader: current, writer: schema, what: "cannot read" },
    { reader: schema, writer: current, what: "cannot be read by" },
  ];
  return pairs.flatMap(({ reader, writer, what }) => {
    try {
      assertReadable(reader, writer);
      return [];
    } catch (error) {
      return [`schemas/${name}.avsc ${what} landed v${version}: ${(error as Error).message}`];
    }
  });
}
