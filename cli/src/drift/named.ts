/** A verdict by its id, or by the beginning of one. */
import type { DriftVerdictDetail } from "@tributary/api";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";

/** The gateway's limit. */
const LISTED_MAX = 1_000;

export const named = (command: Command): Command => command.argument("<verdict>", "its id, or the beginning of it");

export async function find({ gateway }: Context, id: string): Promise<DriftVerdictDetail> {
  const { items } = await gateway.drift.list({ state: "all", limit: LISTED_MAX });
  const [found, ...others] = items.filter(({ verdictId }) => verdictId.startsWith(id));
  if (found !== undefined && others.length > 0 && found.verdictId !== id) {
    const ids = [found, ...others].slice(0, 5).map(({ verdictId }) => verdictId);
    throw new CliError(exitCodes.usage, `${others.length + 1} verdicts begin with ${id}: ${ids.join(", ")}`);
  }
  return gateway.drift.one({ verdictId: found?.verdictId ?? id });
}
