/**
 * A device is killed with -9 at seeded moments while it follows its desired state (G6, G7).
 *
 * One real agent with a real model, a broker and a registry that really signs, in this process. After each kill the device
 * restarts, and this program checks what it runs: it hashes the folder of the model's process, and compares it with the
 * manifests that were published. Sometimes a file of the committed slot is damaged as well, as by a failing disk.
 *
 * Two controls run the agent with a sabotage module (lab/sabotage) and must be detected: one starts a slot unverified, one
 * writes its list of slots in place.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DeviceDesired, mqttTopics } from "@tributary/contracts";
import { type Random, reasonOf, seededRandom } from "@tributary/kernel";
import { repositoryRoot, type SpawnedService, sabotaged, spawnService, waitFor } from "@tributary/testing";
import { TinyBroker, TinyModelRegistry, writeVariant } from "@tributary/testing/devices";
import { updateLimits } from "@tributary/updates";
import { type Check, check, type Drill, type DrillSettings, type Findings } from "./scenario.ts";

const FACTORY = join(repositoryRoot, "models/edge-resnet8");
const DEVICE = "ota-01";
/** Two are on the device, so that the next one always has to be downloaded. */
const PACKAGES = 4;
const FPS = 30;
const SHADOW_FRAMES = 5;
const PROBATION_FRAMES = 8;
/** So that a download lasts long enough to be killed in. */
const BYTES_PER_SECOND = 1_000_000;
const REACHED_MS_MAX = 30_000;
const CONTROL_KILLS = 12;
/** Of the kills that damage a file as well, of those that also wait until the device is where it should be. */
const DAMAGE_SHARE = 0.1;
const REACH_SHARE = 0.4;
/** The phases of an update in the log at which it is killed; and the maximum delay after each. */
const MOMENTS = [
  ["WAITING", 150],
  ["DOWNLOADING", 450],
  ["VERIFYING", 700],
  ["SHADOWING", 250],
  ["PROBATION", 60],
  ["PROBATION", 350],
  ["COMMITTED", 60],
] as const;

type Sabotage = "none" | "unverified-slots" | "torn-slots";

export const ota: Drill = {
  name: "ota",
  summary: "an agent killed with -9 over download, verify, load, shadow, switch, probation and commit of a model",
  details: `After each kill the device must start a published model, byte for byte, either the previous or the desired
one, and in the end run the desired one. With two controls that must fail: slots started without verification, and a list of slots
written in place.`,
  options: [
    { name: "kills", about: "number of kills", value: 50 },
    { name: "seed", about: "seed of the moments", value: 1 },
  ],
  run: async (settings) => [
    await killed(settings, settings.options.kills ?? 50, "none"),
    await killed(settings, CONTROL_KILLS, "unverified-slots"),
    await killed(settings, CONTROL_KILLS, "torn-slots"),
  ],
};

const titles: Readonly<Record<Sabotage, string>> = {
  none: "Unmodified agent",
  "unverified-slots": "Control: slots are started without verification",
  "torn-slots": "Control: the list of slots is written in place",
};

async function killed({ dir, log, options }: DrillSettings, kills: number, sabotage: Sabotage): Promise<Findings> {
  const world = await World.open(join(dir, sabotage), sabotage);
  const random = seededRandom((options.seed ?? 1) * 1_000 + sabotage.length);
  try {
    await world.startAgent();
    await world.want();
    await world.reach();
    for (let kill = 1; kill <= kills; kill++) {
      await world.killOnce(random);
      // A control run ends at the first wrong model that is found.
      if (sabotage !== "none" && world.wrong.length > 0) break;
      if (kill % 10 === 0 || kill === kills)
        log(`${titles[sabotage]}: ${kill} of ${kills} kills, ${world.wrong.length} wrong`);
    }
    if (sabotage === "none") await world.reach();
    return world.findings(titles[sabotage], kills);
  } finally {
    await world.close();
  }
}

