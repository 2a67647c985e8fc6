/** The simplest client of each server, without checks or decisions. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";
import { packageFiles, parsePreprocessing } from "@tributary/inference";
import sharp from "sharp";

export type Call = (jpegs: readonly Buffer[]) => Promise<unknown>;

export type Direct = { readonly call: Call; close(): void };

export function directV2(url: string, model: string, packageDir: string, threads: number): Direct {
  const { post, close } = poster();
  const prepare = preparer(packageDir);
  const call: Call = async (jpegs) => {
    const tensors: Prepared[] = [];
    const worker = async (first: number) => {
      for (let i = first; i < jpegs.length; i += threads) tensors[i] = await prepare(jpegs[i] as Buffer);
    };
    await Promise.all(Array.from({ length: threads }, (_, first) => worker(first)));
    return post(
      `${url}/v2/models/${model}/infer`,
      ...v2Body(
        "FP32",
        tensors[0]?.shape ?? [],
        tensors.map((t) => t.bytes),
      ),
    );
  };
  return { call, close };
}

export function directV2Jpeg(url: string, model: string): Direct {
  const { post, close } = poster();
  const call: Call = (jpegs) => {
    const parts = jpegs.flatMap((jpeg) => {
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32LE(jpeg.length);
      return [Buffer.concat([length, jpeg])];
    });
    return post(`${url}/v2/models/${model}/infer`, ...v2Body("BYTES", [1], parts));
  };
  return { call, close };
}

export function directJson(url: string): Direct {
  const { post, close } = poster();
  const call: Call = (jpegs) => {
    const body = JSON.stringify({ instances: jpegs.map((jpeg) => ({ b64: jpeg.toString("base64") })) });
    return post(url, Buffer.from(body), { "content-type": "application/json" }).then(({ body }) =>
      JSON.parse(`${body}`),
    );
  };
  return { call, close };
}

/** SageMaker takes signed requests only: the direct lane is AWS' own client with its defaults. */
export function directSagemaker(endpoint: string, EndpointName: string): Direct {
  const client = new SageMakerRuntimeClient({ region: "eu-central-1", endpoint });
  const call: Call = async (jpegs) => {
    const Body = JSON.stringify({ instances: jpegs.map((jpeg) => ({ b64: jpeg.toString("base64") })) });
    const output = await client.send(
      new InvokeEndpointCommand({ EndpointName, ContentType: "application/json", Body }),
    );
    return JSON.parse(Buffer.from(output.Body).toString());
  };
  return { call, close: () => client.destroy() };
}

function v2Body(
  datatype: string,
  shape: readonly number[],
  parts: readonly Uint8Array[],
): [Buffer, Record<string, string>] {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const input = { name: "input", shape: [parts.length, ...shape], datatype, parameters: { binary_data_size: size } };
  const outputs = [{ name: "logits", parameters: { binary_data: true } }];
  const head = Buffer.from(JSON.stringify({ inputs: [input], outputs }));
  return [Buffer.concat([head, ...parts]), { "inference-header-content-length": String(head.length) }];
}

type Prepared = { readonly bytes: Uint8Array; readonly shape: readonly number[] };

/** Decodes, resizes and normalises one picture, as bench edge's bare lane does. */
function preparer(packageDir: string): (jpeg: Buffer) => Promise<Prepared> {
  sharp.concurrency(1);
  sharp.cache(false);
  const config: unknown = JSON.parse(readFileSync(join(packageDir, packageFiles.preprocessor), "utf8"));
  const { scale, offset, resize } = parsePreprocessing(config);
  const { width, height } = resize ?? { width: 0, height: 0 };
  return async (jpeg) => {
    const pixels = await sharp(jpeg, { sequentialRead: true })
      .resize(width, height, { kernel: "cubic", fit: "fill", fastShrinkOnLoad: false })
      .raw()
      .toBuffer();
    const area = width * height;
    const tensor = new Float32Array(3 * area);
    for (let channel = 0; channel < 3; channel++) {
      const [a, b] = [scale[channel] as number, offset[channel] as number];
      for (let i = 0; i < area; i++) tensor[channel * area + i] = (pixels[i * 3 + channel] as number) * a + b;
    }
    return { bytes: new Uint8Array(tensor.buffer), shape: [3, height, width] };
  };
}

type Answer = { readonly body: Buffer };

function poster() {
  const agent = new Agent({ keepAlive: true });
  const post = (url: string, body: Buffer, headers: Record<string, string>): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request(url, { method: "POST", agent, headers: { ...headers, "content-length": body.length } });
      sent.once("error", reject);
      sent.once("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const answer = { body: Buffer.concat(chunks) };
          if (response.statusCode === 200) resolve(answer);
          else reject(new Error(`HTTP ${response.statusCode}: ${answer.body.toString("utf8", 0, 200)}`));
        });
      });
      sent.end(body);
    });
  return { post, close: () => agent.destroy() };
}
