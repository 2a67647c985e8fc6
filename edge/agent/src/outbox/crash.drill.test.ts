/** Kill -9 at random moments, with connections cut in between: every record reported as committed reaches the broker, every
 * frame in exactly one prediction record, every stream in `seq` order without a gap (G1, G2, G3). */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { EdgeFrame, EdgePredictions } from "@tributary/contracts";
import { seededRandom } from "@tributary/kernel";
import { TinyBroker } from "@tributary/testing/devices";
import { type AgelessRecord, agelessRecord } from "../testing/items.ts";

const WRITER = fileURLToPath(new URL("../../dist/testing/crash-writer.js", import.meta.url));
const SEED = 20_251;
const KILLS = 6;

let broker: TinyBroker;
let folder: string;
let child: ChildProcess | undefined;
const committed = new Map<string, number>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tributary-crash-"));
  broker = await TinyBroker.open();
});

afterAll(async () => {
  child?.kill("SIGKILL");
  await broker.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Resolves at its first line that starts like this. */
function start(rate: number, until: string): Promise<void> {
  child = spawn(process.execPath, [WRITER, folder, broker.url, String(rate)], { stdio: ["pipe", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    createInterface({ input: child?.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const [word, boot = "", , to] = line.split(" ");
      if (word === "committed") committed.set(boot, Number(to));
      if (word === "failed") reject(new Error(line));
      if (line.startsWith(until)) resolve();
    });
  });
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function kill(): Promise<void> {
  const exited = new Promise((resolve) => child?.once("close", resolve));
  child?.kill("SIGKILL");
  await exited;
}

test(`${KILLS} kills (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  for (let i = 0; i < KILLS; i++) {
    await start(400, "committed");
    await sleep(random() * 300);
    // Records that the broker takes without an acknowledgement that reaches the device.
    if (random() < 0.5) broker.hold = new Promise(() => undefined);
    await sleep(random() * 300);
    if (random() < 0.5) broker.cut();
    await sleep(random() * 200);
    broker.hold = Promise.resolve();
    await kill();
  }
  await start(0, "settled");
  await kill();

  const contentOf = new Map<string, AgelessRecord>();
  const seqsOf = new Map<string, number[]>();
  const predicted = new Map<string, number>();
  const sent = new Set<string>();
  const differing: string[] = [];
  for (const { topic, payload } of broker.received) {
    const stream = topic.split("/").at(-1) ?? "";
    if (stream !== "frames" && stream !== "predictions") continue;
    const record = (stream === "frames" ? EdgeFrame : EdgePredictions).decodeSingleObject(payload);
    const name = `${stream}/${record.bootId}/${record.seq}`;
    const content = agelessRecord(stream, payload);
    const before = contentOf.get(name);
    if (before !== undefined && (before.text !== content.text || before.ageMs > content.ageMs)) differing.push(name);
    contentOf.set(name, content);
    if (before !== undefined) continue;
    const key = `${stream}/${record.bootId}`;
    seqsOf.set(key, [...(seqsOf.get(key) ?? []), Number(record.seq)]);
    if ("predictions" in record) {
      for (const { frameSeq } of record.predictions) {
        const frame = `${record.bootId}:${frameSeq}`;
        predicted.set(frame, (predicted.get(frame) ?? 0) + 1);
      }
    } else sent.add(`${record.bootId}:${record.frameSeq}`);
  }
  expect(differing).toEqual([]);
  for (const [stream, seqs] of seqsOf) expect([stream, seqs]).toEqual([stream, seqs.map((_, i) => i + 1)]); // G3
  expect([...predicted].filter(([, records]) => records !== 1)).toEqual([]); // G2
  const frames = [...committed].flatMap(([boot, upTo]) =>
    Array.from({ length: upTo }, (_, i) => [boot, i + 1] as const),
  );
  expect(frames.length).toBeGreaterThan(300);
  expect(frames.filter(([boot, n]) => !predicted.has(`${boot}:${n}`))).toEqual([]); // G1
  expect(frames.filter(([boot, n]) => n % 4 === 0 && !sent.has(`${boot}:${n}`))).toEqual([]);
});
