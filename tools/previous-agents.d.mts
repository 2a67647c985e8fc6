/** Types of previous-agents.mjs for the tests that run these agents. */
export type PreviousAgent = {
  /** In edge/agent/previous. */
  readonly file: string;
  readonly version: string;
  readonly commit: string;
  /** Of the file, hex. */
  readonly sha256: string;
  /** Keys of today's configuration that it does not know yet. */
  readonly unknownKeys?: readonly string[];
};
/** The folder that holds them. */
export const folder: string;
/** Oldest first. */
export function previousAgents(): readonly PreviousAgent[];
/** Into an empty folder; returns its main. */
export function unpackAgent(agent: PreviousAgent, dir: string): string;
/** Workspace packages of a tree, by path. */
export function packagesIn(dir: string): readonly { readonly path: string; readonly name: string }[];
