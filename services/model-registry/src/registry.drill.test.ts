/** The registry as it is deployed: real Kafka, real models, and everything that must never be listed. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type Model, type ModelAliases, topics } from "@tributary/contracts";
import { packageFiles } from "@tributary/inference";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { loadPackage } from "@tributary/model-store";
import { tempDir, testKafka, waitFor } from "@tributary/testing";
import {
  Client,
  EDGE,
  makeKeys,
  partsOf,
  type RegistryProcess,
  type SetFrame,
  sha256,
  startRegistry,
  TOKEN,
  validationFolder,
  writePackage,
} from "./registry.test-kit.ts";

const kafka = { ...testKafka(), clientId: "registry-test" };
const dir = tempDir("registry");
const dataDir = join(dir.path, "data");
const reader = new KafkaReader(kafka);
let config: object;
let service: RegistryProcess;
let client: Client;

beforeAll(async () => {
  const admin = new KafkajsAdmin(kafka);
  await ensureTributaryTopics(admin, { partitions: 2 }).finally(() => admin.close());
  await makeKeys(dataDir);
  const frames = await validationFolder(join(dir.path, "frames"), 300);
  config = {
    kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
    dataDir,
    validation: { edge: frames },
    blobs: { bytesMax: 2 << 20 },
    gate: { corrupted: 60, margins: { latency: 1_000 } }, // A busy machine must not decide.
    tuf: { refreshMs: 500 },
  };
  service = await startRegistry(dir.path, config);
  client = new Client(service.url);
});
afterAll(async () => {
  await service?.stop();
  await reader.close();
  dir.remove();
});

/** A package of its own name and version, in a folder. */
async function made(name: string, version: string, change: Parameters<typeof partsOf>[1] = {}): Promise<string> {
  const folder = join(dir.path, "packages", `${name}-${version}`);
  await writePackage(folder, await partsOf(EDGE, { name, version, ...change }));
  return folder;
}
/** The last record of each key. */
async function recordsOf<T>(topic: { name: string; codec: { decodeConfluent(bytes: Buffer): T } }) {
  const last = new Map<string, T>();
  for await (const { key, value } of readTopic(reader, topic.name)) {
    if (key !== null && value !== null) last.set(key, topic.codec.decodeConfluent(value));
  }
  return last;
}
const models = () => recordsOf<Model>(topics.models);
const aliases = () => recordsOf<ModelAliases>(topics.modelAliases);
const targets = async (): Promise<string[]> => {
  const json = async (file: string) => (await client.call("GET", `/tuf/${file}`)).body as { signed: { meta: never } };
  const versionOf = (of: { signed: { meta: never } }, name: string) =>
    (of.signed.meta as Record<string, { version: number }>)[name]?.version;
  const snapshot = await json(`${versionOf(await json("timestamp.json"), "snapshot.json")}.snapshot.json`);
  const { signed } = (await json(`${versionOf(snapshot, "targets.json")}.targets.json`)) as unknown as {
    signed: { targets: Record<string, unknown> };
  };
  return Object.keys(signed.targets).map((path) => path.slice(0, -".json".length));
};
const authorization = `Bearer ${TOKEN}`;
/** With the token, and as a device or anybody asks. */
const asked = (path: string, init: RequestInit = {}) =>
  fetch(service.url + path, { ...init, headers: { authorization, ...init.headers } });
const stranger = (path: string, init: RequestInit = {}) => fetch(service.url + path, init);
const blobOf = (digest: string) => `/blobs/sha256/${digest}`;
const one = async (path: string) => (await client.call("GET", path)).body as Record<string, unknown>;

