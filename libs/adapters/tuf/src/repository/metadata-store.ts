/** The repository's metadata by file name. A put is durable when it resolves, and is visible whole or not at all. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { invariant } from "@tributary/kernel";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import { metadataBytesMax } from "../metadata.ts";

export interface MetadataStore {
  get(name: string): Promise<Uint8Array | undefined>;
  put(name: string, bytes: Uint8Array): Promise<void>;
  delete(name: string): Promise<void>;
}

/** What a server may serve from a store. Versioned names never change their content; `timestamp.json` does. */
export const isMetadataName = (name: string): boolean =>
  /^(timestamp|[1-9]\d{0,8}\.(root|snapshot|targets))\.json$/.test(name);

export function folderMetadataStore(dir: string): MetadataStore {
  const pathOf = (name: string) => {
    invariant(isMetadataName(name), `"${name}" is no metadata`);
    return join(dir, name);
  };
  return {
    async get(name) {
      const bytes = await readBounded(pathOf(name), Math.max(...Object.values(metadataBytesMax)));
      invariant(bytes !== "too-large", `${name} in ${dir} is larger than any metadata`);
      return bytes;
    },
    put: (name, bytes) => writeDurably(pathOf(name), bytes),
    delete: (name) => rm(pathOf(name), { force: true }),
  };
}
