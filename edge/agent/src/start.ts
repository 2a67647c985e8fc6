/** The agent's process: configuration, start, signals. */
import "./small-heap.ts"; // First: it must precede the allocations of the other modules.
import { configOrExit } from "@tributary/config";
import { endProcess, reasonOf } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { checkAgent } from "./check.ts";
import { agentConfig } from "./config.ts";
import { separateCores } from "./cores.ts";
import { coresSeparated } from "./events.ts";
import { startAgent } from "./start-agent.ts";

const argv = process.argv.slice(2);
const config = configOrExit({
  name: "tributary-agent",
  summary: "Classifies the frames of this device's cameras, answers at once, and sends what a better model should see.",
  schema: agentConfig,
  argv,
  // Only `--check` examines the disk: at start, a bad one must not prevent answers (G4).
  check: (config) => checkAgent(config, argv.includes("--check")),
});

const telemetry = createTelemetry({ service: "agent", level: config.log.level });
try {
  await telemetry.startTracing({ "service.instance.id": config.deviceId });
  const cores = separateCores(config);
  if (cores !== null) telemetry.emit(coresSeparated, cores);
  const agent = await startAgent(config, telemetry, { cores });
  const stop = () => {
    agent.stop().then(
      () => {
        void telemetry.stopTracing().then(() => {
          telemetry.close();
          endProcess(0);
        });
      },
      (error: unknown) => fail(error),
    );
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  telemetry.ready(agent.ports);
} catch (error) {
  fail(error);
}

function fail(error: unknown): never {
  process.stderr.write(`tributary-agent: ${reasonOf(error)}\n`);
  telemetry.close();
  endProcess(1);
}