describe("blobs", () => {
  const bytes = Buffer.from("0123456789".repeat(1_000));
  const path = `/blobs/sha256/${sha256(bytes)}`;

  test("are served as they were uploaded, in parts, cacheable forever, and uploading twice is idempotent", async () => {
    expect(await client.put(sha256(bytes), bytes)).toMatchObject({ status: 201, body: { bytes: 10_000 } });
    expect((await client.put(sha256(bytes), bytes)).status).toBe(201);
    const whole = await asked(path);
    expect(Buffer.from(await whole.arrayBuffer()).equals(bytes)).toBe(true);
    expect(whole.headers.get("cache-control")).toBe("private, max-age=31536000, immutable");
    const part = await asked(path, { headers: { range: "bytes=9995-" } });
    expect([part.status, part.headers.get("content-range"), await part.text()]).toEqual([
      206,
      "bytes 9995-9999/10000",
      "56789",
    ]);
    const outside = await asked(path, { headers: { range: "bytes=10000-" } });
    expect([outside.status, outside.headers.get("content-range")]).toEqual([416, "bytes */10000"]);
    const head = await asked(path, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "10000"]);
    const same = await asked(path, { headers: { "if-none-match": `"${sha256(bytes)}"` } });
    expect(same.status).toBe(304);
  });

  test("wrong bytes, too many, a wrong token and a wrong name are refused with their codes", async () => {
    const flipped = Buffer.from(bytes);
    flipped[77] = 0;
    const wanted = sha256(Buffer.from("never sent"));
    expect(await client.put(wanted, flipped)).toMatchObject({ status: 422, body: { code: "blob-digest-mismatch" } });
    expect((await asked(blobOf(wanted))).status).toBe(404);
    expect(await client.put(sha256(flipped), Buffer.alloc((2 << 20) + 1))).toMatchObject({
      status: 413,
      body: { code: "blob-too-large", detail: expect.stringContaining("2097152") },
    });
    // Of unknown length, so that only the received bytes show it.
    const endless = new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(1 << 16)) });
    const options = {
      method: "PUT",
      body: endless,
      duplex: "half",
      headers: { authorization: "Bearer a-token-for-the-tests", "content-type": "application/octet-stream" },
    };
    const answer = await fetch(`${service.url}/blobs/sha256/${wanted}`, options as RequestInit).catch(() => undefined);
    if (answer !== undefined) expect(answer.status).toBe(413);
    for (const [token, code] of [
      ["", "token-missing"],
      ["another-token-entirely", "token-wrong"],
    ] as const) {
      const unauthorized = new Client(service.url, token);
      expect(await unauthorized.put(wanted, bytes)).toMatchObject({ status: 401, body: { code } });
    }
    expect((await client.put("../../etc/passwd".replaceAll("/", "%2f"), bytes)).status).toBe(400);
  });
});

describe("what is never listed", () => {
  test("a push with a wrong token, unfinished, bit-flipped or truncated packages, and what is no package", async () => {
    const folder = await made("bad", "1");
    const { digest, manifest } = await loadPackage(folder);
    const push = (manifestDigest: string, by: unknown = "ada") =>
      client.call("POST", "/models", { manifestDigest, by } as object);
    expect(await push(digest)).toMatchObject({ status: 422, body: { code: "package-blobs-missing" } });
    await client.upload(folder, ["labels.json", "golden/index.json"]);
    const missing = await push(digest);
    expect(missing).toMatchObject({ status: 422, body: { code: "package-blobs-missing" } });
    expect(missing.body.detail).toMatch(/golden\/index\.json .*labels\.json/);
    expect(await push(digest.slice(1))).toMatchObject({ status: 400, body: { code: "request-invalid" } });
    expect(await push(digest, "")).toMatchObject({ status: 400, body: { code: "request-invalid" } });
    const unauthorized = new Client(service.url, "not-the-token-at-all");
    expect((await unauthorized.call("POST", "/models", { manifestDigest: digest, by: "eve" })).status).toBe(401);

    const own = async (edit: (json: { files: Record<string, { bytes: number }>; [key: string]: unknown }) => void) => {
      const json = JSON.parse(JSON.stringify(manifest));
      edit(json);
      const bytes = Buffer.from(JSON.stringify(json));
      await client.put(sha256(bytes), bytes);
      return push(sha256(bytes));
    };
    await client.upload(folder);
    expect(await own((json) => ((json.files["labels.json"] as { bytes: number }).bytes += 1))).toMatchObject({
      status: 422,
      body: { code: "package-digest-mismatch" },
    });
    expect(await own((json) => (json.extra = 1))).toMatchObject({
      status: 422,
      body: { code: "package-manifest-invalid", detail: expect.stringContaining("extra") },
    });
    const cut = (await readFile(join(folder, "manifest.json"))).subarray(0, 500);
    await client.put(sha256(cut), cut);
    expect(await push(sha256(cut))).toMatchObject({ status: 422, body: { code: "package-manifest-invalid" } });
  });

  test("for unknown hardware, with golden frames that differ, or too slow", async () => {
    expect(await client.push(await made("bad", "2", { hardwareClass: "toaster" }))).toMatchObject({
      status: 422,
      body: { code: "hardware-class-unknown", detail: expect.stringContaining("known are generic") },
    });
    expect(await client.push(await made("bad", "3", { latencyBudgetMs: 0.01 }))).toMatchObject({
      status: 422,
      body: { code: "latency-over-budget" },
    });
    const { files } = await partsOf(EDGE);
    const golden = JSON.parse(new TextDecoder().decode(files[packageFiles.goldenIndex]));
    golden.frames[2].logits.reverse();
    const altered = { ...files, [packageFiles.goldenIndex]: Buffer.from(JSON.stringify(golden)) };
    expect(await client.push(await made("bad", "4", { files: altered }))).toMatchObject({
      status: 422,
      body: { code: "golden-frames-differ" },
    });
  });

  test("and then neither models.v1 nor the signed metadata knows any of it", async () => {
    expect(await one("/models?name=bad")).toEqual({ items: [] });
    expect([...(await models()).keys()].filter((key) => key.startsWith("bad/"))).toEqual([]);
    expect(await targets()).toEqual([]);
  });
});

