/** Third-party consumers read the same final answers as the verifier. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Classifications, topics } from "@tributary/contracts";
import { KafkaReader, PlatformaticSink } from "@tributary/kafka";
import { accountOf, type Stack, startStack, untilAnswered } from "@tributary/stack";
import { recordsIn, repositoryRoot, tempDir, testKafka, waitFor } from "@tributary/testing";
import { debian, flinkJars, goProgram, python } from "../../../tools/peers.mjs";

const FRAMES = 300;
const java = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, "bin/java") : "java";
const SHORT_LIVED = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
const examples = join(repositoryRoot, "examples/consumers");

describe("given a stack that answered some hundred frames, and a contradicting duplicate", () => {
  const dir = tempDir("consumers");
  const { brokers, prefix } = testKafka();
  const programs = new Map<string, readonly [string, ...string[]]>();
  let stack: Stack;
  let expected: readonly string[];

  beforeAll(async () => {
    programs.set("Go", [goProgram("examples/consumers/go")]);
    stack = await startStack({
      dir: dir.path,
      kafka: { brokers, prefix, partitions: 4 },
      agents: { count: 2, frames: FRAMES },
    });
    expect(await untilAnswered(stack, FRAMES, { silenceMsMax: 60_000 })).toBe(true);
    programs.set("Python", [python("consumers"), join(examples, "python/answers.py")]);
    programs.set("TypeScript", [
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      join(examples, "typescript/answers.ts"),
    ]);
    await repeatOneAnswerDifferently({ brokers, prefix });
    const { answered, duplicates, contradictions } = await accountOf({
      brokers,
      prefix,
      from: stack.began,
      ledgers: stack.agents,
    });
    expect({ frames: answered.size, duplicates, contradictions }).toEqual({
      frames: FRAMES,
      duplicates: 1,
      contradictions: 1,
    });
    expected = [...answered]
      .map(([key, { answer }]) => {
        const [deviceId, bootId] = key.split(":");
        const frame = `${deviceId}:${bootId}:${answer.cameraId}:${answer.frameSeq}`;
        return JSON.stringify({ frame, label: answer.label, source: answer.source, settledBy: answer.settledBy });
      })
      .sort();
  });
  afterAll(async () => {
    await stack?.stop();
    dir.remove();
  });

  test.each(["Python", "Go", "TypeScript"])(
    "when %s reads the topic with the gateway's schemas, then it prints the verifier's answers, each once",
    async (language) => {
      const [program, ...args] = programs.get(language) as readonly [string, ...string[]];
      const child = spawn(program, args, {
        env: {
          PATH: process.env.PATH,
          HOME: process.env.HOME,
          BROKERS: brokers.join(","),
          REGISTRY: stack.gatewayUrl,
          TOPIC_PREFIX: prefix,
          GROUP: `${prefix}${language}`,
        },
      });
      const printed = linesOf(child);
      await waitFor(async () => printed.lines.length >= FRAMES || child.exitCode !== null || undefined, {
        what: `${FRAMES} answers of ${language}`,
      });
      await committed(stack, `${prefix}${language}`);
      child.kill("SIGTERM");
      const code = await printed.exited;
      const answers = printed.lines.map((line) => JSON.stringify(JSON.parse(line))).sort();
      expect({ code, answers, complaints: printed.complaints() }).toEqual({
        code: 0,
        answers: expected,
        complaints: expect.anything(),
      });
    },
  );

  test("when kcat reads it, then its keys and headers are those that our reader sees", async () => {
    debian("kcat");
    const { stdout, status } = spawnSync("sh", [join(examples, "kcat.sh"), "-e"], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, BROKERS: brokers.join(","), TOPIC_PREFIX: prefix },
    });
    expect(status).toBe(0);
    const records = await recordsIn({ brokers, prefix }, topics.classifications.name);
    const seen = records.map(({ partition, offset, key, value, headers }) => {
      const pairs = Object.entries(headers).map(([header, text]) => `${header}=${text}`);
      return `${partition}:${offset} ${key} ${value?.length} bytes ${pairs.join(",")}`;
    });
    expect(stdout.trim().split("\n").sort()).toEqual(seen.sort());
    expect(stdout).toMatch(/^\d+:\d+ device-[12] \d+ bytes ce_id=device-/m);
  });

  test.each(["Python", "Java"])(
    "when Confluent's %s client asks the gateway's registry, then it finds what there is and understands what is refused",
    (language) => {
      const dir = join(repositoryRoot, "lab/e2e/registry-clients");
      const command =
        language === "Java"
          ? [java, ...SHORT_LIVED, "-cp", flinkJars(), "RegistryClient.java"]
          : [python("consumers"), "registry_client.py"];
      const { codec, name } = topics.frames;
      const subject = `${prefix}${name}-value`;
      const [program, ...args] = command as [string, ...string[]];
      const { stdout, stderr } = spawnSync(program, [...args, stack.gatewayUrl, subject], {
        cwd: dir,
        encoding: "utf8",
      });
      const { version, id } = codec.current;
      expect({ lines: stdout.trim().split("\n"), stderr }).toEqual({
        lines: [
          "subjects: True",
          `versions: [${codec.versions.map((one) => one.version).join(", ")}]`,
          `latest: ${version} ${id}`,
          "schema by id: True",
          `looked up: 1 ${codec.versions[0]?.id}`,
          `registered: ${id}`,
          `subjects of the id: ['${subject}']`,
          `versions of the id: ['${subject} ${version}']`,
          "compatibility: FULL_TRANSITIVE",
          "mode: READONLY",
          "unknown subject: 404 40401",
          "unknown version: 404 40402",
          "unknown id: 404 40403",
          "unknown schema: 404 40403",
          "another schema: 422 42205",
          "another compatibility: 422 42205",
          "another mode: 422 42205",
          "deletion: 422 42205",
        ],
        stderr: expect.any(String),
      });
    },
  );

  test("when Flink reads an answer by the guide's table, then its enums are text; without the table's schema it reads none", async () => {
    const guide = readFileSync(join(repositoryRoot, "docs/guides/consume-the-topics.md"), "utf8");
    const table = /^```sql\n(CREATE TABLE answers .*?)```$/ms.exec(guide)?.[1] ?? "";
    writeFileSync(join(dir.path, "answers.sql"), table);
    const [first] = await recordsIn({ brokers, prefix }, topics.classifications.name);
    const value = first?.value ?? Buffer.alloc(0);
    writeFileSync(join(dir.path, "answers.avro"), value);
    const args = [stack.gatewayUrl, join(dir.path, "answers.sql"), join(dir.path, "answers.avro")];
    const { stdout } = spawnSync(java, [...SHORT_LIVED, "-cp", flinkJars(), "FlinkTable.java", ...args], {
      cwd: join(repositoryRoot, "lab/e2e/registry-clients"),
      encoding: "utf8",
    });
    const { deviceId, bootId, answers } = Classifications.decodeConfluent(value);
    expect(stdout.trim().split("\n")).toEqual([
      "without the schema: Found tributary.v1.AnswerSource, expecting string",
      `deviceId: ${deviceId}`,
      `bootId: ${bootId}`,
      ...answers.map((a) => `${a.cameraId} ${a.frameSeq} ${a.label} ${a.source} ${a.settledBy} ${a.confidence}`),
    ]);
  });

  test("the pins of the Python example are those that this test ran", () => {
    expect(readFileSync(join(examples, "python/requirements.txt"), "utf8")).toBe(
      readFileSync(join(repositoryRoot, "tools/peers/consumers.txt"), "utf8"),
    );
  });
});

/** What a router that was killed between writing and committing would do, only worse: the label is another. */
async function repeatOneAnswerDifferently({ brokers, prefix }: { brokers: readonly string[]; prefix: string }) {
  const { name } = topics.classifications;
  const [first] = await recordsIn({ brokers, prefix }, name);
  const record = Classifications.decodeConfluent(first?.value as Buffer);
  const answers = record.answers.slice(0, 1).map((answer) => ({ ...answer, label: "a repeat" }));
  const repeat = Classifications.encodeConfluent({ ...record, answers });
  const sink = new PlatformaticSink({ brokers, prefix, clientId: "consumers-test" });
  await sink
    .send([{ topic: name, key: first?.key as string, value: repeat, headers: first?.headers ?? {} }])
    .finally(() => sink.close());
}