type Status = {
  readonly generation: number;
  readonly model: { readonly digest: string; readonly pid: number | null };
  readonly update: { readonly generation: number; readonly phase: string; readonly code: string } | null;
  readonly slots: { readonly good: string | null; readonly trial: string | null };
};

class World {
  readonly wrong: string[] = [];
  readonly #dir: string;
  readonly #sabotage: Sabotage;
  readonly #broker: TinyBroker;
  readonly #registry: TinyModelRegistry;
  /** Digest by version, and files by digest, as they were published. */
  readonly #published = new Map<string, string>();
  readonly #packages: { readonly version: string; readonly digest: string }[];
  #agent: SpawnedService | undefined;
  #generation = 0;
  #bootsVerified = 0;
  #bootsOldOrNew = 0;
  #boots = 0;
  #damaged = 0;
  #reached = 0;
  #wanted = 0;
  #killsOfGeneration = 0;
  #givenUp = 0;
  readonly #endedIn = new Map<string, number>();

  private constructor(
    dir: string,
    sabotage: Sabotage,
    broker: TinyBroker,
    registry: TinyModelRegistry,
    packages: { readonly version: string; readonly digest: string }[],
  ) {
    this.#dir = dir;
    this.#sabotage = sabotage;
    this.#broker = broker;
    this.#registry = registry;
    this.#packages = packages;
    for (const folder of [FACTORY, ...packages.map(({ version }) => join(dir, "packages", version))]) {
      const { digest, sum } = sumOf(folder);
      this.#published.set(digest, sum);
    }
  }

  static async open(dir: string, sabotage: Sabotage): Promise<World> {
    const broker = await TinyBroker.open();
    const registry = await TinyModelRegistry.open();
    const packages: { version: string; digest: string }[] = [];
    for (let i = 1; i <= PACKAGES; i++) {
      const version = `2.0.${i}`;
      const folder = join(dir, "packages", version);
      await writeVariant(FACTORY, folder, { version });
      packages.push({ version, digest: await registry.add(folder) });
    }
    writeFileSync(join(dir, "root.json"), registry.rootBytes);
    registry.bytesPerSecond = BYTES_PER_SECOND;
    return new World(dir, sabotage, broker, registry, packages);
  }

