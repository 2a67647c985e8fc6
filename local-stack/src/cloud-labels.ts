/** What the cloud package says of the sample photos, offline: the same bytes the cameras showed, without the system. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { mains, samples } from "./paths.ts";

const BATCH = 32;

export async function cloudLabelsOf(photos: ReadonlySet<number>, packageDir: string): Promise<Map<number, string>> {
  const labels = new Map<number, string>();
  const count = Math.max(-1, ...photos) + 1;
  if (count === 0) return labels;
  const model = await new OnnxModelHost(loadPackage).load(packageDir, { threads: 2 });
  try {
    let batch: { photo: number; jpeg: Buffer }[] = [];
    const flush = async () => {
      const results = await model.inferBatch(batch.map(({ jpeg }) => jpeg));
      for (const [i, result] of results.entries()) {
        if (!result.ok) throw new Error(`photo ${batch[i]?.photo}: ${result.message}`);
        const { logits } = result.inference;
        labels.set(batch[i]?.photo as number, model.labels[logits.indexOf(Math.max(...logits))] as string);
      }
      batch = [];
    };
    for await (const shown of camera(count)) {
      if (photos.has(shown.photo)) batch.push(shown);
      if (batch.length === BATCH) await flush();
    }
    if (batch.length > 0) await flush();
  } finally {
    await model.close();
  }
  return labels;
}

/** The sample camera itself, as fast as it is read; its ledger tells where each JPEG ends. */
async function* camera(frames: number): AsyncGenerator<{ photo: number; jpeg: Buffer }> {
  const dir = mkdtempSync(join(tmpdir(), "tributary-photos-"));
  const ledger = join(dir, "ledger.jsonl");
  const child = spawn(
    process.execPath,
    [mains.sampleCamera, "--sheets", samples, "--fps", "0", "--frames", String(frames), "--ledger", ledger],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  try {
    let rest = Buffer.alloc(0);
    let at = 0;
    let sizes: { photo: number; bytes: number }[] = [];
    for await (const chunk of child.stdout) {
      rest = Buffer.concat([rest, chunk as Buffer]);
      if (at >= sizes.length && existsSync(ledger)) sizes = readSizes(ledger);
      for (let next = sizes[at]; next !== undefined && rest.length >= next.bytes; next = sizes[at]) {
        yield { photo: next.photo, jpeg: Buffer.from(rest.subarray(0, next.bytes)) };
        rest = rest.subarray(next.bytes);
        at++;
        if (at >= sizes.length) sizes = readSizes(ledger);
      }
    }
    if (rest.length > 0 || at !== frames) throw new Error(`the sample camera gave ${at} of ${frames} photos`);
  } finally {
    child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}

const readSizes = (ledger: string): { photo: number; bytes: number }[] =>
  readFileSync(ledger, "utf8")
    .split("\n")
    .filter((line) => line.endsWith("}"))
    .map((line) => JSON.parse(line) as { photo: number; bytes: number });
