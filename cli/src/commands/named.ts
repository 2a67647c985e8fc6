/** What the commands of rollouts and of experiments share: they are started from a file, listed, and found by name or uid. */
import type { SpecPath } from "@tributary/rollouts";
import type { Command } from "commander";
import { type Context, personOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { GatewayRefusal } from "../gateway.ts";
import type { View } from "../output.ts";
import { type Linted, lineOf } from "../rollouts/lint.ts";
import { problemsCounted, readSpecFile } from "./lint.ts";

type Kind = "rollout" | "experiment";

const LISTED_MAX = 100;

export const named = (command: Command, kind: Kind): Command =>
  command.argument(`<${kind}>`, "its name or its uid; if several have the name, the newest");

type Created = { readonly uid: string };

/** The file is checked first; what the server finds is located in it as well. */
export async function createFrom<Spec extends { readonly metadata: { readonly name: string } }>(
  { output, io }: Context,
  file: string,
  kind: Kind,
  lint: (text: string) => Linted<Spec>,
  create: (body: { readonly spec: Record<string, unknown>; readonly by: string }) => Promise<Created>,
): Promise<void> {
  const { problems, written, spec, locate } = lint(await readSpecFile(file));
  const refused = (lines: readonly string[]) => {
    const count = problemsCounted(lines.length);
    return new CliError(exitCodes.failed, `${count} in ${file}; no ${kind} was started.\n${lines.join("\n")}`);
  };
  if (spec === null) throw refused(problems.map((problem) => lineOf(file, problem)));
  const body = { spec: written as Record<string, unknown>, by: personOf(io) };
  const made = await create(body).catch((error: unknown) => {
    const found = problemsOf(error).map((problem) => lineOf(file, locate(problem)));
    throw found.length === 0 ? error : refused(found);
  });
  output.one(made, made.uid, () => {
    output.line(`${kind === "rollout" ? "Rollout" : "Experiment"} ${spec.metadata.name} starts: ${made.uid}`);
    output.line(`Watch it: tributary ${kind} status ${made.uid} -w`);
  });
}

/** Of the server, with their paths in the specification. */
function problemsOf(error: unknown): readonly { readonly path: SpecPath; readonly message: string }[] {
  if (!(error instanceof GatewayRefusal) || !Array.isArray(error.details.problems)) return [];
  return error.details.problems.flatMap((problem: unknown) => {
    const { path, message } = (problem ?? {}) as { path?: unknown; message?: unknown };
    return Array.isArray(path) && typeof message === "string" ? [{ path: path as SpecPath, message }] : [];
  });
}

/** `fetch`: so many of the newest. */
export async function listNewest<T>(
  { output, io }: Context,
  fetch: (limit: number) => Promise<{ readonly items: readonly T[] }>,
  view: View<T>,
  { nothing, filters }: { readonly nothing: string; readonly filters: string },
): Promise<void> {
  // One more than is shown, to know whether there are more.
  const { items } = await fetch(LISTED_MAX + 1);
  const shown = items.slice(0, LISTED_MAX);
  output.list(shown, view, nothing);
  if (shown.length === items.length) return;
  const more = `Only the newest ${LISTED_MAX} are shown: filter with ${filters}.`;
  if (output.isForPeople) output.line(more);
  else io.stderr(`${more}\n`);
}

type Named = { readonly uid: string; readonly createdAt: string };

/** By name (the newest), or by uid. */
export async function findNewest<T extends Named>(
  { io }: Context,
  kind: Kind,
  wanted: string,
  {
    list,
    one,
  }: {
    readonly list: (query: { readonly name: string }) => Promise<{ readonly items: readonly T[] }>;
    readonly one: (input: { readonly uid: string }) => Promise<T>;
  },
): Promise<T> {
  const { items } = await list({ name: wanted });
  const [newest, ...others] = items;
  if (newest === undefined) return one({ uid: wanted });
  if (others.length > 0) {
    const olders = others.slice(0, 5).map(({ uid, createdAt }) => `  ${uid} of ${createdAt}`);
    io.stderr(
      `${items.length} ${kind}s are named ${wanted}; this is the newest, ${newest.uid}. Others, by uid:\n${olders.join("\n")}\n`,
    );
  }
  return newest;
}
