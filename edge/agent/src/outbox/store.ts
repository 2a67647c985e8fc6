/**
 * The outbox's tables. One writer, one transaction per group commit.
 *
 * Ids are never reused, so a frame finds its own prediction or none. `seq` is taken from the boot's counter inside the
 * transaction that stores its record. A file with tables of another version is refused.
 *
 * S1. WAL with synchronous=FULL: commits survive a power cut. */
import { randomBytes } from "node:crypto";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { UplinkStream } from "@tributary/contracts";
import { BOOTS_FROM, Failure, makeBootId } from "@tributary/kernel";
import type { Captured, DeviceTime } from "./age.ts";
import type { DecidedBy, DropReason, Escalation, FrameItem, PredictionBody, RecordKey, ReportItem } from "./rows.ts";

/** Raised with every change of the tables. */
const SCHEMA_VERSION = 1;
const SCHEMA = `
CREATE TABLE IF NOT EXISTS settings(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS boots(boot INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, machine_boot TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS seqs(boot INTEGER, stream TEXT, next INTEGER NOT NULL, PRIMARY KEY(boot, stream)) STRICT;
CREATE TABLE IF NOT EXISTS decided_by(id INTEGER PRIMARY KEY, json TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS predictions(
  id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL, decided_by INTEGER NOT NULL,
  monotonic_ms REAL NOT NULL, wall_ms REAL, escalation TEXT NOT NULL, drop_reason TEXT NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS frames(
  id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, decided_by INTEGER NOT NULL,
  monotonic_ms REAL NOT NULL, wall_ms REAL, bytes INTEGER NOT NULL, body TEXT NOT NULL, traceparent TEXT,
  seq INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS frames_left ON frames(boot, seq) WHERE seq IS NOT NULL;
CREATE TABLE IF NOT EXISTS images(id INTEGER PRIMARY KEY, jpeg BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS reports(
  id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL, stream TEXT NOT NULL,
  monotonic_ms REAL NOT NULL, wall_ms REAL, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS records(
  boot INTEGER NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL,
  machine_boot TEXT NOT NULL, monotonic_ms REAL NOT NULL, wall_ms REAL, PRIMARY KEY(boot, stream, seq)) STRICT;
`;

export type FrameRow = {
  readonly id: number;
  readonly boot: number;
  readonly decidedBy: DecidedBy;
  readonly captured: Captured;
  readonly body: PredictionBody;
  readonly bytes: number;
  readonly traceparent: string | null;
  readonly seq: number | null;
};

/** A record as it was first sent, and when. */
export type FormedRecord = { readonly payload: Uint8Array; readonly left: DeviceTime };

export type PredictionRow = {
  readonly id: number;
  readonly boot: number;
  readonly decidedById: number;
  readonly captured: Captured;
  readonly escalation: Escalation;
  readonly dropReason: DropReason;
  readonly body: PredictionBody;
  readonly bytes: number;
};

export type ReportRow = {
  readonly id: number;
  readonly boot: number;
  readonly stream: ReportItem["stream"];
  readonly closed: Captured;
  readonly body: string;
};

/** Hours since `BOOTS_FROM`; 0 while the clock cannot be trusted. */
const hoursOf = ({ wallMs }: DeviceTime): number =>
  wallMs === null ? 0 : Math.max(0, Math.floor((wallMs - BOOTS_FROM) / 3_600_000));

type Row = Record<string, unknown>;
export type OpenDatabase = (file: string) => DatabaseSync;

export class OutboxStore {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #boots = new Map<number, { readonly bootId: string; readonly machineBoot: string }>();
  readonly #decidedBy = new Map<number, DecidedBy>();
  readonly #decidedByIds = new Map<string, number>();
  readonly boot: number;

