/** `tributary models` against a registry as it is deployed, and through a gateway before it; a cloud-classifier takes what is
 * pushed. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type CloudResult, topics } from "@tributary/contracts";
import { packageFiles } from "@tributary/inference";
import { ensureTributaryTopics, follow, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { loadPackage, type PackageParts, readPackageFile, writePackage } from "@tributary/model-store";
import {
  followContext,
  freePort,
  type SpawnedService,
  sampleFrames,
  someRequest,
  spawnProcess,
  spawnService,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { type Ran, runHere } from "../run.test-kit.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const EDGE = join(ROOT, "models/edge-resnet8");
const TOKEN = "a-token-for-the-tests";
const kafka = testKafka();
let dir: string;
let registry: SpawnedService;
let port: number;
let url: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-cli-models-"));
  port = await freePort();
  const admin = new KafkajsAdmin({ ...kafka, clientId: "cli-models-test" });
  await ensureTributaryTopics(admin, { partitions: 2 }).finally(() => admin.close());
});
afterAll(async () => {
  await registry?.stop();
  await rm(dir, { recursive: true, force: true });
});

const start = () =>
  spawnService({
    name: "model-registry",
    main: "services/model-registry/dist/main.js",
    dir,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port },
      dataDir: join(dir, "data"),
      auth: { tokens: [TOKEN] },
    },
  });
const models = (...argv: string[]) => runHere(["models", ...argv, "--registry", url, "--registry-token", TOKEN]);
const json = async <T>(...argv: string[]): Promise<T> => JSON.parse((await models(...argv, "-o", "json")).stdout) as T;

async function made(version: string, change: Partial<PackageParts> = {}): Promise<string> {
  const pkg = await loadPackage(EDGE);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
  const parts = { ...pkg.manifest, name: "edge", version, latencyBudgetMs: 5_000, files };
  const folder = join(dir, `edge-${version}`);
  await writePackage(folder, { ...parts, ...change });
  return folder;
}

test("keys are made by the ceremony, and the registry starts with them", async () => {
  await writeFile(join(dir, "passphrase"), "open sesame\n");
  const offline = ["--offline", join(dir, "offline"), "--passphrase-file", join(dir, "passphrase")];
  const init = await runHere(["models", "keys", "init", join(dir, "data"), ...offline]);
  expect(init).toMatchObject({ code: 0, text: expect.stringContaining("2 of these 3 keys must sign a root") });
  const again = await runHere(["models", "keys", "init", join(dir, "data"), ...offline]);
  expect(again).toMatchObject({ code: 1, text: expect.stringContaining("models keys rotate") });
  const unless = await runHere(["models", "keys", "init", join(dir, "data"), ...offline, "--if-missing"]);
  expect(unless).toMatchObject({ code: 0, text: expect.stringContaining("has keys already") });
  registry = await start();
  url = `http://127.0.0.1:${registry.ports.http}`;
});

test("a package is pushed once, sends only what is missing, and is listed and described", async () => {
  const folder = await made("1.0.0");
  const first = await models("push", folder, "--by", "ada", "--alias", "champion");
  expect(first).toMatchObject({ code: 0, text: expect.stringMatching(/edge@1\.0\.0 is listed: [0-9a-f]{64}/) });
  expect(first.text).toMatch(/16 golden frames reproduced/);
  const { sent, aliases } = await json<{ sent: { files: number }; aliases: string[] }>("push", folder);
  expect({ sent, aliases }).toEqual({ sent: { files: 0, bytes: 0 }, aliases: ["champion"] });
  const calibration = Buffer.from('{"method":"temperature","temperature":1.5}');
  const { files } = await filesOf(folder);
  const next = await made("1.1.0", {
    files: { ...files, [packageFiles.calibration]: calibration },
    metrics: { accuracy: 0.9 },
  });
  expect(await json("push", next, "--alias", "challenger")).toMatchObject({
    sent: { files: 2 },
    aliases: ["challenger"],
  });

  const listed = await models("list");
  expect(listed.text).toMatch(/edge@1\.1\.0 +challenger +listed +blocked/);
  expect((await models("list", "-o", "name")).stdout.split("\n").filter(Boolean)).toEqual(["edge@1.1.0", "edge@1.0.0"]);
  expect((await models("list", "--name", "other")).text).toContain("No models");
  const described = await models("describe", "edge@champion");
  expect(described.text).toMatch(/Pushed +.* by ada/);
  expect(described.text).toContain("Gate: not judged");
  expect((await models("describe", "edge@challenger")).text).toContain("tributary validation push edge FOLDER");
  expect(await models("describe", "edge@7")).toMatchObject({ code: 3, text: expect.stringContaining("1.1.0, 1.0.0") });
  expect((await models("describe", "edge@1.0.0", "-o", "yaml")).text).toContain("modelDigest:");
});

const filesOf = async (folder: string) => {
  const pkg = await loadPackage(folder);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
  return { files };
};

test("classifier and router follow an alias: from a registry that is away to a new version, without a restart or a lost frame", async () => {
  const [first, second] = await Promise.all(
    ["1.0.0", "1.1.0"].map(async (version) => (await loadPackage(join(dir, `edge-${version}`))).digest),
  );
  await models("alias", "edge@1.0.0", "live");
  await registry.stop();
  const classifier = await startClassifier();
  // It settles frames without first policies: it is ready.
  const router = await spawnService({
    name: "router",
    ...ofRegistry("router"),
    config: { ...takes("router"), packages: ["edge@live"] },
  });
  try {
    await classifier.says("problems", /edge@live: .*\(tuf-unavailable\)/);
    expect(await classifier.ask()).toMatchObject({ outcome: "FAILED", failureCode: "package-unavailable" });
    registry = await start();
    await waitFor(async () => (await classifier.health()).status === "ready", { what: "readiness" });
    expect(await classifier.ask()).toMatchObject({ outcome: "ANSWERED", modelDigest: first });

    await policyOf(first);
    const moving = models("alias", "edge@1.1.0", "live");
    const results: CloudResult[] = [];
    do {
      results.push(...(await Promise.all([classifier.ask(), classifier.ask(), classifier.ask()])));
    } while (results.at(-1)?.modelDigest !== second);
    await moving;
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["ANSWERED"]));
    expect(new Set(results.map(({ modelDigest }) => modelDigest))).toEqual(new Set([first, second]));

    await policyOf(second);

    await models("alias", "edge", "live", "--remove");
    await classifier.says("degraded", /edge@live: .*\(alias-unknown\)/);
    expect(await classifier.ask()).toMatchObject({ outcome: "ANSWERED", modelDigest: second });
    expect(classifier.taken()).toEqual([first, second]);
  } finally {
    const ends = await Promise.all([classifier.stop(), router.stop()]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
  }
});

/** A service that takes packages that this registry signed. */
const ofRegistry = (name: string) => ({ main: `services/${name}/dist/main.js`, dir });
const takes = (name: string) => ({
  kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
  dataDir: join(dir, name),
  modelRegistry: { url, trustRoot: join(dir, "data/metadata/1.root.json"), retryMsMax: 1_000 },
});

