/**
 * Answers frames of cameras that have a deadline, at the level of the ladder (@tributary/driving).
 *
 * W1. A frame has an answer at .8 of its deadline at the latest: the full model's, LITE's, which is asked at .5, or at once where the full
 *     one is busy or ends, or the camera's last label, marked STALE: at once where no model can be asked. What answers later is only measured.
 * W2. No answer waits for the network, the disk, a download, a golden frame, or a switch of models.
 * W3. A picture that equals the one before it `frozenFrames` times is of a frozen camera: no model is asked, and the label is STALE.
 *     One that is implausible otherwise (camera-watch.ts) goes on being asked about, as a model's process decodes its pictures.
 * W4. Times are monotonic: a clock that jumps moves nothing.
 * W5. Time starts at capture (@tributary/driving, capture-times.ts). A frame whose time passed while this process did not run is missed, whatever answers it
 *     later, and so is one that is no whole picture. One that was dropped for a newer one, or that the camera could not deliver meanwhile, is missed unless
 *     a model answers a newer one within its time.
 */
import {
  type CaptureTimes,
  captureNext,
  captureSettingsOf,
  dueIn,
  hasAnswerer,
  hasCome,
  isDegraded,
  type Ladder,
  type LadderEvent,
  type LadderSettings,
  type Level,
  type LevelReason,
  ladderDefaults,
  ladderNext,
  ladderStart,
  type MissCause,
  type ModelRole,
  noCaptures,
  planOf,
  probeOf,
  type Stall,
} from "@tributary/driving";
import type { InferenceResult, LoadedModel } from "@tributary/inference";
import type { CameraFrame, RefusedFrame } from "../cameras/frame-queue.ts";
import { type AgentConfig, shortestDeadlineOf } from "../config.ts";
import { monotonicMs } from "../device-time.ts";
import type { Inferred, Slot, Slots } from "../slots.ts";
import type { CameraWatch } from "./camera-watch.ts";
import { Heartbeat } from "./heartbeat.ts";
import { type CloudAnswer, Labels, type Repeated } from "./labels.ts";
import { type Load, LoadWatch } from "./load.ts";

/** What answered a frame. */
export type AnswerLevel = Exclude<Level, "SAFE"> | "CLOUD";
/** `replacement`: in place of what the logits say. `missed`: why no model answered in time; a code of the camera's refusal, or a cause of the ladder. */
export type Leveled = Inferred & {
  readonly level: AnswerLevel;
  readonly replacement?: CloudAnswer;
  readonly repeated?: Repeated;
  readonly missed?: string;
};

export type LevelChange = {
  readonly from: Level;
  readonly to: Level;
  readonly reason: LevelReason;
  readonly isMrmRequested: boolean;
};

export type DriverPorts = {
  readonly slots: Pick<Slots, "infer" | "active">;
  readonly lite: Slot | null;
  /** Judges what the cameras deliver. */
  readonly watch: CameraWatch;
  readonly onChange: (change: LevelChange) => void;
  readonly onMissed: (missed: { readonly cameraId: string; readonly cause: MissCause }) => void;
  readonly onStampRefused: (refused: { readonly cameraId: string; readonly code: string }) => void;
  /** The load is, or is no longer, one up to which the safety case holds. */
  readonly onLoad: (load: Load) => void;
};

const roles = ["FULL", "LITE"] as const;
/** Until a camera that has just been started counts as silent. */
const FIRST_FRAME_MS = 10_000;
/** A camera of few frames a second is not silent between two of them. */
const SILENT_PERIODS = 3;
/** The heartbeat is due once in this part of a deadline, within bounds. */
const BEAT_SHARE = 0.1;
const [BEAT_MS_MIN, BEAT_MS_MAX] = [1, 10] as const;

type Event = LadderEvent extends infer E ? (E extends LadderEvent ? Omit<E, "at"> : never) : never;

/** To a model, not answered yet. */
type Request = { readonly at: number };

type CameraState = {
  readonly deadlineMs: number;
  readonly silentMs: number;
  picture: Buffer | undefined;
  equal: number;
  readonly labels: Labels;
  times: CaptureTimes;
  /** When the frame that is being answered was captured. */
  answeringAt: number;
  /** Frames that a newer one has to stand for (W5). */
  readonly standIns: Set<{ readonly capturedAt: number }>;
  lastFrameAt: number;
  isWatched: boolean;
  /** A folder has a last picture; a program that ends, however it does, leaves no camera. */
  readonly mayEnd: boolean;
};

