import type { Explanation, ExplanationStep } from "@tributary/api";
import { formatFrameId, parseFrameId, reasonOf } from "@tributary/kernel";
import { Command } from "commander";
import { contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Output, shown } from "../output.ts";
import { showPolicy } from "./policies.ts";
import { simulateCommand } from "./simulate.ts";

export function routerCommand(io: Io): Command {
  const command = new Command("router").description("why frames were kept or sent to the cloud");
  command
    .command("explain")
    .argument("<frame>", "deviceId:bootId:cameraId:frameSeq, as frames tail shows it")
    .description("every number of one frame's decision, from the device to its final answer")
    .action(async (frame: string, _options: object, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const explanation = await gateway.frames.explanation({ frameId: checked(frame) });
      output.one(explanation, explanation.frameId, () => showExplanation(explanation, output));
    });
  return command.addCommand(simulateCommand(io));
}

function checked(frame: string): string {
  try {
    return formatFrameId(parseFrameId(frame));
  } catch (error) {
    throw new CliError(exitCodes.usage, `${reasonOf(error)}.`);
  }
}

function showExplanation(explanation: Explanation, output: Output): void {
  const { answer, prediction, frame, request, result, policy } = explanation;
  output.line(`${output.style("bold", "Frame")} ${explanation.frameId}`);
  if (answer !== null) {
    output.line(
      `  ${output.style("green", answer.label)} by ${answer.source}, confidence ${shown(answer.confidence)}, settled by ${answer.settledBy}, ${shown(answer.latencyMs)} ms after capture`,
    );
    output.line(`  arm ${shown(answer.arm)}, target ${shown(answer.cloudTarget)}`);
  }
  decision(output, "Decision on the device", explanation.steps);
  decision(output, "Decision of the router", explanation.routerSteps);
  part(output, "Prediction, as logged", prediction);
  part(output, "Frame, as it left the device", frame);
  part(output, "Request to the cloud", request === null ? null : { ...request, ...budgetOf(request) });
  part(output, "Result of the cloud", result);
  part(output, "Final answer", answer);
  if (policy !== null) {
    heading(output, "Policy of the device");
    showPolicy(policy, output, "  ");
  }
  if (explanation.timeline.length > 0) {
    heading(output, "Timeline");
    const startedAt = Date.parse(explanation.timeline[0]?.at ?? "");
    output.pairs(
      explanation.timeline.map(({ at, what }) => [at, `+${Date.parse(at) - startedAt} ms  ${what}`] as const),
      "  ",
    );
  }
  if (explanation.missing.length > 0) {
    heading(output, "Not found");
    output.pairs(
      explanation.missing.map(({ part, why }) => [part, why] as const),
      "  ",
    );
  }
}

function decision(output: Output, title: string, steps: readonly ExplanationStep[]): void {
  if (steps.length === 0) return;
  heading(output, title);
  for (const step of steps) {
    output.line(`  ${output.style("bold", step.name)}: ${step.text}`);
    output.pairs(Object.entries(step.values), "    ");
  }
}

/** The time that the cloud had, in ms. */
function budgetOf({ deadlineAt, requestedAt }: Readonly<Record<string, unknown>>): { remainingMs: number } {
  return { remainingMs: Date.parse(String(deadlineAt)) - Date.parse(String(requestedAt)) };
}

/** Printed once, above. */
const PRINTED = new Set(["frameId", "deviceId", "bootId", "cameraId", "frameSeq", "admission"]);

function part(output: Output, title: string, values: Readonly<Record<string, unknown>> | null): void {
  if (values === null) return;
  heading(output, title);
  output.pairs(
    Object.entries(values).filter(([name]) => !PRINTED.has(name)),
    "  ",
  );
}

function heading(output: Output, title: string): void {
  output.line();
  output.line(output.style("bold", title));
}