/** Waits until routing.policies.v1 has one for this model. */
async function policyOf(modelDigest: string | undefined): Promise<void> {
  const reader = new KafkaReader({ ...kafka, clientId: "cli-models-test" });
  const isThere = async (): Promise<boolean> => {
    for await (const { key } of readTopic(reader, topics.policies.name))
      if (key === `${modelDigest}|default`) return true;
    return false;
  };
  await waitFor(isThere, { what: `the first policy of ${modelDigest}`, everyMs: 200 }).finally(() => reader.close());
}

/** One whose target is edge@live, of packages that this registry signed. */
async function startClassifier() {
  const clients = { ...kafka, clientId: "cli-models-test" };
  const [reader, sink, stopped] = [new KafkaReader(clients), new KafkajsSink(clients), new AbortController()];
  const http = { host: "127.0.0.1", port: await freePort() };
  const child = spawnProcess({
    name: "cloud-classifier",
    ...ofRegistry("cloud-classifier"),
    config: {
      ...takes("classifier"),
      http,
      targets: { default: { backend: "onnx", package: "edge@live" } },
    },
  });
  const results = new Map<bigint, CloudResult>();
  const following = await follow(followContext(reader, stopped.signal), topics.results, (result) => {
    if (result !== null) results.set(result.frameSeq, result);
  });
  const jpeg = await readFile(join(EDGE, "golden/frame-00.jpg"));
  let frames = 0n;
  type Health = Readonly<Record<"problems" | "degraded", Readonly<Record<string, string>> | undefined>> & {
    readonly status: string;
  };
  const health = async (): Promise<Health> => {
    const response = await fetch(`http://127.0.0.1:${http.port}/health/ready`).catch(() => undefined);
    return response === undefined
      ? { status: "away", problems: {}, degraded: {} }
      : ((await response.json()) as Health);
  };
  return {
    health,
    says: (part: "problems" | "degraded", reason: RegExp) =>
      waitFor(async () => reason.test(JSON.stringify((await health())[part] ?? {})), { what: `${part}: ${reason}` }),
    ask: async (): Promise<CloudResult> => {
      const request = someRequest({ frameSeq: ++frames, jpeg, deadlineAt: Date.now() + 60_000 });
      const { name: topic, codec } = topics.requestsHigh;
      await sink.send([{ topic, key: request.deviceId, value: codec.encodeConfluent(request) }]);
      return waitFor(() => results.get(request.frameSeq), {
        what: `the result of frame ${request.frameSeq}`,
        everyMs: 5,
      });
    },
    taken: () => child.events().flatMap(({ event, modelDigest }) => (event === "package_taken" ? [modelDigest] : [])),
    stop: async () => {
      stopped.abort();
      await following.ended;
      await Promise.all([reader.close(), sink.close()]);
      return child.stop();
    },
  };
}

