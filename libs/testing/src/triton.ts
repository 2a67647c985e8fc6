/** A real Triton Inference Server that serves a model package of ours: the program that PyTriton brings, with its Python
 * backend, in which ONNX Runtime runs the package's own model file. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { python } from "../../../tools/peers.mjs";
import { repositoryRoot } from "./process.ts";
import { freePort } from "./temp.ts";
import { waitFor } from "./wait.ts";

export type TritonOptions = {
  readonly packageDir: string;
  /** Inputs of the models by their names on the server: preprocessed tensors, or JPEGs that Pillow decodes there. */
  readonly models: Readonly<Record<string, "tensor" | "jpeg">>;
  readonly version: number;
  readonly batchMax: number;
};

export type Triton = {
  readonly url: string;
  /** As the server reports it. */
  readonly version: string;
  stop(): Promise<void>;
};

/** Whether it can be started at once; `python("triton")` downloads half a gigabyte otherwise. */
export const isTritonInstalled = (): boolean =>
  existsSync(join(repositoryRoot, ".local/peers/python-triton/requirements.sha256"));

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export async function startTriton({ models, ...served }: TritonOptions): Promise<Triton> {
  const program = python("triton");
  const asked = "import sys, sysconfig; v = sys.version_info; print(sysconfig.get_path('purelib'), f'{v[0]}.{v[1]}')";
  const [packages = "", pythonVersion = ""] = spawnSync(program, ["-c", asked], { encoding: "utf8" })
    .stdout.trim()
    .split(" ");
  const server = join(packages, "pytriton/tritonserver");
  const dir = mkdtempSync(join(tmpdir(), "tributary-triton-"));
  const backend = join(dir, "backends/python");
  mkdirSync(backend, { recursive: true });
  for (const file of [
    "backends/python/libtriton_python.so",
    "backends/python/triton_python_backend_utils.py",
    `python_backend_stubs/${pythonVersion}/triton_python_backend_stub`,
  ]) {
    symlinkSync(join(server, file), join(backend, file.split("/").at(-1) ?? ""));
  }
  for (const [name, input] of Object.entries(models)) writeModel(join(dir, "models", name), name, input, served);

  const port = await freePort();
  const args = [
    `--model-repository=${join(dir, "models")}`,
    `--backend-directory=${dirname(backend)}`,
    `--http-port=${port}`,
    "--http-address=127.0.0.1",
    "--allow-grpc=false",
    "--allow-metrics=false",
  ];
  const libraries = [join(packages, "nvidia_pytriton.libs"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  const env = { ...process.env, LD_LIBRARY_PATH: libraries, TRITON_PACKAGES: packages, ORT_DISABLE_TELEMETRY: "1" };
  const child = spawn(join(server, "bin/tritonserver"), args, { stdio: ["ignore", "ignore", "pipe"], env });
  running.add(child);
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-20_000);
  });
  const exited = new Promise<void>((resolve) => {
    child.once("close", () => {
      running.delete(child);
      rmSync(dir, { recursive: true, force: true });
      resolve();
    });
  });
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(timer);
  };
  try {
    const ready = waitFor(async () => (await fetch(`${url}/v2/health/ready`).catch(() => null))?.ok, {
      what: "Triton",
      everyMs: 100,
    });
    const ended = exited.then(() => Promise.reject(new Error(`tritonserver ended:\n${log}`)));
    await Promise.race([ready, ended]);
    ended.catch(() => {});
    const described = (await (await fetch(`${url}/v2`)).json()) as { version: string };
    return { url, version: described.version, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The model's folder in Triton's repository. */
function writeModel(
  folder: string,
  name: string,
  input: "tensor" | "jpeg",
  { packageDir, version, batchMax }: Omit<TritonOptions, "models">,
): void {
  const read = (file: string): unknown => JSON.parse(readFileSync(join(packageDir, file), "utf8"));
  const { tensors } = read("manifest.json") as { tensors: { input: string; logits: string } };
  const { size, data_format, channel_order } = read("preprocessor_config.json") as {
    size: { height: number; width: number };
    data_format?: string;
    channel_order?: string;
  };
  const labels = read("labels.json") as string[];
  const channels = channel_order === "L" ? 1 : 3;
  const sides =
    data_format === "channels_last" ? [size.height, size.width, channels] : [channels, size.height, size.width];
  const [type, dims] = input === "tensor" ? ["TYPE_FP32", sides] : ["TYPE_STRING", [1]];
  mkdirSync(join(folder, String(version)), { recursive: true });
  writeFileSync(
    join(folder, "config.pbtxt"),
    `name: "${name}"
backend: "python"
max_batch_size: ${batchMax}
input [ { name: "${tensors.input}" data_type: ${type} dims: [ ${dims.join(", ")} ] } ]
output [ { name: "${tensors.logits}" data_type: TYPE_FP32 dims: [ ${labels.length} ] } ]
parameters: { key: "package" value: { string_value: "${resolve(packageDir)}" } }
instance_group [ { kind: KIND_CPU count: 1 } ]
version_policy: { all { } }
`,
  );
  writeFileSync(join(folder, String(version), "model.py"), PROGRAM);
}

/** The stub that embeds Python takes no PYTHONPATH. */
const PROGRAM = `import io
import json
import os
import sys

sys.path.insert(0, os.environ["TRITON_PACKAGES"])

import numpy
import onnxruntime
import triton_python_backend_utils as triton
from PIL import Image


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        package = config["parameters"]["package"]["string_value"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(package, "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = config["input"][0]["name"]
        self.output = config["output"][0]["name"]
        self.takes_jpegs = config["input"][0]["data_type"] == "TYPE_STRING"
        with open(os.path.join(package, "preprocessor_config.json")) as file:
            self.preprocessing = json.load(file)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = triton.get_input_tensor_by_name(request, self.input).as_numpy()
        if self.takes_jpegs:
            given = numpy.stack([self.tensor(jpeg) for jpeg in given.reshape(-1)])
        (logits,) = self.session.run([self.output], {self.input: given})
        return triton.InferenceResponse(output_tensors=[triton.Tensor(self.output, logits)])

    def tensor(self, jpeg):
        p = self.preprocessing
        picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
        picture = picture.resize((p["size"]["width"], p["size"]["height"]), p["resample"])
        values = numpy.asarray(picture, dtype=numpy.float32) * p["rescale_factor"]
        values = (values - numpy.float32(p["image_mean"])) / numpy.float32(p["image_std"])
        return values.transpose(2, 0, 1)
`;
