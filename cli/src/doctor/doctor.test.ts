import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { tributaryTopics } from "@tributary/kafka";
import { judgeDeadLetters, judgeGroups, judgeOutages, judgeTopics } from "./kafka-judgement.ts";
import { redactedConfig, redactedText } from "./redact.ts";
import { tarOf } from "./tar.ts";

describe("a cluster", () => {
  const specs = tributaryTopics();
  const states = specs.map(({ name }) => ({ name, partitions: 32, leaderless: 0, underReplicated: 0 }));
  const facts = specs.map(({ name, partitions, config = {} }) => ({ name, partitions, replicationFactor: 1, config }));
  const changed = (of: string, change: Record<string, string>, replicationFactor = 1) =>
    facts.map((fact) =>
      fact.name === of ? { ...fact, replicationFactor, config: { ...fact.config, ...change } } : fact,
    );
  const judge = (change: Partial<(typeof states)[number]>, of = topics.frames.name) =>
    judgeTopics(
      states.map((state) => (state.name === of ? { ...state, ...change } : state)),
      facts,
      "--brokers b:1",
    ).filter(({ state }) => state !== "ok");

  test("as it should be has no finding but ok", () => {
    expect(judge({})).toEqual([]);
    const kept = changed(topics.frames.name, { "retention.ms": "-1", "max.message.bytes": "99999999" });
    expect(judgeTopics(states, kept, "").every(({ state }) => state === "ok")).toBe(true);
  });

  test("with topics missing, parted, leaderless, behind or wrongly set is reported, with advice (D1, D2)", () => {
    expect(judge({ name: "other" })).toMatchObject([
      { state: "failed", advice: expect.stringContaining("topics create") },
    ]);
    expect(judge({ partitions: 8 })).toMatchObject([
      { check: "partitions", detail: expect.stringContaining("8: edge.frames") },
    ]);
    expect(judge({ partitions: 8 }, topics.policies.name)).toEqual([]);
    expect(judge({ leaderless: 1 })).toMatchObject([{ check: "topics", state: "failed" }]);
    expect(judge({ underReplicated: 1 })).toMatchObject([{ check: "topics", state: "warning" }]);
    const short = changed(topics.groundTruth.name, { "retention.ms": "1000" });
    expect(judgeTopics(states, short, "")).toContainEqual(
      expect.objectContaining({
        state: "warning",
        detail: expect.stringContaining("ground-truth.v1 retention.ms is 1000"),
      }),
    );
    const boundless = changed("edge.frames.v1.bridge.dlq", { "retention.bytes": "-1" });
    expect(judgeTopics(states, boundless, "")).toContainEqual(
      expect.objectContaining({ state: "warning", advice: expect.stringContaining("topics create --repair") }),
    );
  });

  test.each([
    ["one replica that is not flushed", 1, { "flush.messages": "9223372036854775807" }],
    ["three replicas of which one in sync suffices", 3, { "min.insync.replicas": "1" }],
    ["timestamps of producers", 1, { "message.timestamp.type": "CreateTime" }],
  ])("may lose records with %s, which is a failure with its repair", (_, replicas, change) => {
    expect(judgeTopics(states, changed(topics.frames.name, change, replicas), "--brokers b:1")).toContainEqual({
      check: "topic durability",
      state: "failed",
      detail: expect.stringContaining(`edge.frames.v1 ${Object.keys(change)[0]} is ${Object.values(change)[0]}`),
      advice: expect.stringContaining("tributary topics create --brokers b:1"),
    });
  });

  test("whose consumers are absent, dead or behind", () => {
    const lag = (topic: string, records: bigint) => ({ topic, lag: records });
    const group = { group: "router", state: "Stable", members: 2, topics: [lag("a", 10n), lag("b", 5n)] };
    expect(judgeGroups([group]).map(({ state }) => state)).toEqual(["ok", "failed", "failed", "skipped", "skipped"]);
    expect(judgeGroups([{ ...group, members: 0 }])[0]).toMatchObject({ state: "failed" });
    const archive = { ...group, group: "frame-archive", members: 0 }; // optional, but not once it was used
    expect(judgeGroups([archive]).find(({ check }) => check === "consumer frame-archive")).toMatchObject({
      state: "failed",
    });
    const behind = { ...group, topics: [lag("a", 10n), lag("b", 5_000n)] };
    expect(judgeGroups([behind])[0]).toMatchObject({
      state: "warning",
      detail: "2 members, 5010 records behind, most on b",
    });
    expect(judgeDeadLetters(new Map([["x.dlq", 3n]]))).toMatchObject({ state: "warning", detail: "x.dlq 3" });
  });
});