test("differences of two versions are listed, local or in the registry", async () => {
  const there = await json<{ what: string; change: string }[]>("diff", "edge@1.0.0", "edge@challenger");
  const here = await json<{ what: string }[]>("diff", join(dir, "edge-1.0.0"), join(dir, "edge-1.1.0"));
  expect(here).toEqual(there);
  expect(there.map(({ what }) => what)).toEqual(
    expect.arrayContaining(["version", "metrics.accuracy", "calibration.temperature", "file calibration.json"]),
  );
  expect((await models("diff", "edge@1.0.0", join(dir, "edge-1.0.0"))).text).toContain("They are the same package.");
  expect((await models("diff", "edge@1.0.0", "edge@1.1.0")).text).toMatch(/calibration\.temperature +\S+ +1\.5 +/);
});

test("a version is verified as a device would: digest, signature, golden frames", async () => {
  const verified = await models("verify", "edge@1.0.0");
  expect(verified.code).toBe(0);
  expect(verified.text).toMatch(/signature +passed +listed as edge 1\.0\.0, signed under root 1/);
  expect(verified.text).toMatch(/golden frames +passed +all 16/);
  const here = await runHere(["models", "verify", join(dir, "edge-1.0.0"), "-o", "json"]);
  expect((JSON.parse(here.stdout) as { verdict: string }[]).map(({ verdict }) => verdict)).toEqual([
    "passed",
    "skipped",
    "passed",
  ]);
  const unlisted = await made("9.0.0");
  expect(await models("verify", unlisted)).toMatchObject({ code: 1, text: expect.stringContaining("model-unlisted") });
  const labels = join(unlisted, packageFiles.labels);
  await writeFile(labels, (await readFile(labels, "utf8")).replace("cat", "cow"));
  const broken = await models("verify", unlisted);
  expect(broken).toMatchObject({ code: 1, text: expect.stringContaining("package-digest-mismatch") });
  expect(broken.text).not.toContain("golden frames");
  // Another root: this registry's signatures do not count.
  await runHere(["models", "keys", "init", join(dir, "other"), "--offline", join(dir, "other-offline")]);
  const other = await models("verify", "edge@1.0.0", "--root", join(dir, "other/metadata/1.root.json"));
  expect(other).toMatchObject({ code: 1, text: expect.stringMatching(/signature +FAILED/) });
});

