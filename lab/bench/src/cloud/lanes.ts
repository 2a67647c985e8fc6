/** The pairs that are compared: one of our backends and the simplest client of the same server. */
import {
  type ClassifierConfig,
  type CloudBackend,
  configSchema,
  OnnxBackend,
  type RemoteContext,
  SagemakerBackend,
  startKserve,
  startTfServing,
  type TargetConfig,
} from "@tributary/cloud-classifier";
import { systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { startModelServer } from "@tributary/stack";
import { isTritonInstalled, startTriton } from "@tributary/testing";
import { type Call, type Direct, directJson, directSagemaker, directV2, directV2Jpeg } from "./direct.ts";

export type Pair = {
  readonly backend: string;
  /** What runs the model, by its true name. */
  readonly server: string;
  readonly ours: Call;
  readonly direct: Call;
  close(): Promise<void>;
};

/** Frames that a call may hold; at least the largest batch that is measured. */
const BATCH_MAX = 16;
const DEADLINE_MS = 10_000;

export async function startPairs(packageDir: string, progress: (line: string) => void): Promise<readonly Pair[]> {
  const pairs: Pair[] = [];
  const stop = () => Promise.all(pairs.map((pair) => pair.close()));
  try {
    pairs.push(await localPair(packageDir));
    if (isTritonInstalled()) {
      progress("starting Triton");
      pairs.push(await tritonPair(packageDir));
    } else {
      progress(
        "Triton is not installed here (npm run test:file -- services/cloud-classifier/src/triton.peer.test.ts installs it): a stub replaces it",
      );
    }
    progress("starting the stub servers");
    pairs.push(...(await stubPairs(packageDir, pairs.length > 1)));
    return pairs;
  } catch (error) {
    await stop();
    throw error;
  }
}

async function localPair(packageDir: string): Promise<Pair> {
  const host = new OnnxModelHost(loadPackage);
  const backend = await OnnxBackend.start({ host, packageDir, threads: 1, ...context });
  const model = await host.load(packageDir, { threads: 1 });
  return {
    backend: "onnx",
    server: "the model's child, called directly",
    ours: classifying(backend),
    direct: (jpegs) => model.inferBatch(jpegs),
    close: async () => void (await Promise.all([backend.close(), model.close()])),
  };
}

async function tritonPair(packageDir: string): Promise<Pair> {
  const triton = await startTriton({ packageDir, models: { m: "tensor" }, version: 1, batchMax: BATCH_MAX });
  try {
    const config = targetOf({
      backend: "kserve",
      url: triton.url,
      model: "m",
      package: packageDir,
      batchMax: BATCH_MAX,
    });
    const backend = await startKserve(config, context);
    const direct = directV2(triton.url, "m", packageDir, config.threads);
    const server = `Triton ${triton.version}, tensors`;
    return pairOf("kserve", server, backend, direct, () => triton.stop());
  } catch (error) {
    await triton.stop();
    throw error;
  }
}

async function stubPairs(packageDir: string, hasTriton: boolean): Promise<readonly Pair[]> {
  const stub = await startModelServer(packageDir);
  try {
    const { url } = stub;
    const remote = { url, model: "m", package: packageDir, input: "jpeg", batchMax: BATCH_MAX };
    const labels = `${packageDir}/labels.json`;
    const pairs: Pair[] = [];
    if (!hasTriton) {
      const backend = await startKserve(targetOf({ backend: "kserve", ...remote }), context);
      pairs.push(pairOf("kserve", "stub shaped like KServe v2, JPEGs", backend, directV2Jpeg(url, "m")));
    }
    const tf = await startTfServing(targetOf({ backend: "tf-serving", ...remote }), context);
    pairs.push(
      pairOf("tf-serving", "stub shaped like TF Serving, JPEGs", tf, directJson(`${url}/v1/models/m:predict`)),
    );
    // The client signs its requests, whichever server gets them.
    process.env.AWS_ACCESS_KEY_ID ??= "bench";
    process.env.AWS_SECRET_ACCESS_KEY ??= "bench";
    const endpoint = { endpoint: "m", region: "eu-central-1", endpointUrl: url, labels };
    const how = { body: "json", batchMax: BATCH_MAX, answer: { kind: "logits" } };
    const sagemaker = await SagemakerBackend.start(
      targetOf({ backend: "sagemaker", ...endpoint, ...how }),
      systemClock,
    );
    const direct = directSagemaker(url, "m");
    pairs.push(pairOf("sagemaker", "stub shaped like SageMaker, JPEGs", sagemaker, direct, () => stub.stop()));
    return pairs;
  } catch (error) {
    await stub.stop();
    throw error;
  }
}

const pairOf = (
  backend: string,
  server: string,
  ours: CloudBackend,
  direct: Direct,
  stop: () => Promise<void> = async () => {},
): Pair => ({
  backend,
  server,
  ours: classifying(ours),
  direct: direct.call,
  close: async () => {
    direct.close();
    await ours.close();
    await stop();
  },
});

const classifying =
  (backend: CloudBackend): Call =>
  async (jpegs) => {
    const signal = new AbortController().signal;
    const frames = jpegs.map((jpeg) => ({ jpeg }));
    const outcomes = await backend.classify(frames, { deadline: Date.now() + DEADLINE_MS, signal });
    const wrong = outcomes.find((outcome) => outcome.kind !== "answered");
    if (wrong !== undefined) throw new Error(`${wrong.kind}: ${JSON.stringify(wrong)}`);
  };

type Target<B> = Extract<TargetConfig, { backend: B }>;

/** A target as its configuration would give it, defaults and all. */
function targetOf<B extends TargetConfig["backend"]>(config: { readonly backend: B; readonly [key: string]: unknown }) {
  const parsed: ClassifierConfig = configSchema.parse({ kafka: { brokers: ["none:1"] }, targets: { bench: config } });
  return parsed.targets.bench as Target<B>;
}

const context: RemoteContext = {
  clock: systemClock,
  random: Math.random,
  events: { loaded: () => {}, lost: () => {}, loadFailed: () => {}, server: () => {} },
};
