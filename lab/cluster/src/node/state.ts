/** Who runs a node, as its folder records it: read by every command, and by the next node after a kill -9. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { isAlive, type ProcessId } from "@tributary/kernel/processes";
import type { Layout, Link } from "../settings.ts";

export type NodeState = {
  readonly supervisor: ProcessId;
  /** The first process in the node's namespaces, as this machine numbers it; undefined while it starts. */
  readonly init?: ProcessId;
  readonly link: Link;
  /** Of its control groups. */
  readonly group: string;
  readonly isReady: boolean;
};

export function readState({ state }: Layout): NodeState | undefined {
  try {
    return JSON.parse(readFileSync(state, "utf8")) as NodeState;
  } catch {
    return undefined;
  }
}

export function writeState({ dir, state }: Layout, value: NodeState): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(`${state}.new`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${state}.new`, state);
}

export const forgetState = ({ state }: Layout): void => rmSync(state, { force: true });

export const isRunning = ({ supervisor }: NodeState): boolean => isAlive(supervisor);