  constructor(
    file: string,
    now: DeviceTime,
    open: OpenDatabase = (path) => new DatabaseSync(path),
    bootCountMin = hoursOf(now), // open.ts D2
  ) {
    this.#database = open(file);
    try {
      this.boot = this.#prepare(now, bootCountMin);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #prepare(now: DeviceTime, bootCountMin: number): number {
    this.#database.exec(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=4194304; PRAGMA busy_timeout=2000;",
    );
    this.#requireVersion();
    this.#database.exec(SCHEMA);
    this.begin();
    const count = Math.max(Number(this.setting("boot_count") ?? 0) + 1, bootCountMin);
    const bootId = makeBootId(count, randomBytes(8).readBigUInt64LE()).toString();
    this.putSetting("boot_count", String(count));
    this.#run("INSERT INTO boots VALUES (?, ?, ?)", count, bootId, now.machineBoot);
    // A boot with nothing pending any more is forgotten, and with it its counters.
    const pending = ["predictions", "frames", "reports", "records"].map((table) => `SELECT boot FROM ${table}`);
    for (const table of ["seqs", "boots"]) {
      this.#database.exec(`DELETE FROM ${table} WHERE boot <> ${count} AND boot NOT IN (${pending.join(" UNION ")})`);
    }
    this.#database.exec(
      "DELETE FROM decided_by WHERE id NOT IN (SELECT decided_by FROM predictions UNION SELECT decided_by FROM frames)",
    );
    this.commit();
    for (const row of this.#all("SELECT * FROM boots")) {
      this.#boots.set(Number(row.boot), { bootId: String(row.boot_id), machineBoot: String(row.machine_boot) });
    }
    this.forgetCaches();
    return count;
  }

  #requireVersion(): void {
    const version = Number(this.#all("PRAGMA user_version")[0]?.user_version);
    const isNew = this.#all("SELECT 1 FROM sqlite_schema LIMIT 1").length === 0;
    if (isNew) this.#database.exec(`PRAGMA user_version=${SCHEMA_VERSION}`);
    else if (version !== SCHEMA_VERSION) {
      throw new Failure(
        "outbox-version",
        "ask-a-person",
        `an outbox of version ${version}, and this agent writes ${SCHEMA_VERSION}: let the agent that wrote it drain it, or move it away`,
      );
    }
  }

  /** Bytes of free pages in the file: room that needs no space on the disk. */
  get freeBytes(): number {
    const of = (name: string) => Number(this.#get(`PRAGMA ${name}`)?.[name]);
    return of("freelist_count") * of("page_size");
  }

  begin(): void {
    this.#database.exec("BEGIN IMMEDIATE");
  }

  commit(): void {
    this.#database.exec("COMMIT");
  }

  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    this.forgetCaches();
  }

  close(): void {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // On a full or failing disk; the WAL is read at the next start.
    }
    this.#database.close();
  }

  forgetCaches(): void {
    this.#decidedBy.clear();
    this.#decidedByIds.clear();
    for (const row of this.#all("SELECT * FROM decided_by")) {
      this.#decidedBy.set(Number(row.id), JSON.parse(String(row.json)) as DecidedBy);
      this.#decidedByIds.set(String(row.json), Number(row.id));
    }
  }

  bootIdOf(boot: number): bigint {
    return BigInt(this.#boots.get(boot)?.bootId ?? 0);
  }

  bootOf(bootId: bigint): number | undefined {
    for (const [boot, known] of this.#boots) if (known.bootId === bootId.toString()) return boot;
    return undefined;
  }

  setting(key: string): Uint8Array | string | undefined {
    const value = this.#get("SELECT value FROM settings WHERE key = ?", key)?.value;
    if (value === undefined) return undefined;
    const bytes = value as Uint8Array;
    return key === "boot_count" ? Buffer.from(bytes).toString() : bytes;
  }

  putSetting(key: string, value: Uint8Array | string): void {
    this.#run(
      "INSERT OR REPLACE INTO settings VALUES (?, ?)",
      key,
      typeof value === "string" ? Buffer.from(value) : value,
    );
  }

  decidedByOf(id: number): DecidedBy {
    return this.#decidedBy.get(id) as DecidedBy;
  }

  /** Id and bytes of the prediction, and the bytes that its frame takes. */
  insertFrame(item: FrameItem): { readonly id: number; readonly bytes: number; readonly frameBytes: number } {
    const decidedBy = this.#decidedById(item.decidedBy);
    const body = JSON.stringify(item.body);
    const { monotonicMs, wallMs } = item.captured;
    const { lastInsertRowid } = this.#run(
      "INSERT INTO predictions(boot, decided_by, monotonic_ms, wall_ms, escalation, drop_reason, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[this.boot, decidedBy, monotonicMs, wallMs, item.escalation, item.dropReason, body],
    );
    const id = Number(lastInsertRowid);
    let frameBytes = 0;
    if (item.jpeg !== null) {
      frameBytes = item.jpeg.length + body.length;
      this.#run(
        "INSERT INTO frames(id, boot, decided_by, monotonic_ms, wall_ms, bytes, body, traceparent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ...[id, this.boot, decidedBy, monotonicMs, wallMs, frameBytes, body, item.traceparent],
      );
      this.#run("INSERT INTO images VALUES (?, ?)", id, item.jpeg);
    }
    return { id, bytes: body.length, frameBytes };
  }

  /** Whether the prediction was still here to be changed. */
  markDropped(id: number, dropReason: DropReason): boolean {
    const { changes } = this.#run(
      "UPDATE predictions SET escalation = 'DROPPED', drop_reason = ? WHERE id = ?",
      dropReason,
      id,
    );
    return Number(changes) > 0;
  }

  deleteFrame(id: number): void {
    this.#run("DELETE FROM frames WHERE id = ?", id);
    this.#run("DELETE FROM images WHERE id = ?", id);
  }

  frame(id: number): FrameRow {
    return this.#frameOf(this.#get("SELECT * FROM frames WHERE id = ?", id) as Row);
  }

  leftFrame(key: RecordKey): FrameRow | undefined {
    const row = this.#get("SELECT * FROM frames WHERE boot = ? AND seq = ?", key.boot, key.seq);
    return row && this.#frameOf(row);
  }

  jpeg(id: number): Uint8Array {
    return this.#get("SELECT jpeg FROM images WHERE id = ?", id)?.jpeg as Uint8Array;
  }

  /** One at a time: a long absence leaves more than this thread's memory holds. */
  *waitingFrames(): IterableIterator<FrameRow> {
    const rows = this.#statement("SELECT * FROM frames WHERE seq IS NULL ORDER BY id").iterate();
    for (const row of rows) yield this.#frameOf(row as Row);
  }

  markLeft(id: number, seq: number): void {
    this.#run("UPDATE frames SET seq = ? WHERE id = ?", seq, id);
  }

  predictions(end: "fresh" | "backlog", backlogUpTo: number, limit: number): readonly PredictionRow[] {
    const where = end === "fresh" ? "id > ?" : "id <= ?";
    return this.#all(`SELECT * FROM predictions WHERE ${where} ORDER BY id LIMIT ?`, backlogUpTo, limit).map((row) => ({
      id: Number(row.id),
      boot: Number(row.boot),
      decidedById: Number(row.decided_by),
      captured: this.#capturedOf(row),
      escalation: row.escalation as Escalation,
      dropReason: row.drop_reason as DropReason,
      body: JSON.parse(String(row.body)) as PredictionBody,
      bytes: String(row.body).length,
    }));
  }

  deletePredictions(rows: readonly PredictionRow[]): void {
    for (const { id } of rows) this.#run("DELETE FROM predictions WHERE id = ?", id);
  }

  /** Only the newest `reported` counts, and at most `reportsMax` windows of a stream are kept. Returns how many were dropped. */
  insertReport(item: ReportItem, reportsMax: number): number {
    const { monotonicMs, wallMs } = item.closed;
    this.#run(
      "INSERT INTO reports(boot, stream, monotonic_ms, wall_ms, body) VALUES (?, ?, ?, ?, ?)",
      ...[this.boot, item.stream, monotonicMs, wallMs, item.body],
    );
    const keep = item.stream === "reported" ? 1 : reportsMax;
    const { changes } = this.#run(
      "DELETE FROM reports WHERE stream = ? AND id <= (SELECT id FROM reports WHERE stream = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
      ...[item.stream, item.stream, keep],
    );
    return Number(changes);
  }

  nextReport(stream: ReportItem["stream"]): ReportRow | undefined {
    const row = this.#get("SELECT * FROM reports WHERE stream = ? ORDER BY id LIMIT 1", stream);
    if (row === undefined) return undefined;
    return {
      id: Number(row.id),
      boot: Number(row.boot),
      stream,
      closed: this.#capturedOf(row),
      body: String(row.body),
    };
  }

  deleteReport(id: number): void {
    this.#run("DELETE FROM reports WHERE id = ?", id);
  }

  takeSeq(boot: number, stream: UplinkStream): number {
    const row = this.#get(
      "INSERT INTO seqs VALUES (?, ?, 2) ON CONFLICT DO UPDATE SET next = next + 1 RETURNING next - 1 AS seq",
      boot,
      stream,
    );
    return Number(row?.seq);
  }

  /** The newest number given of each boot and stream. */
  numbered(): readonly RecordKey[] {
    return this.#all("SELECT boot, stream, next - 1 AS seq FROM seqs").map(keyOf);
  }

  putRecord(key: RecordKey, { payload, left }: FormedRecord): void {
    this.#run(
      "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[key.boot, key.stream, key.seq, payload, left.machineBoot, left.monotonicMs, left.wallMs],
    );
  }

  record(key: RecordKey): FormedRecord | undefined {
    const { boot, stream, seq } = key;
    const row = this.#get("SELECT * FROM records WHERE boot = ? AND stream = ? AND seq = ?", boot, stream, seq);
    if (row === undefined) return undefined;
    const wallMs = row.wall_ms === null ? null : Number(row.wall_ms);
    const left = { machineBoot: String(row.machine_boot), monotonicMs: Number(row.monotonic_ms), wallMs };
    return { payload: row.payload as Uint8Array, left };
  }

  /** Bytes that the acknowledged record took; 0 when it was gone already. */
  deleteLeft(key: RecordKey): number {
    const { boot, stream, seq } = key;
    if (stream === "frames") {
      const row = this.#get("SELECT id, bytes FROM frames WHERE boot = ? AND seq = ?", boot, seq);
      if (row === undefined) return 0;
      this.deleteFrame(Number(row.id));
      return Number(row.bytes);
    }
    const row = this.#get(
      "DELETE FROM records WHERE boot = ? AND stream = ? AND seq = ? RETURNING length(payload) AS bytes",
      ...[boot, stream, seq],
    );
    return Number(row?.bytes ?? 0);
  }

  /** Sent and unacknowledged records, in the order in which they are resent. */
  left(): readonly RecordKey[] {
    return this.#all(
      `SELECT boot, stream, seq FROM records UNION ALL SELECT boot, 'frames', seq FROM frames WHERE seq IS NOT NULL
       ORDER BY 1, 3, 2`,
    ).map(keyOf);
  }

  totals(): { predictions: number; predictionIdMax: number; reports: number; bytes: number } {
    const of = (sql: string) => Number(this.#get(sql)?.v ?? 0);
    return {
      predictions: of("SELECT count(*) AS v FROM predictions"),
      predictionIdMax: of("SELECT max(id) AS v FROM predictions"),
      reports: of("SELECT count(*) AS v FROM reports"),
      bytes:
        of("SELECT sum(length(body)) AS v FROM predictions") +
        of("SELECT sum(bytes) AS v FROM frames") +
        of("SELECT sum(length(payload)) AS v FROM records"),
    };
  }

  #decidedById(decidedBy: DecidedBy): number {
    const json = JSON.stringify(decidedBy);
    const known = this.#decidedByIds.get(json);
    if (known !== undefined) return known;
    const id = Number(this.#run("INSERT INTO decided_by(json) VALUES (?)", json).lastInsertRowid);
    this.#decidedBy.set(id, decidedBy);
    this.#decidedByIds.set(json, id);
    return id;
  }

  #capturedOf(row: Row): Captured {
    return {
      machineBoot: this.#boots.get(Number(row.boot))?.machineBoot ?? "",
      monotonicMs: Number(row.monotonic_ms),
      wallMs: row.wall_ms === null ? null : Number(row.wall_ms),
    };
  }

  #frameOf(row: Row): FrameRow {
    return {
      id: Number(row.id),
      boot: Number(row.boot),
      decidedBy: this.decidedByOf(Number(row.decided_by)),
      captured: this.#capturedOf(row),
      body: JSON.parse(String(row.body)) as PredictionBody,
      bytes: Number(row.bytes),
      traceparent: row.traceparent as string | null,
      seq: row.seq === null ? null : Number(row.seq),
    };
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: SqlValue[]) {
    return this.#statement(sql).run(...values);
  }

  #get(sql: string, ...values: SqlValue[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined;
  }

  #all(sql: string, ...values: SqlValue[]): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }
}

const keyOf = (row: Row): RecordKey => ({
  boot: Number(row.boot),
  stream: row.stream as UplinkStream,
  seq: Number(row.seq),
});

type SqlValue = string | number | null | Uint8Array;