/** Whether anything but the markers of claims (ADR 28) is stored from there on: consumers pass those, and commit behind records. */
async function hasRecords(reader: KafkaReader, partition: number, from: bigint): Promise<boolean> {
  const { name } = topics.classifications;
  const { next } = await reader.offsets(name, partition);
  for await (const _ of reader.read(name, partition, { from, until: next })) return true;
  return false;
}

/** Waits until a group has read everything: what it would print wrongly, it has printed. */
async function committed(stack: Stack, group: string): Promise<void> {
  const { Kafka, logLevel } = await import("kafkajs");
  const admin = new Kafka({ brokers: [...stack.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const topic = stack.prefix + topics.classifications.name;
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "consumers-test" });
  await waitFor(
    async () => {
      const [at] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      let isBehind = false;
      for (const partition of await reader.partitions(topics.classifications.name)) {
        const offset = BigInt(at?.partitions.find((candidate) => candidate.partition === partition)?.offset ?? "-1");
        isBehind ||= await hasRecords(reader, partition, offset < 0n ? 0n : offset);
      }
      return !isBehind || undefined;
    },
    { what: `${group} to read everything` },
  );
  await reader.close();
  await admin.disconnect();
}

function linesOf(child: ChildProcess) {
  const lines: string[] = [];
  let complaints = "";
  const reading = createInterface({ input: child.stdout as NonNullable<ChildProcess["stdout"]> });
  reading.on("line", (line) => lines.push(line));
  child.stderr?.on("data", (chunk) => {
    complaints = (complaints + chunk).slice(-4_000);
  });
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return { lines, exited, complaints: () => complaints };
}
