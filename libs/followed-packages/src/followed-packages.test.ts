/** Packages that follow an alias: a real server, real packages on a real disk; Kafka is in memory, and time goes faster. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { type Clock, type Digest, Failure, systemClock } from "@tributary/kernel";
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";
import { Health } from "@tributary/service-kit";
import { MemoryKafka, repositoryRoot, silentTelemetry, someModel, tempDir, waitFor } from "@tributary/testing";
import { TinyModelRegistry } from "@tributary/testing/devices";
import type { PackageSettings } from "./config.ts";
import { FollowedPackages } from "./followed-packages.ts";

const SPEED = 50;
const clock: Clock = {
  now: systemClock.now,
  monotonicMs: () => systemClock.monotonicMs() * SPEED,
  sleep: (ms, signal) => systemClock.sleep(ms / SPEED, signal),
};

const made = tempDir("followed-packages-made");
let dir: ReturnType<typeof tempDir>;
let registry: TinyModelRegistry;
let kafka: MemoryKafka;
const digests = new Map<string, Digest>();
const running: FollowedPackages[] = [];

beforeAll(async () => {
  registry = await TinyModelRegistry.open();
  for (const version of ["1", "2"]) digests.set(version, await push(version));
  writeFileSync(join(made.path, "root.json"), registry.rootBytes);
});
beforeEach(() => {
  dir = tempDir("followed-packages");
  kafka = new MemoryKafka();
  for (const [version, modelDigest] of digests) list(version, { modelDigest });
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((packages) => packages.onApplicationShutdown()));
  registry.tamper = () => null;
  registry.bytesPerSecond = undefined;
  dir.remove();
});
afterAll(async () => {
  await registry.close();
  made.remove();
});

async function push(version: string): Promise<Digest> {
  const pkg = await loadPackage(join(repositoryRoot, "models/edge-lite"));
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
  const folder = join(made.path, version);
  await writePackage(folder, { ...pkg.manifest, name: "cloud", version, files });
  return registry.add(folder);
}

function list(version: string, change: Partial<ReturnType<typeof someModel>>): void {
  kafka.put(topics.models, `cloud/${version}`, someModel({ name: "cloud", version, state: "LISTED", ...change }));
}

const alias = (version: string) =>
  kafka.put(topics.modelAliases, "cloud", {
    name: "cloud",
    aliases: { champion: version },
    changedBy: "ann",
    changedAt: 1,
    validation: null,
  });

/** A service with one user of cloud@champion. `refuse`: what loading a package throws. */
function start({ refuse = (_digest: Digest): void => {}, ...change }: Partial<Settings> & { refuse?: Refuse } = {}) {
  const used: Digest[] = [];
  const events: { readonly event: string; readonly code?: string; readonly modelDigest: string | null }[] = [];
  const telemetry = {
    ...silentTelemetry(),
    emit: (({ name }: { name: string }, fields: object) => events.push({ event: name, ...fields } as never)) as never,
  };
  const health = new Health();
  const settings: PackageSettings = {
    dataDir: join(dir.path, "data"),
    modelRegistry: { url: registry.url, packageBytesMax: 1e9, retryMsMax: 2_000, ...change },
  };
  const packages = new FollowedPackages(settings, kafka, clock, () => 0.5, telemetry, health);
  packages.follow({
    user: "target default",
    text: "cloud@champion",
    isNeeded: true,
    use: async (folder, digest) => {
      await loadPackage(folder, { digest });
      refuse(digest);
      used.push(digest);
    },
  });
  packages.onModuleInit();
  running.push(packages);
  const refusals = () => events.flatMap(({ event, code }) => (event === "package_refused" ? [code] : []));
  return { used, health, events, refusals, stop: () => packages.onApplicationShutdown() };
}
type Refuse = (digest: Digest) => void;
type Settings = NonNullable<PackageSettings["modelRegistry"]>;

const uses = (service: { readonly used: readonly Digest[] }, version: string) =>
  waitFor(() => service.used.at(-1) === digests.get(version), { what: `version ${version}`, everyMs: 5 });
const refusedWith = (service: { refusals(): readonly unknown[] }, code: string) =>
  waitFor(() => service.refusals().includes(code), { what: code, everyMs: 5 });
