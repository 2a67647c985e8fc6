/** `drift accept`, `correct`, `known`, `withdraw`: people answer verdicts; `drift reviews`: how they did. */
import { type DriftReviewRequest, type DriftVerdictView, driftCauses } from "@tributary/api";
import { reviewWords } from "@tributary/drift/report";
import { type Command, InvalidArgumentError, Option } from "commander";
import { contextOf, type Io, personOf } from "../context.ts";
import { find, named } from "../drift/named.ts";
import { reviewsView } from "../drift/verdict.ts";

type Cause = (typeof driftCauses)[number];
/** Who answers, and to which version, is added. */
type AnswerOf<R> = R extends unknown ? Omit<R, "by" | "note" | "version"> : never;
type Answer = AnswerOf<DriftReviewRequest>;
type Noted = { readonly note?: string };

export function addReviews(command: Command, io: Io): void {
  answering(command, "accept")
    .description("answer: this is the new normal; its cameras learn their baselines anew, and it closes")
    .action((id: string, { note }: Noted, own: Command) => answer(own, io, id, { kind: "ACCEPT" }, note));
  answering(command, "correct")
    .description("answer: its cause is this one, or is confirmed; that holds while it is open")
    .addOption(
      new Option("--cause <CAUSE>", `${driftCauses.join(", ")}`.toLowerCase()).argParser(causeOf).makeOptionMandatory(),
    )
    .option("--fault <NAME>", "the fault's name, e.g. channels-swapped")
    .action((id: string, { cause, fault = "", note }: Noted & { cause: Cause; fault?: string }, own: Command) =>
      answer(own, io, id, { kind: "CORRECT", cause, fault }, note),
    );
  answering(command, "known")
    .description("answer: it is expected until a date; it stays open, without alert or training")
    .requiredOption("--until <DATE>", "a day (from its start in UTC) or an RFC 3339 time, at most a year ahead", timeOf)
    .action((id: string, { until, note }: Noted & { until: string }, own: Command) =>
      answer(own, io, id, { kind: "KNOWN", until }, note),
    );
  answering(command, "withdraw")
    .description("withdraw the answer; cameras that still learn anew return to the baseline before")
    .action((id: string, { note }: Noted, own: Command) => answer(own, io, id, { kind: "WITHDRAW" }, note));
  command
    .command("reviews")
    .description("verdicts of the last year by the cause that was found and what people answered")
    .action(async (_options: object, own: Command) => {
      const { gateway, output } = contextOf(own, io);
      const { items } = await gateway.drift.reviews({});
      output.list(items, reviewsView, "No verdict was answered. Answer one: tributary drift accept|correct|known ID");
    });
}

const answering = (command: Command, name: string): Command =>
  named(command.command(name)).option("--note <TEXT>", "why; stands in the verdict");

/** The version that is found is answered: one that changes meanwhile is refused. */
async function answer(command: Command, io: Io, id: string, answer: Answer, note = ""): Promise<void> {
  const context = contextOf(command, io);
  const { gateway, output } = context;
  const { verdictId, version, devices } = await find(context, id);
  const body = { ...answer, by: personOf(io), note, version };
  const verdict = await gateway.drift.review({ verdictId, body });
  output.one(verdict, verdictId, () => output.line(`Verdict ${verdictId}: ${linesOf(answer.kind, verdict, devices)}`));
}

function linesOf(
  kind: Answer["kind"],
  { review, devicesAffected }: DriftVerdictView,
  devices: readonly { readonly cameras: readonly string[] }[],
): string {
  const words = reviewWords(review);
  if (kind !== "ACCEPT") return `${words}.`;
  const cameras = devices.reduce((sum, one) => sum + one.cameras.length, 0);
  const learn = `${cameras === 1 ? "1 camera learns its baseline" : `${cameras} cameras learn their baselines`} anew from now on`;
  const left = devicesAffected - devices.length;
  return `${words}.\n${learn}${left > 0 ? `; ${left} devices are not listed and keep it open: answer again` : ""}.`;
}

function causeOf(text: string): Cause {
  const cause = text.toUpperCase().replaceAll("-", "_");
  const known = driftCauses.find((one) => one === cause);
  if (known === undefined) throw new InvalidArgumentError(`expected ${driftCauses.join(", ").toLowerCase()}.`);
  return known;
}

function timeOf(text: string): string {
  const at = Date.parse(text);
  const isTime = /^\d{4}-\d{2}-\d{2}($|T.*(Z|[+-]\d{2}:\d{2})$)/.test(text);
  if (Number.isNaN(at) || !isTime) throw new InvalidArgumentError("expected a day as 2026-12-01, or an RFC 3339 time.");
  return new Date(at).toISOString();
}