const view = () => one("/validation/edge");
/** Of the folder that is configured. */
async function setFrames(count: number): Promise<readonly SetFrame[]> {
  const folder = join(dir.path, "frames");
  const labels = JSON.parse(await readFile(join(folder, "labels.json"), "utf8")) as Record<string, string>;
  const named = Object.entries(labels).slice(0, count);
  return Promise.all(named.map(async ([file, label]) => ({ file, label, bytes: await readFile(join(folder, file)) })));
}

describe("a version", () => {
  test("is listed, signed and written once; a version never changes", async () => {
    const folder = await made("edge", "1.0.0");
    const { digest } = await loadPackage(folder);
    const pushed = await client.push(folder);
    expect(pushed).toMatchObject({
      status: 201,
      body: { name: "edge", version: "1.0.0", state: "LISTED", pushedBy: "ada", aliases: [], gate: null },
    });
    expect(pushed.body.examination).toMatchObject({ golden: { frames: 16 }, latency: { budgetMs: 5_000 } });
    expect(await client.push(folder, "bob")).toMatchObject({
      status: 200,
      body: { pushedBy: "ada", examination: null },
    });
    expect(await targets()).toEqual([digest]);
    expect((await models()).get("edge/1.0.0")).toMatchObject({ modelDigest: digest, edge: true, state: "LISTED" });

    const other = join(dir.path, "packages/edge-other");
    await writePackage(other, await partsOf(EDGE, { name: "edge", version: "1.0.0", latencyBudgetMs: 4_000 }));
    expect(await client.push(other)).toMatchObject({
      status: 409,
      body: { code: "version-taken", detail: expect.stringContaining("--version") },
    });
    expect(await client.call("GET", "/models/edge/9")).toMatchObject({
      status: 404,
      body: { code: "model-unknown", detail: expect.stringContaining("1.0.0") },
    });
  });

  test("without a champion waits and shows why; the first champion is set by hand", async () => {
    const blocked = await client.call("PUT", "/models/edge/aliases/challenger", { version: "1.0.0", by: "ada" });
    expect(blocked.body).toMatchObject({
      aliases: ["challenger"],
      judging: { state: "blocked", detail: expect.stringContaining("@VERSION champion") },
    });
    const champion = await client.call("PUT", "/models/edge/aliases/champion", { version: "1.0.0", by: "ada" });
    expect(champion.body).toMatchObject({ aliases: ["challenger", "champion"], judging: null });
    expect((await aliases()).get("edge")?.aliases).toEqual({ champion: "1.0.0", challenger: "1.0.0" });
    expect(await client.call("PUT", "/models/edge/aliases/Champion!", { version: "1.0.0", by: "a" })).toMatchObject({
      status: 400,
      body: { code: "alias-malformed" },
    });
    expect((await client.call("PUT", "/models/edge/aliases/x", { version: "7", by: "a" })).status).toBe(404);
  });

  test("is judged on the configured folder's frames until a set is pushed, which has a digest, and once is enough", async () => {
    const frames = await setFrames(120);
    expect(await view()).toMatchObject({ source: "configured", digest: null });
    const pushed = await client.pushSet("edge", frames);
    expect(pushed).toMatchObject({ status: 201, body: { source: "pushed", frames: 120, pushedBy: "ada" } });
    expect(Object.values(pushed.body.classes as object).reduce((a, b) => a + b)).toBe(120);
    expect(await client.pushSet("edge", frames)).toEqual({ status: 200, body: pushed.body });
    const { digest } = pushed.body;
    expect((await aliases()).get("edge")).toMatchObject({
      aliases: { champion: "1.0.0", challenger: "1.0.0" },
      validation: { digest },
    });
    expect((await one("/validation")).items).toEqual([expect.objectContaining({ model: "edge", digest })]);
  });

  test("shows no picture of a set to a stranger, and a device all that its package needs (blobs.controller.ts B1)", async () => {
    const { digest } = await view();
    const pictures = (await setFrames(120)).map(({ bytes }) => sha256(bytes as Uint8Array));
    const closed = [...pictures, digest as string, sha256(Buffer.from("of nobody"))].map(blobOf);
    for (const path of [...closed, "/validation", "/validation/edge", "/Validation/edge"]) {
      const answers = [await stranger(path), await stranger(path, { method: "HEAD" })];
      answers.push(
        await stranger(path, { headers: { "if-none-match": `"${path.split("/").at(-1)}"`, range: "bytes=0-9" } }),
      );
      for (const answer of answers) {
        expect([path, answer.status, answer.headers.get("www-authenticate")]).toEqual([path, 401, "Bearer"]);
        expect(await answer.text()).not.toMatch(/^\xff\xd8/);
      }
    }
    const [picture = ""] = pictures;
    expect(
      Buffer.from(await (await asked(blobOf(picture))).arrayBuffer())
        .subarray(0, 2)
        .toString("hex"),
    ).toBe("ffd8");
    const { digest: packageDigest, manifest } = await loadPackage(join(dir.path, "packages/edge-1.0.0"));
    for (const needed of [packageDigest, ...Object.values(manifest.files).map((file) => file.sha256)]) {
      const answer = await stranger(blobOf(needed));
      expect([answer.status, answer.headers.get("cache-control")]).toEqual([
        ...[200, "public, max-age=31536000, immutable"],
      ]);
      expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(needed);
    }
  });

  test("that becomes challenger is judged: the same model passes, with a report for programs and a page", async () => {
    expect((await client.push(await made("edge", "1.1.0", { hardwareClass: "any" }))).status).toBe(201);
    await client.call("PUT", "/models/edge/aliases/challenger", { version: "1.1.0", by: "ada" });
    const judged = await waitFor(
      async () => {
        const model = await one("/models/edge/1.1.0");
        return model.gate === null ? undefined : model;
      },
      { what: "the gate", timeoutMs: 120_000, everyMs: 300 },
    );
    expect(judged.gate).toMatchObject({ passed: true, failed: [], forcedBy: "" });
    const { reportDigest, pageDigest } = judged.gate as { reportDigest: string; pageDigest: string };
    expect(await one(`/blobs/sha256/${reportDigest}`)).toMatchObject({
      passed: true,
      validationSet: (await view()).digest,
      frames: 120,
      champion: { version: "1.0.0" },
    });
    expect(await (await asked(blobOf(pageDigest))).text()).toContain("Validation gate: passed");
    const progress = service.events().filter(({ event }) => event === "gate_progress");
    expect(progress.length).toBeGreaterThan(3);
    expect((await models()).get("edge/1.1.0")?.gate).toMatchObject({ passed: true });
  });

  test("that is worse stops at the gate, which names the checks; a person may force it, with a name", async () => {
    const { files } = await partsOf(EDGE);
    const sure = { ...files, [packageFiles.calibration]: Buffer.from('{"method":"temperature","temperature":0.05}') };
    expect((await client.push(await made("edge", "2.0.0", { files: sure }))).status).toBe(201);
    await client.call("PUT", "/models/edge/aliases/challenger", { version: "2.0.0", by: "ada" });
    const judged = await waitFor(
      async () => {
        const model = await one("/models/edge/2.0.0");
        return model.gate === null ? undefined : model;
      },
      { what: "the gate", timeoutMs: 120_000, everyMs: 300 },
    );
    expect(judged.gate).toMatchObject({ passed: false, failed: [expect.stringMatching(/^calibration/)] });
    expect((await client.call("POST", "/models/edge/2.0.0/gate/force", { by: "ada" })).status).toBe(400);
    const forced = await client.call("POST", "/models/edge/2.0.0/gate/force", { by: "ada", reason: "a demonstration" });
    expect(forced.body.gate).toMatchObject({ passed: false, forcedBy: "ada", forcedReason: "a demonstration" });
    expect((await models()).get("edge/2.0.0")?.gate).toMatchObject({ passed: false, forcedBy: "ada" });
  });

  test("that is revoked is listed no more, loses its aliases, and does not come back", async () => {
    const { digest } = await loadPackage(join(dir.path, "packages/edge-2.0.0"));
    const body = { by: "ada", reason: "too sure of itself" };
    expect((await client.call("POST", "/models/edge/2.0.0/revoke", body)).body).toMatchObject({
      state: "REVOKED",
      aliases: [],
      revoked: { by: "ada", reason: "too sure of itself" },
    });
    expect((await client.call("POST", "/models/edge/2.0.0/revoke", body)).status).toBe(200);
    expect(await targets()).not.toContain(digest);
    expect((await aliases()).get("edge")?.aliases).toEqual({ champion: "1.0.0" });
    expect(await client.call("POST", "/models", { manifestDigest: digest, by: "eve" })).toMatchObject({
      status: 409,
      body: { code: "model-revoked", detail: expect.stringContaining("too sure of itself") },
    });
    expect(await client.call("PUT", "/models/edge/aliases/challenger", { version: "2.0.0", by: "e" })).toMatchObject({
      status: 409,
      body: { code: "model-revoked" },
    });
  });
});