test("aliases, forcing and revoking are recorded, and refusals name the reason", async () => {
  expect(await models("force", "edge@1.1.0", "--reason", "a test", "--by", "bob")).toMatchObject({ code: 0 });
  expect((await models("describe", "edge@1.1.0")).text).toMatch(/Forced +by bob: a test/);
  expect((await models("list")).text).toMatch(/edge@1\.1\.0 +challenger +listed +forced/);
  expect((await models("alias", "edge@1.1.0", "shadow")).text).toBe("edge@1.1.0 is shadow.");
  expect((await models("alias", "edge", "shadow", "--remove")).text).toBe("No version of edge is shadow.");
  expect(await models("alias", "edge@1.1.0", "Bad Alias")).toMatchObject({ code: 2 });
  expect((await models("revoke", "edge@1.1.0", "--reason", "done")).text).toBe("edge@1.1.0 is revoked.");
  expect(await models("push", join(dir, "edge-1.1.0"))).toMatchObject({
    code: 1,
    text: expect.stringContaining("done"),
  });
  expect(await models("verify", "edge@1.1.0")).toMatchObject({
    code: 1,
    text: expect.stringContaining("model-unlisted"),
  });
  const misnamed = await models("push", await made("1.2.0"), "--alias", "Bad!");
  expect(misnamed).toMatchObject({ code: 2, text: expect.stringContaining("lower-case letters, digits and dashes") });
  expect((await models("list", "-o", "name")).text).not.toContain("edge@1.2.0"); // Nothing was changed.
  const taken = await made("1.0.0-other", { version: "1.0.0", latencyBudgetMs: 4_000 });
  expect(await models("push", taken)).toMatchObject({ code: 1, text: expect.stringContaining("version-taken") });
  const stranger = await runHere([
    "models",
    "push",
    join(dir, "edge-1.0.0"),
    "--registry",
    url,
    "--registry-token",
    "x".repeat(20),
  ]);
  expect(stranger).toMatchObject({ code: 1, text: expect.stringContaining("token") });
  expect((await runHere(["models", "push", join(dir, "edge-1.0.0")])).code).toBe(2);
  const away = ["--registry", "http://127.0.0.1:9", "--registry-token", TOKEN];
  expect(await runHere(["models", "list", ...away])).toMatchObject({
    code: 4,
    text: expect.stringContaining("--registry"),
  });
});

test("the gateway forwards every change of a version", async () => {
  const folder = await made("2.0.0", { metrics: { accuracy: 0.8 } });
  expect(await models("push", folder, "--alias", "challenger")).toMatchObject({ code: 0 });
  const gateway = await spawnService({
    name: "gateway",
    main: "services/gateway/dist/main.js",
    dir,
    config: {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      http: { host: "127.0.0.1", port: 0 },
      modelRegistry: { url, token: TOKEN },
    },
  });
  try {
    const through = (...argv: string[]) =>
      runHere(["models", ...argv, "--gateway", `http://127.0.0.1:${gateway.ports.http}`]);
    const shows = (what: string, text: RegExp) =>
      waitFor(async () => text.test((await through("describe", "edge@2.0.0")).text), { what });
    expect((await through("list", "-o", "name")).text).toContain("edge@2.0.0");
    const judged = { code: 0, text: expect.stringContaining("edge@2.0.0 will be evaluated again") };
    expect(await through("judge", "edge@challenger")).toMatchObject(judged);
    const other = await through("judge", "edge@1.0.0");
    expect(other).toMatchObject({ code: 1, text: expect.stringContaining("only challengers are judged") });
    expect(await through("alias", "edge@2.0.0", "shadow")).toMatchObject({ code: 0, text: "edge@2.0.0 is shadow." });
    await shows("the alias", /Aliases +challenger, shadow/);
    const away = await through("alias", "edge", "shadow", "--remove");
    expect(away).toMatchObject({ code: 0, text: "No version of edge is shadow." });
    await shows("the alias's end", /Aliases +challenger$/m);
    expect(await through("force", "edge@challenger", "--reason", "a test", "--by", "bob")).toMatchObject({ code: 0 });
    await shows("the force", /Forced +by bob: a test/);
    expect(await through("revoke", "edge@2.0.0", "--reason", "done")).toMatchObject({ code: 0 });
    await shows("the revocation", /Revoked .* by ada: done/);
    // Bytes and signatures are the registry's own.
    for (const argv of [
      ["push", folder],
      ["verify", "edge@1.0.0"],
      ["diff", "edge@1.0.0", "edge@2.0.0"],
    ]) {
      expect(await through(...argv)).toMatchObject({ code: 2, text: expect.stringContaining("give --registry URL") });
    }
  } finally {
    await gateway.stop();
  }
});

