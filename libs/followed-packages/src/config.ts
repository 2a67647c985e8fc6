/** What a service that takes packages by NAME@ALIAS is configured with. */
import { httpUrl } from "@tributary/config";
import { isPackageName, modelReferenceOf, PACKAGE_EXPECTED } from "@tributary/models";
import { z } from "zod";

const positive = z.number().int().positive();

/** A package: its folder, or NAME@VERSION or NAME@ALIAS of the model registry. */
export const packageName = z.string().min(1).max(1_024).refine(isPackageName, PACKAGE_EXPECTED);

/** Spread into a service's `z.strictObject`. */
export const packageBlocks = {
  /** Folder for packages of the model registry. At most two for each NAME@ALIAS are kept: the active one and the next. */
  dataDir: z.string().min(1).optional(),
  /** Where packages named NAME@VERSION or NAME@ALIAS come from. */
  modelRegistry: z
    .strictObject({
      url: httpUrl,
      token: z.string().min(1).optional(),
      /** File of the registry's root of trust (1.root.json), as devices have it: then only packages that signed metadata lists
       * are taken. Without it, what models.v1 says is trusted. */
      trustRoot: z.string().min(1).optional(),
      /** Bytes of one package. */
      packageBytesMax: positive.default(512 * 2 ** 20),
      /** Longest wait between two attempts at a package. */
      retryMsMax: positive.min(1_000).max(86_400_000).default(60_000),
    })
    .optional(),
};

const blocks = z.strictObject(packageBlocks);
export type PackageSettings = Pick<z.output<typeof blocks>, "dataDir" | "modelRegistry">;

/** `packages`: by their key in the file. */
export function problemsOfPackages(
  { dataDir, modelRegistry }: PackageSettings,
  packages: Readonly<Record<string, string>>,
): readonly string[] {
  const missing = [
    ...(dataDir === undefined ? ["dataDir"] : []),
    ...(modelRegistry === undefined ? ["modelRegistry.url"] : []),
  ];
  if (missing.length === 0) return [];
  return Object.entries(packages)
    .filter(([, name]) => modelReferenceOf(name) !== null)
    .map(([key, name]) => `${key}: ${name} is a model of the registry: ${missing.join(" and ")} needed`);
}
