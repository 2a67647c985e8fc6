import { type Answer, type AnswerFilter, answerSources, settledBy } from "@tributary/api";
import { Command, Option } from "commander";
import { contextOf, type Io } from "../context.ts";
import { framesExportCommand } from "../frames/export.ts";
import type { Output, View } from "../output.ts";
import { positive } from "./options.ts";

const view: View<Answer> = { name: (answer) => answer.frameId, columns: [] };

type TailOptions = Pick<AnswerFilter, "source" | "settledBy"> & { device?: string; count?: number };

export function framesCommand(io: Io): Command {
  const command = new Command("frames").description("final answers as they come, and frames that are kept");
  command
    .command("tail")
    .description("follow final answers until interrupted; -o json prints one JSON document per line")
    .option("--device <ID>", "only those of this device")
    .addOption(
      new Option("--source <SOURCE>", "EDGE: the device's own answer; CLOUD: the cloud's").choices(answerSources),
    )
    .addOption(new Option("--settled-by <CAUSE>", "what settled it").choices(settledBy))
    .option("--count <N>", "stop after N answers", positive)
    .action(async (options: TailOptions, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const enough = new AbortController();
      const signal = AbortSignal.any([io.signal, enough.signal]);
      const query = { deviceId: options.device, source: options.source, settledBy: options.settledBy };
      let left = options.count ?? Number.POSITIVE_INFINITY;
      if (output.isForPeople) output.line(output.style("bold", HEAD));
      for await (const event of gateway.classifications.events(query, { signal })) {
        output.streamed(event, view, (answer) => rowOf(answer, output));
        if (--left <= 0) break;
      }
      enough.abort();
    });
  command.addCommand(framesExportCommand(io));
  return command;
}

const row = (cells: readonly [string, string, string, string, string, string, string]): string => {
  const [time, frame, label, source, confidence, settledBy, latency] = cells;
  return [time.padEnd(12), frame.padEnd(40), label.padEnd(12), source.padEnd(6), confidence.padEnd(6)]
    .concat(settledBy.padEnd(20), latency.padStart(9))
    .join("  ");
};

const HEAD = row(["TIME", "FRAME", "LABEL", "SOURCE", "CONF", "SETTLED BY", "LATENCY"]);

function rowOf(answer: Answer, output: Output): string {
  const text = row([
    answer.answeredAt.slice(11, 23),
    answer.frameId,
    answer.label,
    answer.source,
    answer.confidence.toFixed(3),
    answer.settledBy,
    `${Math.round(answer.latencyMs)} ms`,
  ]);
  return answer.source === "CLOUD" ? output.style("cyan", text) : text;
}
