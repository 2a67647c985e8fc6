/** `tributary models diff`: what differs between two packages, here or in the registry. */
import { stat } from "node:fs/promises";
import { type ModelManifest, packageFiles } from "@tributary/inference";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { Command } from "commander";
import { type Io, outputOf } from "../context.ts";
import { shown, type View } from "../output.ts";
import { fetchBlob, manifestOf } from "./fetched.ts";
import { modelApiOf, modelRegistryOf, versionIn, withModelRegistry } from "./model-api.ts";

export type Difference = { readonly what: string; readonly a: unknown; readonly b: unknown; readonly change: string };

/** Documents of a package that are compared key by key. */
const DOCUMENTS = [packageFiles.preprocessor, packageFiles.calibration, packageFiles.labels] as const;

export type Side = {
  readonly digest: string;
  readonly manifest: ModelManifest;
  /** By file. */
  readonly documents: Readonly<Record<string, unknown>>;
};

const view: View<Difference> = {
  name: ({ what }) => what,
  columns: [
    { head: "WHAT", of: ({ what }) => what },
    { head: "A", of: ({ a }) => brief(a) },
    { head: "B", of: ({ b }) => brief(b) },
    { head: "CHANGE", of: ({ change }) => change },
  ],
};

export const modelsDiffCommand = (io: Io): Command =>
  withModelRegistry(new Command("diff"))
    .description("what differs between two packages: metrics, preprocessing, labels, files, lineage")
    .argument("<a>", "folder of a package, or NAME@VERSION, NAME@ALIAS or a digest of the registry")
    .argument("<b>", "the other package")
    .action(async (a: string, b: string, _options: object, command: Command) => {
      const sides = [await sideOf(a, command, io), await sideOf(b, command, io)] as const;
      outputOf(command, io).list(differences(...sides), view, "They are the same package.");
    });

async function sideOf(reference: string, command: Command, io: Io): Promise<Side> {
  const isFolder = await stat(reference).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) {
    const pkg = await loadPackage(reference);
    const documents: Record<string, unknown> = {};
    for (const path of DOCUMENTS)
      documents[path] = JSON.parse(Buffer.from(await readPackageFile(pkg, path)).toString());
    return { digest: pkg.digest, manifest: pkg.manifest, documents };
  }
  const { models } = modelApiOf(command, io);
  const registry = modelRegistryOf(command, io);
  const { modelDigest: digest } = versionIn(await models.versions(), reference);
  const manifest = manifestOf(await fetchBlob(registry, digest), digest);
  const documents: Record<string, unknown> = {};
  for (const path of DOCUMENTS) {
    const sha256 = manifest.files[path]?.sha256;
    if (sha256 !== undefined) documents[path] = JSON.parse((await fetchBlob(registry, sha256)).toString());
  }
  return { digest, manifest, documents };
}

/** Pure. Only what differs, in the order in which people ask. */
export function differences(a: Side, b: Side): Difference[] {
  const found: Difference[] = [];
  const compare = (what: string, one: unknown, other: unknown): void => {
    if (JSON.stringify(one) === JSON.stringify(other)) return;
    found.push({ what, a: one ?? null, b: other ?? null, change: changeOf(one, other) });
  };
  const compareKeys = (what: string, one: object, other: object): void => {
    const [left, right] = [one as Record<string, unknown>, other as Record<string, unknown>];
    for (const key of [...new Set([...Object.keys(left), ...Object.keys(right)])].sort()) {
      compare(`${what}.${key}`, left[key], right[key]);
    }
  };
  if (a.digest === b.digest) return [];
  const [one, other] = [a.manifest, b.manifest];
  compare("name", one.name, other.name);
  compare("version", one.version, other.version);
  compareKeys("metrics", one.metrics, other.metrics);
  compare("bytes", bytesOf(one), bytesOf(other));
  for (const key of ["hardwareClass", "latencyBudgetMs", "input"] as const) compare(key, one[key], other[key]);
  compareKeys("tensors", one.tensors, other.tensors);
  const labels = packageFiles.labels;
  compare("labels", a.documents[labels], b.documents[labels]);
  for (const [path, name] of [
    [packageFiles.preprocessor, "preprocessing"],
    [packageFiles.calibration, "calibration"],
  ] as const) {
    compareKeys(name, (a.documents[path] ?? {}) as object, (b.documents[path] ?? {}) as object);
  }
  compareKeys("lineage", one.lineage, other.lineage);
  for (const path of [...new Set([...Object.keys(one.files), ...Object.keys(other.files)])].sort()) {
    const [left, right] = [one.files[path], other.files[path]];
    if (left?.sha256 === right?.sha256) continue;
    const change = left === undefined ? "added" : right === undefined ? "removed" : "other bytes";
    found.push({ what: `file ${path}`, a: left?.bytes ?? null, b: right?.bytes ?? null, change });
  }
  return found;
}

const bytesOf = ({ files }: ModelManifest): number => Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);

function changeOf(one: unknown, other: unknown): string {
  if (one === undefined) return "added";
  if (other === undefined) return "removed";
  if (typeof one !== "number" || typeof other !== "number") return "";
  const change = other - one;
  const share = one === 0 ? "" : ` (${change > 0 ? "+" : ""}${((100 * change) / Math.abs(one)).toPrecision(3)} %)`;
  return `${change > 0 ? "+" : ""}${Number(change.toPrecision(4))}${share}`;
}

const brief = (value: unknown): string => {
  const text = shown(value);
  return text.length > 48 ? `${text.slice(0, 45)}...` : text;
};
