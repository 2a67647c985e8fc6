/** The file with the environment of `tributary` for this stack: `. .local/run/env`. It exists while the stack runs. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Addresses = {
  readonly gatewayUrl: string;
  readonly registryUrl: string | undefined;
  readonly archiveUrl?: string | undefined;
  readonly trainerUrl?: string | undefined;
  readonly brokers: readonly string[];
  readonly prefix: string;
};

const fileIn = (dir: string): string => join(dir, "env");

/** Returns the file. On one machine, on loopback, the services want no tokens. */
export function writeEnvironment(dir: string, addresses: Addresses): string {
  const { gatewayUrl, registryUrl, archiveUrl, trainerUrl, brokers, prefix } = addresses;
  const variables = {
    TRIBUTARY_GATEWAY: gatewayUrl,
    ...(registryUrl !== undefined && { TRIBUTARY_MODEL_REGISTRY: registryUrl }),
    ...(archiveUrl !== undefined && { TRIBUTARY_FRAME_ARCHIVE: archiveUrl }),
    ...(trainerUrl !== undefined && { TRIBUTARY_TRAINER: trainerUrl }),
    TRIBUTARY_BROKERS: brokers.join(","),
    TRIBUTARY_PREFIX: prefix,
  };
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}='${value}'\n`);
  writeFileSync(fileIn(dir), lines.join(""));
  return fileIn(dir);
}

export const removeEnvironment = (dir: string): void => rmSync(fileIn(dir), { force: true });