test("validation frames are pushed from either kind of folder, once, and described", async () => {
  const validation = (...argv: string[]) =>
    runHere(["validation", ...argv, "--registry", url, "--registry-token", TOKEN]);
  expect((await validation("list")).text).toContain("tributary validation push MODEL FOLDER");
  expect(await validation("describe", "edge")).toMatchObject({
    code: 3,
    text: expect.stringContaining("validation push"),
  });
  const folder = join(dir, "validation");
  const frames = await sampleFrames(100);
  const classes = JSON.parse(await readFile(join(EDGE, packageFiles.labels), "utf8")) as string[];
  for (const [i, { jpeg, label }] of frames.entries()) {
    await mkdir(join(folder, classes[label] as string), { recursive: true });
    await writeFile(join(folder, classes[label] as string, `${i}.jpg`), jpeg);
  }
  expect(await validation("push", "egde", folder)).toMatchObject({
    code: 3,
    text: expect.stringContaining("no model egde"),
  });
  const pushed = await validation("push", "edge", folder, "--by", "ada");
  expect(pushed).toMatchObject({
    code: 0,
    text: expect.stringMatching(/edge is evaluated on 100 frames: airplane \d+/),
  });
  expect(pushed.text).toMatch(/Set [0-9a-f]{64}; sent 101 of 101 files/);
  const again = JSON.parse((await validation("push", "edge", folder, "-o", "json")).stdout);
  expect(again).toMatchObject({ model: "edge", source: "pushed", frames: 100, pushedBy: "ada", sent: { files: 0 } });
  expect((await validation("list")).text).toMatch(/edge +pushed +[0-9a-f]{12} +100 +\S+ by ada/);
  expect((await validation("describe", "edge")).text).toContain(again.digest);
  await rm(join(folder, classes[frames[0]?.label as number] as string, "0.jpg"));
  expect(await validation("push", "edge", folder)).toMatchObject({
    code: 2,
    text: expect.stringContaining("99 frames are too few"),
  });
  expect(await validation("push", "edge", join(dir, "nowhere"))).toMatchObject({ code: 2 });
  expect((await runHere(["validation", "list"])).text).toContain("TRIBUTARY_MODEL_REGISTRY");
});

