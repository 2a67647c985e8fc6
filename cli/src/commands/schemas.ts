/** `tributary schemas`: compatibility of schemas, and their changes. */
import { Failure, reasonOf } from "@tributary/kernel";
import type { SchemaRegistryAccess, SchemaRegistryClient } from "@tributary/schema-registry";
import { Command } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Output, View } from "../output.ts";
import { Progress } from "../progress.ts";
import { fetchWith, registryFailed, withRegistry } from "../registry-options.ts";
import { fullTransitive, type Json, type Obstacle, type Versioned } from "../schemas/compatibility.ts";
import { type Change, differences } from "../schemas/difference.ts";
import { builtIn, landedIn, readSchema, registered, type SchemaFile, schemasIn, topicsOf } from "../schemas/sources.ts";

export function schemasCommand(io: Io): Command {
  return new Command("schemas")
    .description("check compatibility of schemas, and show changes")
    .addCommand(checkCommand(io))
    .addCommand(diffCommand(io));
}

type SharedOptions = { readonly registry?: SchemaRegistryAccess; readonly prefix: string; readonly token?: string };

const AGAINST_REGISTRY = "compare with this schema registry's versions; the URL may have USER:PASSWORD@";
const shared = (command: Command): Command =>
  withRegistry(command, AGAINST_REGISTRY).option(
    "--prefix <PREFIX>",
    "prefix of the deployment's topics and subjects",
    "tributary.",
  );

async function clientOf(options: SharedOptions): Promise<SchemaRegistryClient | undefined> {
  if (options.registry === undefined) return undefined;
  const { schemaRegistryClient } = await import("@tributary/schema-registry");
  const { basicAuth } = options.registry;
  return schemaRegistryClient(options.registry, basicAuth === undefined ? fetchWith(options.token) : fetch);
}

type Checked = {
  readonly schema: string;
  readonly against: string;
  readonly versions: readonly number[];
  readonly verdict: "FULL_TRANSITIVE" | "incompatible" | "new" | "unusable";
  readonly obstacles: readonly (Obstacle & { readonly version: number; readonly direction: Direction })[];
  /** Of what could not be compared. */
  readonly why?: string;
};
type Direction = "cannot read" | "cannot be read by";

const checkedView: View<Checked> = {
  name: (checked) => checked.schema,
  columns: [
    { head: "SCHEMA", of: (c) => c.schema },
    { head: "AGAINST", of: (c) => c.against },
    { head: "VERSIONS", of: (c) => c.versions.join(",") },
    { head: "VERDICT", of: (c) => c.verdict },
  ],
};

function checkCommand(io: Io): Command {
  return shared(new Command("check"))
    .argument("[folder]", "with NAME.avsc and, to compare with, landed/NAME/vN.avsc", "schemas")
    .description("whether every earlier version can read the schemas of a folder and be read by them (FULL_TRANSITIVE)")
    .action(async (folder: string, _options: object, command: Command) => {
      const output = outputOf(command, io);
      const options = command.optsWithGlobals<SharedOptions>();
      const client = await clientOf(options);
      const files = schemasIn(folder);
      const checked: Checked[] = [];
      const progress = new Progress(io, () => `${checked.length} of ${files.length} schemas compared`);
      try {
        for (const file of files) checked.push(...(await check(file, folder, client, options.prefix)));
      } finally {
        progress.end();
      }
      output.list(checked, checkedView, "");
      if (output.isForPeople) printObstacles(checked, output);
      const failed = checked.filter(({ verdict }) => verdict === "incompatible" || verdict === "unusable");
      if (failed.length > 0) {
        const names = [...new Set(failed.map(({ schema }) => schema))].join(", ");
        throw new CliError(exitCodes.failed, `${failed.length} of ${checked.length} are not compatible: ${names}.`);
      }
    });
}

async function check(
  file: SchemaFile,
  folder: string,
  client: SchemaRegistryClient | undefined,
  prefix: string,
): Promise<Checked[]> {
  if ("wrong" in file) return [unusable(file.name, `${folder}/${file.name}.avsc`, file.wrong)];
  const { name, schema } = file;
  if (client === undefined) {
    const landed = landedIn(folder, name);
    if (landed.length > 0) return [judged(name, "landed", schema, landed)];
    return [judged(name, "this program", schema, builtIn(name))];
  }
  const subjects = topicsOf(schema).map((topic) => `${prefix}${topic.name}-value`);
  if (subjects.length === 0) return [unusable(name, client.url, "it is not a topic's record, so it has no subject")];
  const checked: Checked[] = [];
  for (const subject of subjects) {
    try {
      checked.push(judged(name, subject, schema, (await registered(client, subject)) ?? []));
    } catch (error) {
      // One invalid subject does not hide the others; an unreachable registry hides all.
      if (error instanceof Failure && error.code === "schema-registry-unavailable") throw registryFailed(error);
      const code = error instanceof Failure ? ` (${error.code})` : "";
      checked.push(unusable(name, subject, `${reasonOf(error)}${code}`));
    }
  }
  return checked;
}

const unusable = (schema: string, against: string, why: string): Checked => ({
  schema,
  against,
  why,
  versions: [],
  obstacles: [],
  verdict: "unusable",
});

