/** Where schemas and their earlier versions come from: a folder like `schemas/`, a registry, or this program itself. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { assertReadable, type Topic, topics } from "@tributary/contracts";
import { reasonOf } from "@tributary/kernel";
import type { SchemaRegistryClient } from "@tributary/schema-registry";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Json, Versioned } from "./compatibility.ts";

export type SchemaFile =
  | { readonly name: string; readonly schema: Json }
  | { readonly name: string; readonly wrong: string };

export function schemasIn(folder: string): SchemaFile[] {
  const names = avscIn(folder);
  if (names.length === 0) throw new CliError(exitCodes.failed, `${folder} has no *.avsc.`);
  return names.map((name) => {
    try {
      return { name, schema: readSchema(join(folder, `${name}.avsc`)) };
    } catch (error) {
      return { name, wrong: reasonOf(error) };
    }
  });
}

/** `FOLDER/landed/NAME/vN.avsc`, oldest first; none when there is no such folder. */
export function landedIn(folder: string, name: string): Versioned[] {
  let files: string[];
  try {
    files = avscIn(join(folder, "landed", name));
  } catch {
    return [];
  }
  return files
    .flatMap((file) => (/^v\d+$/.test(file) ? [{ file, version: Number(file.slice(1)) }] : []))
    .map(({ file, version }) => ({ version, schema: readSchema(join(folder, "landed", name, `${file}.avsc`)) }))
    .sort((a, b) => a.version - b.version);
}

/** JSON that is an Avro schema. */
export function readSchema(file: string): Json {
  const schema = JSON.parse(readFileSync(file, "utf8")) as Json;
  assertReadable(schema, schema);
  return schema;
}

function avscIn(folder: string): string[] {
  let files: string[];
  try {
    files = readdirSync(folder);
  } catch (error) {
    throw new CliError(exitCodes.failed, reasonOf(error), { cause: error });
  }
  return files.flatMap((file) => (file.endsWith(".avsc") ? [basename(file, ".avsc")] : [])).sort();
}

const recordName = (schema: Json): string => String((schema as { name?: unknown } | null)?.name ?? "");

/** Topics whose record it is. */
export const topicsOf = (schema: Json): Topic[] =>
  (Object.values(topics) as Topic[]).filter(({ codec }) => codec.name === recordName(schema));

/** Versions this program was built with, by the record's name, a topic's, or a file's such as edge-frame. */
export function builtIn(name: string): Versioned[] {
  const record = name
    .split("-")
    .map((part) => part.slice(0, 1).toUpperCase() + part.slice(1))
    .join("");
  const topic = (Object.values(topics) as Topic[]).find(
    (one) => [one.name, one.codec.name].includes(name) || one.codec.name === record,
  );
  return topic === undefined ? [] : topic.codec.versions.map(({ version, schema }) => ({ version, schema }));
}

export async function registered(client: SchemaRegistryClient, subject: string): Promise<Versioned[] | undefined> {
  const versions = await client.versionsOf(subject);
  if (versions === undefined) return undefined;
  const found: Versioned[] = [];
  for (const version of versions) {
    const { schema } = await client.version(subject, version);
    try {
      assertReadable(schema as never, schema as never);
    } catch (error) {
      throw new CliError(exitCodes.failed, `${subject} version ${version} is not an Avro schema: ${reasonOf(error)}`);
    }
    found.push({ version, schema: schema as Json });
  }
  return found;
}