test("each consumer's outage that the disk allows is shown, by its topic with least room, and a short one is a warning", () => {
  const outage = (group: string, topic: string, currentMs: number, permittedMs: number) => ({
    ...{ group, topic, currentMs, permittedMs },
    bytesPerSecond: 1,
  });
  const [router, archive] = judgeOutages([
    outage("router", "frames", 10 * 3_600_000, 26_000),
    outage("router", "predictions", 30 * 3_600_000, 40_000),
    outage("frame-archive", "frames", 300_000, 26_000),
  ]);
  expect(router).toMatchObject({
    check: "outage of router",
    state: "ok",
    detail: "may last 10 h at the current rate (frames), 26 s at the permitted one (frames)",
  });
  expect(archive).toMatchObject({
    state: "warning",
    detail: expect.stringMatching(/^may last 5 min .*; then Kafka deletes what it has not read$/),
  });
});

describe("a bundle", () => {
  test("has no secrets of configuration or logs (R1, R2)", () => {
    const config = `
mqtt: { url: "mqtts://user:hunter2@broker:8883", password: hunter2, keepaliveSeconds: 30 }
auth: { tokens: [hunter2, hunter2] }
schemaRegistry: { url: https://r, basicAuth: { username: hunter2, password: hunter2 } }
targets: { a: { apiKey: hunter2, url: http://h:1, headers: { x-triton: hunter2, x-api-key: hunter2 } } }
`;
    const text = redactedConfig(config);
    expect(text).not.toContain("hunter2");
    for (const kept of ["keepaliveSeconds: 30", "broker:8883", "http://h:1"]) expect(text).toContain(kept);
    const log = [
      '{"level":"info","password":"hunter2","token": "hunter2 with spaces","deviceId":"cam"}',
      "Authorization: Bearer hunter2.hunter2",
      "connecting to mqtt://me:hunter2@host:1883 password=hunter2&x=1",
      "secretAccessKey: 'hunter2'",
      "x-api-key: hunter2, set-cookie: hunter2",
    ].join("\n");
    expect(redactedText(log)).not.toContain("hunter2");
    expect(redactedText(log)).toContain('"deviceId":"cam"');
    expect(() => redactedConfig("secret: [hunter2")).toThrow(/^not YAML: [A-Z_]+$/);
  });

  test("is an archive that tar reads", () => {
    const dir = mkdtempSync(join(tmpdir(), "tar-"));
    try {
      const long = `${"folder/".repeat(20)}file.txt`;
      const entries = [
        { name: "a/empty", bytes: Buffer.alloc(0) },
        { name: long, bytes: Buffer.from("x".repeat(513)) },
      ];
      writeFileSync(join(dir, "t.tar"), tarOf(entries, 1_700_000_000_000));
      const listed = execFileSync("tar", ["-tf", join(dir, "t.tar")], { encoding: "utf8" });
      expect(listed.trim().split("\n")).toEqual(["a/empty", long]);
      execFileSync("tar", ["-xf", join(dir, "t.tar"), "-C", dir]);
      expect(readFileSync(join(dir, long), "utf8")).toHaveLength(513);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
