/** The OpenTelemetry SDK in a process of its own, as it is loaded from dist/ where the environment asks for it. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "@jest/globals";
import { otlpReceiver, repositoryRoot } from "@tributary/testing";

/** Starts `ROOTS` traces with a child each; prints how many modules of the SDK were loaded, and the flags. */
const PROGRAM = `
import { registerHooks } from "node:module";
const loaded = [];
registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
const { createTelemetry, sending } = await import(process.env.TELEMETRY);
const telemetry = createTelemetry({ service: "probe", level: "silent" });
await telemetry.startTracing({ "service.instance.id": "one" });
const traceparents = [];
for (let i = 0; i < Number(process.env.ROOTS); i++) {
  const root = telemetry.tracer.span({ name: "root", agoMs: 50, attributes: { i } });
  const child = telemetry.tracer.span({ ...sending("kafka", "topic"), parent: root.traceparent });
  child.end({ error: "broken" });
  root.end();
  traceparents.push(root.traceparent);
}
await telemetry.stopTracing();
const sdk = loaded.filter((url) => /@opentelemetry\\/(?!api\\/)|grpc|protobufjs/.test(url)).length;
process.stdout.write(JSON.stringify({ sdk, traceparents }), () => process.exit(0));
`;

type Printed = { readonly sdk: number; readonly traceparents: readonly (string | null)[] };

async function run(roots: number, env: Readonly<Record<string, string>>): Promise<Printed> {
  const telemetry = join(repositoryRoot, "libs/telemetry/dist/index.js");
  const { PATH = "" } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    env: { PATH, TELEMETRY: telemetry, ROOTS: `${roots}`, ...env },
  });
  return JSON.parse(stdout) as Printed;
}

test("without a collector nothing of the SDK is loaded, and no trace starts (telemetry.ts T7)", async () => {
  expect(await run(1, {})).toEqual({ sdk: 0, traceparents: [null] });
  const off = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_SDK_DISABLED: "true" };
  expect(await run(1, off)).toEqual({ sdk: 0, traceparents: [null] });
});

test("the environment's ratio decides at the root, its flag from there on, and what is sampled arrives (tracer.ts S2)", async () => {
  const receiver = await otlpReceiver();
  try {
    const sampler = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" };
    const named = { OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test", OTEL_BSP_MAX_QUEUE_SIZE: "4096" };
    const { sdk, traceparents } = await run(800, { ...receiver.env, ...sampler, ...named });
    expect(sdk).toBeGreaterThan(0);
    const sampled = new Set(traceparents.flatMap((one) => (one?.endsWith("-01") ? [one.slice(3, 35)] : [])));
    expect(sampled.size).toBeGreaterThan(120); // 200 expected, 12 the deviation
    expect(sampled.size).toBeLessThan(280);
    expect(new Set(receiver.spans.map(({ traceId }) => traceId))).toEqual(sampled);
    expect(receiver.spans).toHaveLength(2 * sampled.size);
    const child = receiver.spans.find(({ name }) => name === "send topic");
    expect(child).toMatchObject({ service: "tributary-probe", instance: "one", kind: "producer", isError: true });
    expect(child?.attributes).toMatchObject({ "error.type": "broken", "messaging.system": "kafka" });
    const root = receiver.spans.find(({ spanId }) => spanId === child?.parentSpanId);
    expect((root?.endMs ?? 0) - (root?.startMs ?? 0)).toBeGreaterThanOrEqual(50);
  } finally {
    await receiver.close();
  }
});

test("a collector that is not there costs a bounded wait at the end, and nothing else", async () => {
  const startedAt = performance.now();
  const away = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9", OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" };
  const { traceparents } = await run(2, away);
  expect(traceparents.every((one) => one?.endsWith("-01"))).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(15_000);
});