export class Driver {
  readonly settings: LadderSettings;
  readonly #ports: DriverPorts;
  readonly #config: AgentConfig["driving"];
  readonly #cameras: ReadonlyMap<string, CameraState>;
  readonly #asked: Readonly<Record<ModelRole, Set<Request>>> = { FULL: new Set(), LITE: new Set() };
  readonly #askedAt: Record<ModelRole, number> = { FULL: 0, LITE: 0 };
  /** Frames that wait for a model's answer, by what they do when its process ends. */
  readonly #whenEnded: Readonly<Record<ModelRole, Set<() => void>>> = { FULL: new Set(), LITE: new Set() };
  readonly #running: Record<ModelRole, LoadedModel | undefined> = { FULL: undefined, LITE: undefined };
  /** This process may be so late. */
  readonly #lateMsMax: number;
  readonly #heartbeat: Heartbeat;
  readonly #loadWatch: LoadWatch;
  #ladder: Ladder;
  #full: Slot | undefined;
  #watch: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(config: Pick<AgentConfig, "cameras" | "driving">, ports: DriverPorts) {
    const { driving, cameras } = config;
    const { firm, dwellMs, recoverMs, probeEveryMs, heat } = driving;
    const deadlineMs = shortestDeadlineOf(config) ?? Number.POSITIVE_INFINITY;
    const hangsMs = Math.max(ladderDefaults.hangsMs, 5 * deadlineMs);
    this.settings = { ...ladderDefaults, firm, dwellMs, recoverMs, probeEveryMs, heat, deadlineMs, hangsMs };
    this.#config = driving;
    this.#ports = ports;
    this.#cameras = new Map(
      cameras.flatMap(({ id, deadlineMs, ...camera }) =>
        deadlineMs === undefined
          ? []
          : [
              [
                id,
                {
                  deadlineMs,
                  silentMs: Math.max(driving.silentMs, "fps" in camera ? SILENT_PERIODS * (1_000 / camera.fps) : 0),
                  picture: undefined,
                  equal: 0,
                  labels: new Labels(driving.label.ageMsMax),
                  times: noCaptures,
                  answeringAt: 0,
                  standIns: new Set(),
                  lastFrameAt: 0,
                  isWatched: false,
                  mayEnd: camera.kind !== "command",
                },
              ],
            ],
      ),
    );
    this.#ladder = ladderStart(monotonicMs(), { FULL: true, LITE: ports.lite !== null });
    const lateMsMax = (1 - this.settings.staleAt) * deadlineMs;
    this.#lateMsMax = lateMsMax;
    const beatMs = Math.round(Math.min(BEAT_MS_MAX, Math.max(BEAT_MS_MIN, BEAT_SHARE * deadlineMs)));
    this.#heartbeat = new Heartbeat(beatMs, lateMsMax, (stall) => this.#stalled(stall));
    this.#loadWatch = new LoadWatch(this.#heartbeat, lateMsMax, ports.onLoad);
  }

  start(): void {
    const now = monotonicMs();
    for (const camera of this.#cameras.values()) {
      camera.isWatched = true;
      camera.lastFrameAt = Math.max(camera.lastFrameAt, now + FIRST_FRAME_MS - camera.silentMs);
    }
    if (this.#cameras.size === 0) return;
    this.#heartbeat.start();
    this.#loadWatch.start();
    // After a stall, first what arrived meanwhile is read: a model that has answered does not hang.
    this.#watch = setInterval(() => setImmediate(() => this.#look()), this.settings.deadlineMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#watch);
    this.#heartbeat.stop();
    this.#loadWatch.stop();
  }

  get load(): Load {
    return this.#loadWatch.now;
  }

  /** How long after its capture a frame of this camera has its answer at the latest; undefined: it has no deadline. */
  answerMsOf(cameraId: string): number | undefined {
    const camera = this.#cameras.get(cameraId);
    return camera && this.#answerMs(camera);
  }

  /** When a frame was captured whose first bytes were read now, on the monotonic clock (W5). */
  capturedAt(cameraId: string, stampMs: number | null): number {
    const camera = this.#cameras.get(cameraId);
    const readAt = monotonicMs();
    if (camera === undefined) return readAt;
    const { emptyAt, onTimeMs } = this.#heartbeat;
    const dated = captureNext(camera.times, { readAt, emptyAt, stampMs }, captureSettingsOf(onTimeMs));
    camera.times = dated.times;
    if (dated.refusal !== null) this.#ports.onStampRefused({ cameraId, code: dated.refusal });
    return dated.capturedAt;
  }

  /** A frame that has no picture is answered at once, and missed (W5). */
  refused({ cameraId, code }: RefusedFrame): Leveled | null {
    const camera = this.#cameras.get(cameraId);
    if (camera === undefined || this.#isStopped) return null;
    camera.lastFrameAt = monotonicMs();
    camera.isWatched = true;
    return this.#repeat(cameraId, camera, "frame-refused", code);
  }

  /** A frame in whose place a newer one waits (W5). */
  skipped({ cameraId, captured: { monotonicMs: capturedAt } }: CameraFrame): void {
    const camera = this.#cameras.get(cameraId);
    if (camera === undefined) return;
    const cause = () => this.#lateCause(capturedAt);
    this.#standIn(cameraId, camera, capturedAt, capturedAt + this.#answerMs(camera), cause);
  }

  get level(): Level {
    return this.#ladder.level;
  }

  get reason(): LevelReason {
    return this.#ladder.reason;
  }

  /** For how long, in ms. */
  get levelMs(): number {
    return monotonicMs() - this.#ladder.since;
  }

  get isDegraded(): boolean {
    return isDegraded(this.#ladder, monotonicMs(), this.settings);
  }

  observe(event: Event): void {
    const before = this.#ladder;
    this.#ladder = ladderNext(before, { ...event, at: monotonicMs() } as LadderEvent, this.settings);
    const { level: to, reason } = this.#ladder;
    if (to !== before.level) this.#ports.onChange({ from: before.level, to, reason, isMrmRequested: to === "SAFE" });
  }

  /** Of a frame that has its number. */
  answered({ cameraId, frameSeq }: { readonly cameraId: string; readonly frameSeq: number | null }): void {
    const camera = this.#cameras.get(cameraId);
    if (frameSeq !== null) camera?.labels.numbered(frameSeq, camera.answeringAt);
  }

  /** The cloud's answer replaces the label that is repeated, if no model has answered a later frame. */
  cloudAnswered(cameraId: string, answer: CloudAnswer): void {
    this.#cameras.get(cameraId)?.labels.cloudAnswered(answer);
  }

  /** Its program may have another clock now. */
  cameraStarted(cameraId: string): void {
    const camera = this.#cameras.get(cameraId);
    if (camera !== undefined) camera.times = { ...camera.times, stamps: noCaptures.stamps };
  }

  /** For good. After the last picture of a folder no camera is silent. */
  cameraEnded(cameraId: string): void {
    const camera = this.#cameras.get(cameraId);
    if (camera?.mayEnd === true) camera.isWatched = false;
  }

  /** Resolves at .8 of its deadline at the latest (W1). */
  async infer(frame: CameraFrame): Promise<Leveled> {
    const camera = this.#cameras.get(frame.cameraId) as CameraState;
    camera.lastFrameAt = monotonicMs();
    camera.isWatched = true;
    camera.answeringAt = frame.captured.monotonicMs;
    this.#readModels();
    const cause = this.#isFrozen(camera, frame.jpeg) ? "camera-frozen" : await this.#race(frame, camera);
    return typeof cause === "string" ? this.#repeat(frame.cameraId, camera, cause) : cause;
  }

  /** The camera's last label again, of a frame that is missed. */
  #repeat(cameraId: string, camera: CameraState, cause: MissCause, missed: string = cause): Leveled {
    const last = camera.labels.toRepeat(monotonicMs());
    const isUnsafe = last?.repeated.isTooOld !== false && this.#config.label.whenOlder === "safe";
    this.#missed(cameraId, isUnsafe ? "label-old" : cause);
    if (last !== null) return { ...last, level: last.replacement === undefined ? "STALE" : "CLOUD", missed };
    const result: InferenceResult = {
      ok: false,
      code: cause,
      message: "no model answered, and there is no last label",
    };
    return { slot: this.#ports.slots.active, result, level: "STALE", missed };
  }

  /** The first answer of a model in time, or why there is none. */
  async #race(frame: CameraFrame, camera: CameraState): Promise<Leveled | MissCause> {
    const { hedgeAt, staleAt } = this.settings;
    const capturedAt = frame.captured.monotonicMs;
    if (!hasAnswerer(this.#ladder)) return "no-model";
    if (monotonicMs() >= capturedAt + staleAt * camera.deadlineMs) return this.#lateCause(capturedAt);
    const plan = planOf(this.#ladder, this.#free());
    const { promise, resolve } = Promise.withResolvers<Leveled | MissCause>();
    let open = 0;
    const ask = (role: ModelRole) => {
      open += 1;
      this.#whenEnded[role].add(askAnother);
      this.#ask(role, frame.jpeg).then(
        ({ slot, result }) => {
          open -= 1;
          if (result.ok) resolve({ slot, result, level: role });
          else if (open === 0) resolve("picture-unreadable");
        },
        () => {
          open -= 1;
          askAnother(); // It ended.
        },
      );
    };
    let isHedged = false;
    const askAnother = () => {
      if (isHedged) return;
      isHedged = true;
      const late = plan.first.length > 0 ? plan.hedge : planOf(this.#ladder, this.#free()).first[0];
      if (late != null) ask(late);
    };
    for (const role of plan.first) ask(role);
    const inMs = (share: number) => Math.max(0, capturedAt + share * camera.deadlineMs - monotonicMs());
    const hedge = setTimeout(askAnother, inMs(hedgeAt));
    const stale = setTimeout(() => resolve(this.#lateCause(capturedAt)), inMs(staleAt));
    const outcome = await promise;
    clearTimeout(hedge);
    clearTimeout(stale);
    for (const role of roles) this.#whenEnded[role].delete(askAnother);
    if (typeof outcome === "string") return outcome;
    const now = monotonicMs();
    const implausible = this.#ports.watch.next(frame.cameraId, outcome.result, now);
    if (implausible !== null) return `camera-${implausible}`;
    for (const older of camera.standIns) {
      if (older.capturedAt <= capturedAt && now <= older.capturedAt + camera.deadlineMs) camera.standIns.delete(older);
    }
    camera.labels.answeredByModel({ slot: outcome.slot, result: outcome.result }, capturedAt);
    if (now - capturedAt > camera.deadlineMs) this.#missed(frame.cameraId, this.#lateCause(capturedAt));
    else this.observe({ kind: "met", cameraId: frame.cameraId });
    const probe = probeOf(this.#ladder, this.#askedAt, now, this.settings);
    if (probe !== null && this.#asked[probe].size === 0) this.#ask(probe, frame.jpeg).catch(() => undefined);
    return outcome;
  }

  #missed(cameraId: string, cause: MissCause): void {
    this.#ports.onMissed({ cameraId, cause });
    this.observe({ kind: "missed", cameraId, cause });
  }

  #answerMs({ deadlineMs }: CameraState): number {
    return this.settings.staleAt * deadlineMs;
  }

  #lateCause(capturedAt: number): MissCause {
    return this.#heartbeat.hasStalledSince(capturedAt) ? "agent-late" : "frame-late";
  }

  /** W5. A camera may deliver frames for a moment afterwards that it has kept. */
  #stalled(stall: Stall): void {
    const { untilMs } = stall;
    for (const [cameraId, camera] of this.#cameras) {
      if (!camera.isWatched) continue;
      for (const capturedAt of dueIn(camera.times, stall, this.settings.firm.of)) {
        const dueAt = Math.max(capturedAt + this.#answerMs(camera), untilMs + this.#lateMsMax);
        const cause = () => (hasCome(camera.times, capturedAt) ? null : "agent-late");
        this.#standIn(cameraId, camera, capturedAt, dueAt, cause);
      }
    }
  }

  /** A frame that is missed for that cause at `dueAt`, unless a newer one is answered in its time. */
  #standIn(
    cameraId: string,
    { standIns }: CameraState,
    capturedAt: number,
    dueAt: number,
    causeOf: () => MissCause | null,
  ): void {
    const frame = { capturedAt };
    standIns.add(frame);
    const due = () => {
      if (!standIns.delete(frame) || this.#isStopped) return;
      const cause = causeOf();
      if (cause !== null) this.#missed(cameraId, cause);
    };
    const inMs = dueAt - monotonicMs();
    if (inMs <= 0) due();
    else setTimeout(due, inMs).unref();
  }

  async #ask(role: ModelRole, jpeg: Uint8Array): Promise<Inferred> {
    const { slots, lite, watch } = this.#ports;
    const asked = this.#asked[role];
    const request = { at: monotonicMs() };
    asked.add(request);
    this.#askedAt[role] = request.at;
    try {
      const inferred =
        role === "FULL"
          ? await slots.infer(jpeg, watch.want)
          : { slot: lite as Slot, result: await (lite as Slot).runner.infer(jpeg, watch.want) };
      if (role === "FULL" && inferred.result.ok)
        this.observe({ kind: "answered", tookMs: Math.max(0.01, monotonicMs() - request.at) });
      return inferred;
    } finally {
      asked.delete(request);
      if (this.#ladder.isHanging[role] && asked.size === 0) this.observe({ kind: "hangs", role, isHanging: false });
    }
  }

  /** It has nothing to answer, or not for long: frames of several cameras come at the same time. */
  #free(): Record<ModelRole, boolean> {
    const { hedgeAt, deadlineMs } = this.settings;
    const now = monotonicMs();
    const isFree = (role: ModelRole) => now - oldestOf(this.#asked[role], now) < hedgeAt * deadlineMs;
    return { FULL: isFree("FULL"), LITE: isFree("LITE") };
  }

  #isFrozen(camera: CameraState, jpeg: Buffer): boolean {
    const { frozenFrames } = this.#config;
    camera.equal = camera.picture?.equals(jpeg) === true ? camera.equal + 1 : 0;
    camera.picture = jpeg;
    return frozenFrames > 0 && camera.equal >= frozenFrames;
  }

  /** Models that ended, were loaded again, or were replaced. */
  #readModels(): void {
    const { slots, lite } = this.#ports;
    const full = slots.active;
    if (this.#full !== undefined && this.#full !== full) this.observe({ kind: "replaced" });
    this.#full = full;
    const running = { FULL: full.runner.current, LITE: lite?.runner.current };
    for (const role of roles) {
      const model = running[role];
      const isUp = model !== undefined;
      if (isUp !== this.#ladder.isUp[role]) this.observe({ kind: "model", role, isUp });
      // Later in this turn a trial is reverted, and the model's keeper knows that it is gone.
      if (model !== this.#running[role]) void model?.exited.then(() => setImmediate(() => this.#ended(role, model)));
      this.#running[role] = model;
    }
  }

  /** Nothing else would notice in time: a request waits for the process that is started next, and no frame comes meanwhile. */
  #ended(role: ModelRole, model: LoadedModel): void {
    if (this.#isStopped || this.#running[role] !== model) return;
    const { slots, lite } = this.#ports;
    // The model of before answers its frames, or LITE's spare does.
    const isReplaced = role === "FULL" ? slots.active !== this.#full : lite?.runner.current !== undefined;
    if (!isReplaced) this.observe({ kind: "model", role, isUp: false });
    this.#readModels();
    if (isReplaced) return;
    for (const askAnother of this.#whenEnded[role]) askAnother();
  }

  #look(): void {
    if (this.#isStopped) return;
    const now = monotonicMs();
    this.#readModels();
    for (const role of roles) {
      const isHanging = now - oldestOf(this.#asked[role], now) >= this.settings.hangsMs;
      if (isHanging && !this.#ladder.isHanging[role]) this.observe({ kind: "hangs", role, isHanging });
    }
    for (const [cameraId, { isWatched, lastFrameAt, silentMs }] of this.#cameras) {
      if (isWatched && now - lastFrameAt >= silentMs) this.#missed(cameraId, "camera-silent");
    }
    this.observe({ kind: "tick" });
  }
}

const oldestOf = (asked: ReadonlySet<Request>, now: number): number => {
  for (const { at } of asked) return at;
  return now;
};