  async startAgent(): Promise<void> {
    this.#agent = await spawnService({
      name: "agent",
      main: "edge/agent/dist/main.js",
      dir: this.#dir,
      config: {
        deviceId: DEVICE,
        dataDir: join(this.#dir, "data"),
        mqtt: { url: this.#broker.url, password: "x", backoff: { minMs: 20, maxMs: 200 } },
        model: { package: FACTORY },
        models: { registry: this.#registry.url, root: join(this.#dir, "root.json") },
        updates: { memoryBytesMin: 0, backoff: { minMs: 20, maxMs: 200 } },
        cores: "shared",
        cameras: [
          {
            id: "front",
            kind: "sheet",
            sheets: join(repositoryRoot, "samples/cifar10-test"),
            fps: FPS,
            whenFull: "skip",
          },
        ],
      },
      ...(this.#sabotage !== "none" && { nodeArgs: sabotaged(this.#sabotage) }),
    });
  }

  get #target() {
    return this.#packages[this.#generation % PACKAGES] as { readonly version: string; readonly digest: string };
  }

  /** Requests a model newer than all before. */
  async want(): Promise<void> {
    this.#generation += 1;
    this.#killsOfGeneration = 0;
    const { version: modelVersion, digest: modelDigest } = this.#target;
    const how = {
      shadowFrames: SHADOW_FRAMES,
      probationFrames: PROBATION_FRAMES,
      condition: "ANY" as const,
      windows: [],
    };
    const desired: DeviceDesired = {
      deviceId: DEVICE,
      generation: BigInt(this.#generation),
      policyVersion: null,
      arm: "default",
      rollout: "",
      why: "chaos",
      changedAt: Date.now(),
      slots: { perception: { modelName: "edge-resnet8", modelVersion, modelDigest, ...how } },
    };
    this.#broker.received.length = 0;
    await this.#broker.publish(mqttTopics().desired(DEVICE), DeviceDesired.encodeSingleObject(desired), true);
  }

  /** Waits until the wanted model is committed. */
  async reach(): Promise<void> {
    this.#wanted += 1;
    try {
      await waitFor(
        async () => {
          const { model, update, slots } = await this.#status();
          // Killed so often over one generation, the device takes the model for the cause and rolls back (U5 of machine.ts);
          // a newer desired state has to request it.
          if (update?.code === "update-interrupted" && this.#killsOfGeneration >= updateLimits.trialsMax) {
            this.#givenUp += 1;
            await this.want();
          }
          const { digest } = this.#target;
          return update?.phase === "COMMITTED" && model.digest === digest && slots.good === digest;
        },
        { what: `generation ${this.#generation}`, timeoutMs: REACHED_MS_MAX },
      );
      this.#reached += 1;
    } catch (error) {
      const status = await this.#status().catch(reasonOf);
      this.wrong.push(`${reasonOf(error)}: ${JSON.stringify(status)}`);
    }
  }

  async killOnce(random: Random): Promise<void> {
    const before = await this.#status();
    // The agent continues the update that an earlier kill interrupted, or gets a newer one.
    if (before.update?.phase === "COMMITTED" || random() < 0.5) await this.want();
    await this.#untilMoment(random);
    await this.#agent?.kill();
    this.#killsOfGeneration += 1;
    const { good, trial, where } = this.#onDisk();
    this.#endedIn.set(where, (this.#endedIn.get(where) ?? 0) + 1);
    const isDamaged =
      good !== null &&
      (this.#sabotage === "unverified-slots" || (this.#sabotage === "none" && random() < DAMAGE_SHARE));
    if (isDamaged) this.#damage(good, random);
    try {
      await this.startAgent();
      const status = await this.#status();
      this.#lookAt(status, isDamaged ? undefined : [before.model.digest, before.slots.good, good, trial]);
    } catch (error) {
      this.#boots += 1;
      this.wrong.push(`it does not start: ${reasonOf(error).slice(0, 500)}`);
      // A control may have broken the device permanently.
      rmSync(join(this.#dir, "data/models"), { recursive: true, force: true });
      if (this.#agent?.alive() !== true) await this.startAgent();
    }
    if (this.#sabotage === "none" && random() < REACH_SHARE) await this.reach();
  }

  /** Waits for a moment of the update in progress, or of the whole of it. */
  async #untilMoment(random: Random): Promise<void> {
    const agent = this.#agent as SpawnedService;
    const moments = this.#sabotage === "torn-slots" ? MOMENTS.filter(([, ms]) => ms <= 150) : MOMENTS;
    const [phase, msMax] = moments[Math.floor(random() * moments.length)] ?? MOMENTS[0];
    const isThere = () =>
      agent
        .events()
        .some(
          (event) =>
            event.event === "update_moved" &&
            String(event.generation) === `${this.#generation}` &&
            event.phase === phase,
        );
    await waitFor(isThere, { what: phase, timeoutMs: 4_000, everyMs: 3 }).catch(() => undefined);
    await sleep(random() * msMax);
  }

  /** What the killed agent left, read by nobody's code but this. */
  #onDisk(): { readonly good: string | null; readonly trial: string | null; readonly where: string } {
    const models = join(this.#dir, "data/models");
    try {
      const { book } = JSON.parse(readFileSync(join(models, "slots.json"), "utf8")) as {
        book: { good: { digest: string } | null; trial: { digest: string } | null; trials: number; outcome: unknown };
      };
      const isFetched = readdirSync(join(models, "packages")).includes(this.#target.digest);
      const where =
        book.trial !== null
          ? "on trial"
          : book.outcome !== null
            ? "committed"
            : book.trials > 0
              ? "verified or in shadow"
              : isFetched
                ? "verified"
                : "fetched";
      return { good: book.good?.digest ?? null, trial: book.trial?.digest ?? null, where };
    } catch {
      return { good: null, trial: null, where: "an unreadable list of slots" };
    }
  }

  /** Flips one bit, or cuts the file. */
  #damage(digest: string, random: Random): void {
    const dir = join(this.#dir, "data/models/packages", digest);
    const files = ["calibration.json", "golden/frame-03.jpg", "reference_sketch.json", "policy.json", "model.onnx"];
    // The control's agent would not load some of them for other reasons than their bytes.
    const path = join(
      dir,
      (this.#sabotage === "none" ? files[Math.floor(random() * files.length)] : files[1]) as string,
    );
    const bytes = readFileSync(path);
    const at = Math.floor(random() * bytes.length);
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(path, random() < 0.5 ? bytes : bytes.subarray(0, at));
    this.#damaged += 1;
  }

  #lookAt({ model }: Status, known: readonly (string | null)[] | undefined): void {
    this.#boots += 1;
    const factory = sumOf(FACTORY).digest;
    try {
      const folder = readlinkSync(`/proc/${model.pid}/cwd`);
      const { digest, sum } = sumOf(folder);
      if (digest !== model.digest) throw new Error(`it reports ${model.digest} and runs ${digest}`);
      if (this.#published.get(digest) !== sum) throw new Error(`${folder} is not what was published`);
      this.#bootsVerified += 1;
    } catch (error) {
      this.wrong.push(`unverified: ${reasonOf(error)}`);
    }
    // The factory's is neither, but for a device that has nothing else.
    const isKnown = known === undefined || known.some((digest) => digest === model.digest);
    if (isKnown || (known.every((digest) => digest === null) && model.digest === factory)) this.#bootsOldOrNew += 1;
    else this.wrong.push(`neither old nor new: ${model.digest}`);
  }

  async #status(): Promise<Status> {
    const url = `http://127.0.0.1:${this.#agent?.ports.http}/v1/status`;
    return (await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).json()) as Status;
  }

  findings(title: string, kills: number): Findings {
    const checks: Check[] =
      this.#sabotage === "none"
        ? [
            check(
              "each start ran a published model, byte for byte",
              this.#bootsVerified === kills,
              `${this.#bootsVerified} of ${kills}`,
            ),
            check(
              "it was the previous or the desired one",
              this.#bootsOldOrNew === kills,
              `${this.#bootsOldOrNew} of ${kills}`,
            ),
            check(
              "the desired model became active",
              this.#reached === this.#wanted,
              `${this.#reached} of ${this.#wanted}`,
            ),
            check("nothing else was wrong", this.wrong.length === 0, this.wrong.slice(0, 3).join("; ") || "nothing"),
          ]
        : [check("it is detected", this.wrong.length > 0, this.wrong[0]?.slice(0, 120) ?? "nothing was detected")];
    const ended = [...this.#endedIn].sort().map(([where, n]) => [`killed while ${where}`, n] as const);
    return {
      title,
      checks,
      figures: {
        kills: this.#boots,
        "committed slots damaged": this.#damaged,
        "models given up after kills": this.#givenUp,
        ...Object.fromEntries(ended),
      },
    };
  }

  async close(): Promise<void> {
    await this.#agent?.kill();
    await this.#registry.close();
    await this.#broker.close();
  }
}

/** A package folder's digest, and a hash of all its files. */
function sumOf(folder: string): { readonly digest: string; readonly sum: string } {
  const sha256 = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const lines = files.map((path) => `${path.slice(folder.length)} ${sha256(readFileSync(path))}`).sort();
  return { digest: sha256(readFileSync(join(folder, "manifest.json"))), sum: sha256(lines.join("\n")) };
}