function judged(schema: string, against: string, today: Json, before: readonly Versioned[]): Checked {
  const obstacles = fullTransitive(today, before).flatMap(({ version, backward, forward }) => [
    ...backward.map((one) => ({ ...one, version, direction: "cannot read" as const })),
    ...forward.map((one) => ({ ...one, version, direction: "cannot be read by" as const })),
  ]);
  const verdict = before.length === 0 ? "new" : obstacles.length === 0 ? "FULL_TRANSITIVE" : "incompatible";
  return { schema, against, versions: before.map(({ version }) => version), verdict, obstacles };
}

function printObstacles(checked: readonly Checked[], output: Output): void {
  for (const { schema, obstacles, why } of checked) {
    if (obstacles.length === 0 && why === undefined) continue;
    output.line();
    output.line(output.style("bold", schema));
    if (why !== undefined) output.line(`  ${why}`);
    for (const { path, why: reason, version, direction } of obstacles) {
      output.line(`  ${direction} v${version}  ${output.style("red", path)}: ${reason}`);
    }
  }
}

const changeView: View<Change> = {
  name: (change) => change.path,
  columns: [
    { head: "FIELD", of: (c) => c.path },
    { head: "CHANGE", of: (c) => c.kind },
    { head: "WHAT", of: (c) => c.what },
  ],
};

function diffCommand(io: Io): Command {
  return shared(new Command("diff"))
    .argument("<name>", "the name of a schema's file, e.g. edge-frame, or its topic or record")
    .argument("[from]", "a version, a file, or latest (default: the previous version)")
    .argument("[to]", "a version, a file, latest, or today's file as 'today' (default)", "today")
    .description("what changed from one version of a schema to another")
    .option("--folder <FOLDER>", "where NAME.avsc and landed/NAME/vN.avsc are", "schemas")
    .action(async (name: string, from: string | undefined, to: string, _options: object, command: Command) => {
      const output = outputOf(command, io);
      const options = command.optsWithGlobals<SharedOptions & { folder: string }>();
      const { versions, today } = await historyOf(name, options);
      const target = pick(to, versions, today);
      const before = from === undefined ? versionBefore(versions, target) : pick(from, versions, today);
      const changes = before === undefined ? [] : differences(before.schema, target.schema);
      const nothing =
        before === undefined ? `${name} has only one version.` : `${before.what} and ${target.what} are the same.`;
      if (output.isForPeople && before !== undefined && changes.length > 0) {
        output.line(`${name}: ${before.what} -> ${target.what}`);
        output.line();
      }
      output.list(changes, changeView, nothing);
    });
}

type Named = { readonly what: string; readonly schema: Json };

async function historyOf(name: string, options: SharedOptions & { folder: string }) {
  const client = await clientOf(options);
  let today: Json | undefined;
  try {
    today = readSchema(`${options.folder}/${name}.avsc`);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOENT") {
      throw new CliError(exitCodes.failed, `${options.folder}/${name}.avsc: ${reasonOf(error)}`, { cause: error });
    }
  }
  const own = builtIn(name);
  const known = today ?? own.at(-1)?.schema;
  if (known === undefined) {
    throw new CliError(
      exitCodes.notFound,
      `There is no ${options.folder}/${name}.avsc and no schema, record or topic ${name}.`,
    );
  }
  if (client === undefined) {
    const landed = landedIn(options.folder, name);
    return { versions: landed.length > 0 ? landed : own, today: known };
  }
  const [topic] = topicsOf(known);
  if (topic === undefined)
    throw new CliError(exitCodes.notFound, `${name} is not a topic's record, so it has no subject.`);
  const subject = `${options.prefix}${topic.name}-value`;
  try {
    const versions = await registered(client, subject);
    if (versions === undefined) throw new CliError(exitCodes.notFound, `${client.url} has no subject ${subject}.`);
    return { versions, today: known };
  } catch (error) {
    throw registryFailed(error);
  }
}

function pick(text: string, versions: readonly Versioned[], today: Json): Named {
  if (text === "today") return { what: "today", schema: today };
  const last = versions.at(-1);
  const wanted = text === "latest" ? last : versions.find(({ version }) => `${version}` === text.replace(/^v/, ""));
  if (wanted !== undefined) return { what: `v${wanted.version}`, schema: wanted.schema };
  if (!/[./\\]/.test(text)) {
    const have = versions.map(({ version }) => version).join(", ") || "none";
    throw new CliError(exitCodes.notFound, `There is no version ${text}; there are ${have}.`);
  }
  try {
    return { what: text, schema: readSchema(text) };
  } catch (error) {
    throw new CliError(exitCodes.failed, `${text}: ${reasonOf(error)}`, { cause: error });
  }
}

/** The newest that differs. */
function versionBefore(versions: readonly Versioned[], target: Named): Named | undefined {
  const text = JSON.stringify(target.schema);
  const before = versions.findLast(
    ({ schema, version }) => JSON.stringify(schema) !== text && `v${version}` !== target.what,
  );
  return before && { what: `v${before.version}`, schema: before.schema };
}
