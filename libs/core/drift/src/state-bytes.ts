/**
 * Bytes of a state: little-endian numbers one after another. A reader refuses what is cut off, too long or not finite with
 * Failure `drift-state-invalid`, so nothing malformed reaches a fold. */
import { Failure, invariant } from "@tributary/kernel";

export class StateWriter {
  #bytes = new Uint8Array(4_096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  i64(value: bigint): void {
    const at = this.#room(8);
    this.#view.setBigInt64(at, value, true);
  }

  f64(value: number): void {
    const at = this.#room(8);
    this.#view.setFloat64(at, value, true);
  }

  /** At most 65,535 UTF-16 units. */
  text(value: string): void {
    invariant(value.length < 65_536, "a text of the state has at most 65,535 characters");
    this.u16(value.length);
    for (let i = 0; i < value.length; i++) this.u16(value.charCodeAt(i));
  }

  f32s(values: Float32Array): void {
    const at = this.#room(values.length * 4);
    for (let i = 0; i < values.length; i++) this.#view.setFloat32(at + i * 4, values[i] as number, true);
  }

  bytes(values: Uint8Array | Int8Array): void {
    const at = this.#room(values.length);
    this.#bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.length), at);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Offset of so many free bytes. It may replace the view: call it first. */
  #room(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

export class StateReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength); // a Buffer's slices share its memory
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(max = 255): number {
    return this.#within(this.#view.getUint8(this.#take(1)), max);
  }

  u16(max = 65_535): number {
    return this.#within(this.#view.getUint16(this.#take(2), true), max);
  }

  u32(max = 0xffff_ffff): number {
    return this.#within(this.#view.getUint32(this.#take(4), true), max);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  f64(): number {
    return this.#finite(this.#view.getFloat64(this.#take(8), true));
  }

  text(lengthMax: number): string {
    const length = this.u16(lengthMax);
    let text = "";
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.u16());
    return text;
  }

  f32s(length: number): Float32Array<ArrayBuffer> {
    const at = this.#take(length * 4);
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = this.#finite(this.#view.getFloat32(at + i * 4, true));
    return values;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(length);
    return this.#bytes.slice(at, at + length);
  }

  /** All was read. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw invalid(`${this.#bytes.length - this.#at} bytes follow its end`);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw invalid(`it is cut off at byte ${this.#bytes.length}`);
    this.#at += bytes;
    return at;
  }

  #within(value: number, max: number): number {
    if (value > max) throw invalid(`${value} before byte ${this.#at} is above ${max}`);
    return value;
  }

  #finite(value: number): number {
    if (!Number.isFinite(value)) throw invalid(`a number before byte ${this.#at} is not finite`);
    return value;
  }
}

export const invalid = (why: string): Failure =>
  new Failure("drift-state-invalid", "give-up", `the stored state is malformed: ${why}`);
