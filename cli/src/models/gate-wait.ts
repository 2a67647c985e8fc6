/** `--wait`: until the registry's gate has judged a challenger. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { Progress } from "../progress.ts";
import { type ModelApi, type ModelVersion, referenceOf, versionIn } from "./model-api.ts";

const POLL_MS = 1_000;

export const WAIT = "wait for the gate of the challenger; exit 1 unless it passes";

/** Throws when the gate refuses it, or cannot judge it yet; else prints that it passed, and the lines that are unsure. */
export async function waitForGate(
  models: Pick<ModelApi, "versions">,
  model: Pick<ModelVersion, "name" | "version">,
  { output, io }: Pick<Context, "output" | "io">,
): Promise<void> {
  const called = referenceOf(model);
  let text = `the gate of ${called}`;
  const progress = new Progress(io, () => text);
  try {
    for (;;) {
      const versions = await models.versions();
      const own = versionIn(versions, called);
      const { gate, judging } = own;
      if (!own.aliases.includes("challenger")) throw closed(called, ["it is not the challenger, so it has no gate"]);
      if (own.aliases.includes("champion"))
        throw closed(called, ["it is the champion itself, so there is nothing to compare it with"]);
      if (judging?.state === "blocked") throw closed(called, [judging.detail]);
      if (gate !== null && !judging) {
        if (!gate.passed && gate.forcedBy === "") throw closed(called, gate.failed);
        if (!output.isForPeople) return;
        output.line(gate.passed ? `${called} passed the gate.` : `${gate.forcedBy} overrode the gate of ${called}.`);
        for (const line of gate.unsure ?? []) output.line(`Unsure: ${line}`);
        return;
      }
      text = `the gate of ${called}: ${judging?.detail ?? "waits"}`;
      await sleep(POLL_MS, undefined, { signal: io.signal });
    }
  } finally {
    progress.end();
  }
}

const closed = (called: string, lines: readonly string[]): CliError =>
  new CliError(exitCodes.failed, `${called} did not pass the gate: ${lines.join("; ")}`);
