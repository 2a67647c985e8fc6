/** A rollout from its creation to its end, on a simulated clock: simulated devices and a simulated Kafka, the real cohorts,
 * state machine, controller, fold and judge. Everything is drawn from the seed: a run that broke a guarantee is repeated by its
 * seed. The guarantees are checked here, from the log of events and from the devices, not by the instances. */
import { seededRandom } from "@tributary/kernel";
import {
  applyEvent,
  assignCohorts,
  type Command,
  type ControllerSettings,
  type DesiredChange,
  eventOfRecord,
  isExperimentEvent,
  isFinished,
  type Phase,
  type Rollout,
  type RolloutChange,
  type RolloutSpec,
  reachedDevices,
  recordOfEvent,
  rolloutSpec,
} from "@tributary/rollouts";
import { Crash, type CrashAt, DIGESTS, digestOf, Instance, type Place } from "./instance.ts";
import { Tape } from "./tape.ts";
import {
  type Desired,
  SimDevice as Device,
  type Report,
  type SimDevice,
  type Sink,
  shockAt,
  type Window,
  type World,
} from "./world.ts";

export type Simulation = {
  readonly seed: number;
  readonly world: World;
  readonly spec: RolloutSpec;
  readonly minutesMax: number;
  /** Duration of a round of all devices and instances. */
  readonly stepMs: number;
  readonly instances: number;
  /** Wall clocks of the instances differ by up to so much, and they read up to `lagMs` behind. */
  readonly skewMs: number;
  readonly lagMs: number;
  /** The first instance that reaches this place crashes there, and restarts a minute later. */
  readonly crashes: readonly CrashAt[];
  /** Commands of people, by minute. */
  readonly commands: readonly { readonly minute: number; readonly command: Command }[];
  readonly settings: Partial<ControllerSettings>;
};

export type SimulationResult = {
  readonly seed: number;
  /** Null: it never started. */
  readonly phase: Phase | null;
  readonly rollout: Rollout | null;
  /** Minute of the last event that counted. */
  readonly minute: number;
  /** Kinds of the events that counted; of `paused` with its reason. */
  readonly history: readonly string[];
  /** Devices, by id, that ran the new model at most before it was aborted; of all there were, as long as it was not. */
  readonly blastRadius: number;
  readonly canaries: number;
  /** At the end. */
  readonly onNew: number;
  /** Events on the log that did not count: lost races. */
  readonly lostEvents: number;
  readonly crashed: number;
  /** Desired states written, and those that devices ignored as older than what they had seen. */
  readonly written: number;
  readonly staleIgnored: number;
  /** Guarantees that did not hold, in words; must be empty. */
  readonly broken: readonly string[];
};

export const MINUTE = 60_000;
const START = 20_000 * 86_400_000;
const UID = "rollout-1";
const DOWN_MS = MINUTE;
const REST_MS = 5 * MINUTE;

/** A canary of 5 %, judged for as long as `analysis`, then all devices. */
export function usualSpec(analysis = "2h", more: object = {}): RolloutSpec {
  return rolloutSpec.parse({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "simulated" },
    spec: {
      model: "edge@2",
      strategy: { canary: { steps: [{ setWeight: 5 }, { analysis: { duration: analysis } }, { setWeight: 100 }] } },
      ...more,
    },
  });
}

export const calmly = {
  minutesMax: 240,
  stepMs: 30_000,
  instances: 1,
  skewMs: 0,
  lagMs: 0,
  crashes: [],
  commands: [],
  settings: {},
} as const satisfies Omit<Simulation, "seed" | "world" | "spec">;

export function simulate(simulation: Simulation): SimulationResult {
  return new Run(simulation).run();
}

/** A running or crashed instance, and when it restarts. */
type Post = { instance: Instance | null; backAt: number; readonly number: number };