const stored = () => readdirSync(join(dir.path, "data/models/packages"));

test("the alias is followed, the disk keeps only what is needed, and a restart needs no registry", async () => {
  const service = start();
  await refusedWith(service, "alias-unknown");
  expect(service.health.problems()).toEqual({
    "package of target default": expect.stringContaining("(alias-unknown)"),
  });
  alias("1");
  await uses(service, "1");
  await waitFor(() => service.health.isReady, { what: "readiness", everyMs: 5 });
  alias("2");
  await uses(service, "2");
  await waitFor(() => stored().length === 1, { what: "version 1 deleted", everyMs: 5 });
  expect(stored()).toEqual([digests.get("2")]);
  expect(service.used).toHaveLength(2);
  await service.stop();

  registry.tamper = () => "away";
  const again = start();
  await uses(again, "2");
  expect([again.health.problems(), again.refusals()]).toEqual([{}, []]);
});

test("with the registry away and nothing stored it is not ready, says why, and takes the package later", async () => {
  alias("1");
  registry.tamper = () => "away";
  const service = start();
  await refusedWith(service, "registry-unreachable");
  expect(service.health.problems()["package of target default"]).toMatch(/^cloud@champion: .*registry-unreachable/);
  registry.tamper = () => null;
  await uses(service, "1");
  expect(service.health.problems()).toEqual({});
});

/** `spoil` makes version 2 unusable, or names another one that is. */
test.each<[string, Partial<Settings> & { refuse?: Refuse }, () => unknown]>([
  ["package-digest-mismatch", {}, () => Object.assign(registry, { tamper: flipped })],
  ["package-too-large", { packageBytesMax: 10_000 }, () => {}],
  ["package-not-as-named", {}, () => list("3", { modelDigest: digests.get("2") as Digest })],
  ["blob-missing", {}, () => list("2", { modelDigest: "0".repeat(64) })],
  ["model-revoked", {}, () => list("2", { modelDigest: digests.get("2") as Digest, state: "REVOKED" })],
  ["package-classes-differ", { refuse: (digest) => refuseSecond(digest) }, () => {}],
  ["package-unlisted", { trustRoot: join(made.path, "root.json") }, () => registry.delist(digests.get("2") as Digest)],
])("%s: the package before stays, and it is reported as degraded", async (code, change, spoil) => {
  alias("1");
  let service = start();
  await uses(service, "1");
  if (Object.keys(change).length > 0) {
    await service.stop();
    service = start(change);
    await uses(service, "1");
  }
  await spoil();
  alias(code === "package-not-as-named" ? "3" : "2");
  await refusedWith(service, code);
  expect(service.used).toEqual([digests.get("1")]);
  expect(service.health.problems()).toEqual({});
  expect(service.health.degraded()["package of target default"]).toContain(`(${code})`);
  alias("1");
  await waitFor(() => Object.keys(service.health.degraded()).length === 0, { what: "no more complaints", everyMs: 5 });
  expect(service.used).toEqual([digests.get("1")]);
});

test("signed metadata that lists a package admits it; a root of trust that is missing is reported", async () => {
  alias("1");
  const missing = start({ trustRoot: join(dir.path, "no-root.json") });
  await refusedWith(missing, "trust-root-unreadable");
  await missing.stop();
  await uses(start({ trustRoot: join(made.path, "root.json") }), "1");
});

test("an alias that moves on while bytes come ends that fetch", async () => {
  alias("1");
  registry.bytesPerSecond = 20_000;
  const service = start();
  const asksFor = (version: string) =>
    waitFor(() => registry.asked.some(({ path }) => path.endsWith(digests.get(version) as string)), {
      what: "a request",
    });
  await asksFor("1");
  alias("2");
  await asksFor("2");
  registry.bytesPerSecond = undefined;
  await uses(service, "2");
  expect([service.used, service.refusals()]).toEqual([[digests.get("2")], []]);
});

function flipped(path: string, bytes: Buffer): Buffer | null {
  if (!path.startsWith("/blobs/") || bytes.length < 1_000) return null;
  bytes[500] = (bytes[500] as number) ^ 1;
  return bytes;
}

function refuseSecond(digest: Digest): void {
  if (digest === digests.get("2")) throw new Failure("package-classes-differ", "ask-a-person", "other classes");
}