test("an unusable file is reported with its errors, as wrong usage", async () => {
  let files = 0;
  const file = async (text: string) => {
    const path = join(dir, `given-${++files}.json`);
    await writeFile(path, text);
    return path;
  };
  const frames = async (labels: string) => {
    const folder = await mkdtemp(join(dir, "frames-"));
    await writeFile(join(folder, "labels.json"), labels);
    return folder;
  };
  const nowhere = join(dir, "nowhere.json");
  const gate = async (labels: string, ...more: string[]) =>
    runHere(["models", "gate", EDGE, "--champion", EDGE, "--validation", await frames(labels), ...more]);
  const margins = async (text: string) => gate("{}", "--margins", await file(text));
  const pack = async (labels: string, ...more: string[]) => {
    const sources = ["model", "labels", "preprocess"] as const;
    const own = { model: packageFiles.model, labels: packageFiles.labels, preprocess: packageFiles.preprocessor };
    const given = sources.flatMap((source) => [`--${source}`, join(EDGE, own[source])]);
    return runHere(["models", "pack", join(dir, "packed"), ...given, "--validation", await frames(labels), ...more]);
  };
  const labelled = JSON.stringify(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i}.jpg`, "cat"])));
  const policy = async (text: string) => pack(labelled, "--policy", await file(text));
  const verify = (root: string) => models("verify", join(dir, "edge-1.0.0"), "--root", root);
  const cases: readonly (readonly [Ran, RegExp])[] = [
    [await gate("{}", "--margins", nowhere), /--margins .*nowhere\.json: .*ENOENT/],
    [await margins("null"), /--margins .*given-\d\.json: .*expected object/],
    [await margins("accuracy: 0.1"), /--margins .*: not JSON/],
    [await margins('{"accuracy":"0.1","alpha":7}'), /accuracy: .*expected number.*; alpha: .*0\.5/],
    [await margins('{"luck":1}'), /"luck"/],
    [await gate("{"), /labels\.json: not JSON/],
    [await pack("{"), /labels\.json: not JSON/],
    [await pack(labelled, "--policy", nowhere), /--policy .*nowhere\.json: .*ENOENT/],
    [await policy("{"), /--policy .*: not JSON/],
    [await policy("null"), /--policy .*expected object/],
    [await policy('{"priorityLabels":5,"deadlineMs":"5"}'), /priorityLabels: .*array.*; deadlineMs: .*number/],
    [await verify(nowhere), /--root .*nowhere\.json cannot be read: .*ENOENT/],
  ];
  for (const [{ code, text }, expected] of cases) {
    expect(text).toMatch(expected);
    expect(text).not.toContain("not foreseen");
    expect({ code, text }).toMatchObject({ code: 2 });
  }
  // Valid JSON, but not a signed root.
  expect(await verify(await file("{}"))).toMatchObject({ code: 1, text: expect.stringMatching(/signature +FAILED/) });
});

test("keys are rotated by two of three holders, and the registry signs on with the new ones", async () => {
  const data = join(dir, "data");
  const passphrase = ["--passphrase-file", join(dir, "passphrase")];
  const key = (n: number) => join(dir, `offline/root-${n}.pem`);
  const waiting = await runHere([
    "models",
    "keys",
    "rotate",
    data,
    "--role",
    "timestamp",
    "--key",
    key(1),
    ...passphrase,
  ]);
  expect(waiting).toMatchObject({ code: 0, text: expect.stringContaining("needs signatures") });
  expect(await runHere(["models", "keys", "publish", data])).toMatchObject({ code: 1 });
  const prepared = join(data, "keys/next/2.root.json");
  expect(await runHere(["models", "keys", "sign", prepared, "--key", key(2), ...passphrase])).toMatchObject({
    code: 0,
  });
  expect(await runHere(["models", "keys", "publish", data])).toMatchObject({
    code: 0,
    text: expect.stringContaining("Root 2 is in effect"),
  });
  await registry.stop();
  registry = await start();
  url = `http://127.0.0.1:${registry.ports.http}`;
  expect((await models("verify", "edge@1.0.0")).text).toContain("signed under root 2");
});

test("a file or folder that cannot be used is named, and is wrong usage", async () => {
  const digits = join(ROOT, "samples/digits/edge");
  const given = { model: "model.onnx", labels: "labels.txt", preprocess: "preprocess.json" };
  const write = async (name: string, text: string) => {
    await writeFile(join(dir, name), text);
    return join(dir, name);
  };
  const empty = join(dir, "empty");
  await mkdir(empty);
  const pack = (change: object) => {
    const options = Object.entries({ ...given, ...change }).flatMap(([name, file]) => [
      `--${name}`,
      resolve(digits, file),
    ]);
    return ["models", "pack", join(dir, "packed"), ...options, "--validation", empty];
  };
  const cases: readonly (readonly [readonly string[], string])[] = [
    [pack({ preprocess: await write("preprocess.json", '{"do_crop":true}') }), "do_crop: unknown key"],
    [pack({ labels: await write("labels.txt", "one\ntwo\nthree\n") }), "the labels file 3"],
    [pack({ labels: await write("none.txt", "") }), "labels"],
    [pack({}), "empty: neither labels.json"],
    [["models", "push", empty, "--registry", "http://127.0.0.1:9"], "manifest.json does not exist"],
    [["models", "gate", empty, "--champion", EDGE, "--validation", empty], "empty"],
    [["models", "keys", "rotate", empty], "has no keys"],
    [["models", "keys", "sign", join(dir, "1.root.json"), "--key", join(dir, "no-key")], "no-key"],
  ];
  for (const [argv, named] of cases) {
    expect([argv, await runHere(argv)]).toEqual([
      argv,
      expect.objectContaining({ code: 2, text: expect.stringContaining(named) }),
    ]);
  }
});