class Run {
  readonly #sim: Simulation;
  readonly #tape = new Tape();
  readonly #devices: Device[] = [];
  readonly #byId = new Map<string, Device[]>();
  readonly #retained = new Map<string, Desired>();
  /** Deliveries by round. */
  readonly #arriving = new Map<number, (() => void)[]>();
  readonly #random;
  readonly #chance;
  readonly #shockHour: number;
  readonly #crashesLeft: CrashAt[];
  readonly #instances: Post[] = [];
  readonly #sink: Sink;
  readonly #broken = new Set<string>();
  readonly #history: string[] = [];
  #now = START;
  #watched: Rollout | null = null;
  #watchedTo = 0;
  #isAnalysed = false;
  #changedAt = START;
  #lostEvents = 0;
  #crashed = 0;
  #written = 0;
  #blast = 0;
  #joined = 0;

  constructor(simulation: Simulation) {
    this.#sim = simulation;
    const { seed, world } = simulation;
    this.#random = seededRandom(seed); // Of the world.
    this.#chance = seededRandom(seed + 0x5eed); // Of the managers: their crashes do not change the world's draws.
    this.#shockHour = this.#random() * simulation.minutesMax * MINUTE;
    this.#crashesLeft = [...simulation.crashes];
    this.#sink = {
      window: (window: Window, delayMs: number) =>
        this.#arrive(delayMs, () => this.#tape.append({ kind: "window", t: this.#now, window })),
      report: (report: Report, delayMs: number) =>
        this.#arrive(delayMs, () => this.#tape.append({ kind: "report", t: this.#now, report })),
    };
    for (let i = 0; i < world.devices; i++) this.#join(`device-${i}`);
    const clones = Math.round(world.clones * world.devices);
    for (let i = 0; i < clones; i++) this.#join(`device-${Math.floor(this.#random() * world.devices)}`);
    for (let i = 0; i < simulation.instances; i++) this.#instances.push({ instance: null, backAt: START, number: i });
  }

  run(): SimulationResult {
    this.#appendPast();
    this.#create();
    const { minutesMax, stepMs, commands } = this.#sim;
    const end = START + minutesMax * MINUTE;
    let wanted = [...commands];
    for (; this.#now < end; this.#now += stepMs) {
      this.#deliver();
      this.#stepDevices();
      const due = wanted.filter(({ minute }) => START + minute * MINUTE <= this.#now);
      wanted = wanted.filter((one) => !due.includes(one));
      for (const { command } of due) this.#command(command);
      for (const slot of this.#instances) this.#turn(slot);
      this.#watch();
      this.#trim();
      if (wanted.length === 0 && this.#isAtRest()) break;
    }
    return this.#result();
  }

  /** A day of every device before, as one window. */
  #appendPast(): void {
    for (const device of this.#devices) {
      const { frames, good } = device.before;
      this.#tape.append({
        kind: "window",
        t: START,
        window: {
          deviceId: device.id,
          bootId: 0n,
          seq: 0n,
          digest: "old",
          frames,
          good,
          missed: Math.round(0.01 * frames),
          crashes: 0,
          closedAt: START - 3_600_000,
          ageErrorMs: 0,
        },
      });
    }
  }

  #create(): void {
    const { spec, seed } = this.#sim;
    const fleet = [...this.#byId.keys()].map((deviceId, i) => {
      const [device] = this.#byId.get(deviceId) as [Device];
      const { frames, good } = device.before;
      const [hardwareClass, site] = [i % 3 === 0 ? "rpi4" : "rpi5", `site-${i % 5}`];
      return { deviceId, hardwareClass, camera: "cam", site, accuracyBefore: good / frames };
    });
    const cohorts = assignCohorts(fleet, `salt-${seed}`);
    const change = { kind: "created", spec, modelDigest: DIGESTS.new, stableDigest: DIGESTS.old, ...cohorts } as const;
    this.#tape.appendEvent(this.#now, recordOfEvent({ uid: UID, version: 1, at: this.#now, by: "person", change }));
  }

  #join(id: string): void {
    const device = new Device(id, this.#sim.world, this.#random);
    this.#devices.push(device);
    const same = this.#byId.get(id);
    if (same === undefined) this.#byId.set(id, [device]);
    else same.push(device);
    device.hello(this.#sink);
  }

  #arrive(delayMs: number, what: () => void): void {
    const round = Math.ceil((this.#now - START + delayMs) / this.#sim.stepMs);
    const there = this.#arriving.get(round);
    if (there === undefined) this.#arriving.set(round, [what]);
    else there.push(what);
  }

  #deliver(): void {
    const round = Math.round((this.#now - START) / this.#sim.stepMs);
    // A delivery may cause further ones in this round.
    for (let there = this.#arriving.get(round); there !== undefined; there = this.#arriving.get(round)) {
      this.#arriving.delete(round);
      for (const what of there) what();
    }
  }

  #stepDevices(): void {
    const { stepMs, world } = this.#sim;
    const shock = shockAt(this.#now, START, world.shock, this.#shockHour);
    for (const device of this.#devices) {
      const generation = device.generation;
      const isBack = device.step(this.#now, stepMs, shock, this.#sink);
      if (device.generation < generation) this.#broken.add(`G6: generation of ${device.id} fell`);
      const retained = isBack ? this.#retained.get(device.id) : undefined;
      if (retained !== undefined && this.#random() >= world.lost) this.#receive(device, retained);
    }
    const comes = (world.churnPerDay * world.devices * stepMs) / 86_400_000;
    if (this.#random() < comes) {
      this.#joined += 1;
      this.#join(`late-${this.#joined}`);
    }
  }

  #receive(device: SimDevice, desired: Desired): void {
    const before = device.generation;
    device.receive(desired, this.#now, this.#sink);
    if (device.generation < before) this.#broken.add(`G6: generation of ${device.id} fell`);
  }

  /** An instance writes a desired state: it is retained, and sent to the device unless it is lost. */
  #write({ deviceId, generation, modelDigest }: DesiredChange): void {
    const digest = digestOf(modelDigest);
    this.#written += 1;
    this.#tape.append({ kind: "desired", t: this.#now, deviceId, generation, digest });
    this.#retained.set(deviceId, { generation, digest });
    for (const device of this.#byId.get(deviceId) ?? []) {
      if (this.#random() < this.#sim.world.lost) continue;
      this.#arrive(2_000 * this.#random(), () => this.#receive(device, { generation, digest }));
    }
  }

  #turn(slot: Post): void {
    if (this.#now < slot.backAt) return;
    slot.instance ??= this.#started(slot.number);
    try {
      slot.instance.turn(this.#now);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.#crashed += 1;
      slot.instance = null;
      slot.backAt = this.#now + DOWN_MS;
    }
  }

  #started(number: number): Instance {
    const { skewMs, lagMs, settings } = this.#sim;
    return new Instance({
      name: `manager-${number}`,
      tape: this.#tape,
      settings,
      skewMs: number === 0 ? 0 : skewMs * (2 * this.#chance() - 1),
      lagMs: number === 0 ? 0 : lagMs * this.#chance(),
      at: (place, change) => this.#strike(place, change),
      write: (change) => this.#write(change),
    });
  }

  #strike(place: Place, change: RolloutChange["kind"] | "any"): void {
    const hit = this.#crashesLeft.findIndex(
      (one) => one.place === place && (one.change === "any" || one.change === change),
    );
    if (hit < 0) return;
    this.#crashesLeft.splice(hit, 1);
    throw new Crash();
  }

  #command(command: Command): void {
    const { instance } = this.#instances[0] ?? { instance: null };
    if (instance === null) return;
    const { uid, version, change } = instance.controller.command(UID, command, "ann");
    this.#tape.appendEvent(this.#now, recordOfEvent({ uid, version, at: this.#now, by: "ann", change }));
  }

  #watch(): void {
    for (; this.#watchedTo < this.#tape.end; this.#watchedTo++) {
      const record = this.#tape.at(this.#watchedTo);
      if (record.kind !== "event") continue;
      const event = eventOfRecord(record.record);
      if (isExperimentEvent(event)) continue;
      const before = this.#watched;
      const after = applyEvent(before, event, record.position);
      if (after === null || after === before) {
        this.#lostEvents += 1;
        continue;
      }
      const { change } = event;
      this.#history.push(change.kind === "paused" ? `paused: ${change.reason}` : change.kind);
      if (before !== null) this.#watchStep(before, after, change);
      this.#watched = after;
      this.#changedAt = record.t;
    }
    if (this.#watched?.aborted === null) {
      const onNew = new Set(this.#devices.filter((device) => device.runs === "new").map(({ id }) => id));
      this.#blast = Math.max(this.#blast, onNew.size);
    }
  }

  #watchStep(before: Rollout, after: Rollout, change: RolloutChange): void {
    if (after.generation < before.generation) this.#broken.add("G6: the generation of the rollout fell");
    if (change.kind === "analysed") this.#isAnalysed = change.verdict === "Successful";
    if (change.kind === "promoted" || change.kind === "retried") this.#isAnalysed = true;
    if (after.weight > before.weight) {
      if (before.weight > 0 && !this.#isAnalysed) this.#broken.add(`G5: widened to ${after.weight} without evidence`);
      this.#isAnalysed = false;
    }
    const reached = (rollout: Rollout) => reachedDevices(rollout).length;
    if (reached(after) !== reached(before) && after.generation === before.generation && change.kind !== "rolled-back")
      this.#broken.add(`G6: ${change.kind} changes what devices run, and not the generation`);
  }

  /** Finished, and every reachable device follows; or paused for a person, without further commands. */
  #isAtRest(): boolean {
    const quietMs = this.#now - this.#changedAt;
    if (this.#watched === null || quietMs < REST_MS) return false;
    if (this.#watched.phase === "Paused" && this.#watched.pause?.untilMs === null) return quietMs >= 4 * REST_MS;
    if (!isFinished(this.#watched)) return false;
    const wanted = this.#watched.aborted === null ? "new" : "old";
    const { order } = this.#watched.cohorts;
    if (wanted === "old") return this.#devices.every((device) => device.isGone || device.runs === "old");
    return order.every((id) =>
      (this.#byId.get(id) ?? []).every((one) => one.isGone || one.isCutOff || one.runs === "new"),
    );
  }

  #trim(): void {
    if (this.#sim.crashes.length > 0) return; // A restarted instance reads the whole tape.
    const read = this.#instances.map(({ instance }) => instance?.next ?? this.#tape.from);
    this.#tape.trim(Math.min(this.#watchedTo, ...read));
  }

  #result(): SimulationResult {
    const rollout = this.#watched;
    const onNew = this.#devices.filter((device) => !device.isGone && device.runs === "new").length;
    if (rollout !== null && rollout.aborted?.isBack === true && onNew > this.#unreachable())
      this.#broken.add(`${onNew} devices run the model that was rolled back`);
    return {
      seed: this.#sim.seed,
      phase: rollout?.phase ?? null,
      rollout,
      minute: (this.#changedAt - START) / MINUTE,
      history: this.#history,
      blastRadius: this.#blast,
      onNew,
      lostEvents: this.#lostEvents,
      canaries: rollout === null ? 0 : Math.ceil((rollout.cohorts.order.length * 5) / 100 - 1e-9),
      crashed: this.#crashed,
      written: this.#written,
      broken: [...this.#broken],
      staleIgnored: this.#devices.reduce((sum, device) => sum + device.staleIgnored, 0),
    };
  }

  /** Devices on the new model that are cut off, or share their id with one that already reported. */
  #unreachable(): number {
    return this.#devices.filter(
      (device) => device.runs === "new" && (device.isCutOff || (this.#byId.get(device.id)?.length ?? 0) > 1),
    ).length;
  }
}
