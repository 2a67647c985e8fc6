import { describe, expect, test } from "@jest/globals";
import { type InferenceResult, type LoadedModel, type ModelHost, noPicture } from "@tributary/inference";
import { seededRandom, systemClock } from "@tributary/kernel";
import { OnnxBackend } from "./onnx.ts";
import { orAborted } from "./supervised.ts";

const answer = (logits: readonly number[]): InferenceResult => ({
  ok: true,
  inference: {
    logits: Float32Array.from(logits),
    features: null,
    tensorDigest: null,
    cells: null,
    pixels: null,
    picture: noPicture,
    timingsMs: { preprocess: 0, run: 0 },
  },
});

/** A model that dies when it is asked for a picture that begins with 13. */
function fragileModel(): LoadedModel {
  const exited = Promise.withResolvers<number | null>();
  const inferBatch = async (jpegs: readonly Uint8Array[]) => {
    if (!jpegs.some((jpeg) => jpeg[0] === 13))
      return jpegs.map(([byte]) => answer([0, byte === 7 ? Number.NaN : 2, 1]));
    exited.resolve(null);
    throw new Error("gone");
  };
  return {
    digest: "d",
    manifest: {} as LoadedModel["manifest"],
    labels: ["a", "b", "c"],
    temperature: 0.5,
    pid: 1,
    inferBatch,
    infer: async (jpeg) => (await inferBatch([jpeg]))[0] as InferenceResult,
    raise: () => undefined,
    exited: exited.promise,
    close: async () => exited.resolve(0),
  };
}

const start = async (load: ModelHost["load"]) => {
  const log: string[] = [];
  const backend = await OnnxBackend.start({
    host: { load },
    packageDir: "p",
    threads: 1,
    clock: systemClock,
    random: seededRandom(1),
    backoff: { minMs: 5, maxMs: 20 },
    events: {
      loaded: () => log.push("loaded"),
      lost: () => log.push("lost"),
      loadFailed: () => log.push("load failed"),
    },
  });
  const ask = (byte: number, ms = 2_000) =>
    backend.classify([{ jpeg: Uint8Array.of(byte) }], {
      deadline: Date.now() + ms,
      signal: new AbortController().signal,
    });
  return { backend, log, ask };
};

describe("OnnxBackend", () => {
  test("calibrates with the package's temperature", async () => {
    const { backend, ask } = await start(async () => fragileModel());
    const [outcome] = await ask(1);
    const sum = Math.exp(0) + Math.exp(4) + Math.exp(2);
    expect(outcome).toMatchObject({ kind: "answered", label: "b", modelDigest: "d" });
    expect((outcome as { confidence: number }).confidence).toBeCloseTo(Math.exp(4) / sum, 10);
    expect((outcome as { margin: number }).margin).toBeCloseTo((Math.exp(4) - Math.exp(2)) / sum, 10);
    await backend.close();
  });

  test("a frame whose answer is no number fails with its code, and alone", async () => {
    const { backend } = await start(async () => fragileModel());
    const context = { deadline: Date.now() + 2_000, signal: new AbortController().signal };
    const outcomes = await backend.classify([{ jpeg: Uint8Array.of(7) }, { jpeg: Uint8Array.of(1) }], context);
    expect(outcomes).toMatchObject([
      { kind: "failed", code: "answer-not-finite" },
      { kind: "answered", label: "b" },
    ]);
    await backend.close();
  });

  test("reloads a model whose process exited, through failures, while calls wait", async () => {
    let loads = 0;
    const { backend, log, ask } = await start(async () => {
      if (++loads === 2 || loads === 3) throw new Error("not yet");
      return fragileModel();
    });
    expect(await ask(13)).toEqual([{ kind: "failed", code: "model-host-exited", message: "gone", again: "alone" }]);
    expect((await ask(1))[0]).toMatchObject({ kind: "answered" });
    expect(log).toEqual(["loaded", "lost", "load failed", "load failed", "loaded"]);
    await backend.close();
  });

  test("a call does not wait for a model beyond its deadline, and a wrong package stops the start", async () => {
    let loads = 0;
    const { backend, ask } = await start(async () => {
      if (++loads > 1) throw new Error("never");
      return fragileModel();
    });
    await ask(13);
    expect((await ask(1, 30))[0]).toMatchObject({ kind: "failed", code: "backend-unavailable" });
    await backend.close();
    await expect(start(async () => Promise.reject(new Error("package-corrupt")))).rejects.toThrow("package-corrupt");
  });
});

test("a wait whose signal is aborted beforehand leaves no unhandled rejection", async () => {
  const unheard: unknown[] = [];
  const hear = (reason: unknown) => void unheard.push(reason);
  process.on("unhandledRejection", hear);
  await expect(orAborted(Promise.reject(new Error("gone")), AbortSignal.abort())).rejects.toThrow("abort");
  await new Promise(setImmediate); // Node reports unhandled rejections before.
  process.off("unhandledRejection", hear);
  expect(unheard).toEqual([]);
});