describe("validation frames", () => {
  let frames: readonly SetFrame[];
  beforeAll(async () => {
    frames = await setFrames(120);
  });
  const but = (change: Partial<SetFrame>, at = 3) =>
    frames.map((frame, i) => (i === at ? { ...frame, ...change } : frame));

  test("that cannot be used are refused with their codes, and the set before stays", async () => {
    const before = await view();
    const refused = async (set: readonly SetFrame[], code: string, detail: RegExp, change: object = {}) => {
      const { status, body } = await client.pushSet("edge", set, change);
      expect([status, body.code, body.detail]).toEqual([422, code, expect.stringMatching(detail)]);
    };
    const invalid = "validation-frames-invalid";
    await refused(frames.slice(0, 99), invalid, /99 frames are too few; 100 are needed/);
    await refused(but({ bytes: Buffer.from("a letter") }), invalid, /1 frames cannot be decoded: frame-0003\.jpg/);
    const cut = frames[3]?.bytes?.subarray(0, 700) as Uint8Array;
    await refused(but({ bytes: cut }), invalid, /frame-0003\.jpg/);
    await refused(but({ file: "frame.png" }), invalid, /frames\.3\.file: .*\.jpg/);
    await refused(
      but({ label: "unicorn" }),
      "validation-class-unknown",
      /frame-0003\.jpg" is a "unicorn".*airplane; automobile/,
    );
    await refused(but({ bytes: frames[9]?.bytes }), invalid, /frame-0009\.jpg is frame-0003\.jpg/);
    await refused(but({ file: "frame-0009.jpg" }), invalid, /"frame-0009\.jpg" is named twice/);
    await refused(but({ bytes: undefined }), "validation-blobs-missing", /frame-0003\.jpg/);
    for (const file of [
      "../../evil.jpg",
      "/etc/evil.jpg",
      "a/../b.jpg",
      "a\u0000.jpg",
      "\ud800.jpg",
      `${"é".repeat(200)}.jpg`,
    ]) {
      await refused(but({ file }), invalid, /frames\.3\.file/);
    }
    await refused(but({ file: "labels.json/a.jpg" }), invalid, /"labels\.json" is named as a file and as a folder/);
    await refused(but({ file: "frame-0009.jpg/a.jpg" }), invalid, /as a file and as a folder/);
    await refused(but({ bytesMax: 1 } as object), invalid, /frames\.3/);
    await refused(frames, invalid, /Unrecognized key/, { more: 1 });
    await refused([], invalid, /300000 frames are too many/, {
      frames: Array.from({ length: 300_000 }, () => ({})),
    });
    const unsent = frames.map(({ file, label }) => ({ file, label }));
    await refused(unsent, "validation-blobs-missing", /and 115 more/);
    expect(await view()).toEqual(before);
  });

  test("want a model, its name, and the registry's token", async () => {
    expect(await client.pushSet("egde", frames)).toMatchObject({ status: 404, body: { code: "model-unknown" } });
    expect(await client.call("GET", "/validation/egde")).toMatchObject({
      status: 404,
      body: { code: "validation-unknown" },
    });
    const unauthorized = new Client(service.url, "not-the-token-at-all");
    const body = { manifestDigest: "0".repeat(64), by: "eve" };
    expect((await unauthorized.call("PUT", "/validation/edge", body)).status).toBe(401);
    expect(await client.call("PUT", "/validation/edge", body)).toMatchObject({
      status: 422,
      body: { code: "blob-unknown" },
    });
  });
});

test("a registry that was killed reads all of it again, reconciles its metadata with Kafka, and continues its gates", async () => {
  const validation = await one("/validation/edge");
  expect(validation).toMatchObject({ source: "pushed", frames: 120 });
  await service.kill();
  // A crash between Kafka and the signature: models.v1 has it revoked, metadata still lists it.
  const model = (await models()).get("edge/1.1.0") as Model;
  const sink = new KafkajsSink(kafka);
  const { name: topic, codec } = topics.models;
  const revoked = { ...model, state: "REVOKED" as const, revoked: { by: "ada", reason: "a crash", at: Date.now() } };
  await sink.send([{ topic, key: "edge/1.1.0", value: codec.encodeConfluent(revoked) }]);
  await sink.send([{ topic, key: "nonsense", value: Buffer.from("no record at all") }]);
  await sink.close();
  service = await startRegistry(dir.path, config);
  client = new Client(service.url);
  const items = (await one("/models?name=edge")).items as { version: string; state: string }[];
  expect(items.map(({ version, state }) => `${version} ${state}`).sort()).toEqual([
    "1.0.0 LISTED",
    "1.1.0 REVOKED",
    "2.0.0 REVOKED",
  ]);
  const { digest } = await loadPackage(join(dir.path, "packages/edge-1.0.0"));
  expect(await targets()).toEqual([digest]);
  expect(service.events().some(({ event }) => event === "listing_reconciled")).toBe(true);
  expect(service.events().some(({ event }) => event === "record_malformed")).toBe(true);
  expect((await one("/models/edge/1.0.0")).aliases).toEqual(["champion"]);
  expect(await one("/validation/edge")).toEqual(validation);
  expect((await fetch(`${service.url}/metrics`).then((r) => r.text())).includes("tributary_registry_models 3")).toBe(
    true,
  );
});

test("metadata is served by its names only, and timestamp.json is never kept", async () => {
  const timestamp = await fetch(`${service.url}/tuf/timestamp.json`);
  expect(timestamp.headers.get("cache-control")).toBe("no-store");
  expect((await fetch(`${service.url}/tuf/1.root.json`)).headers.get("cache-control")).toContain("immutable");
  for (const name of ["0.root.json", "..%2f..%2fkeys%2fonline%2ftargets.pem", "targets.pem", "99.root.json"]) {
    expect((await fetch(`${service.url}/tuf/${name}`)).status).toBe(404);
  }
});

test("a registry without keys, or open to the world without a token, does not start", async () => {
  const start = (change: object) => startRegistry(join(dir.path, "other"), { ...config, ...change });
  await expect(start({ dataDir: join(dir.path, "nowhere") })).rejects.toThrow(/models keys init/);
  await expect(start({ http: { host: "0.0.0.0" }, auth: { tokens: [] } })).rejects.toThrow(/auth\.tokens/);
});
