/** Identities. A message is (deviceId, bootId, stream, seq); a frame is (deviceId, bootId, cameraId, frameSeq). */
import { Failure } from "./failure.ts";

export type FrameId = {
  readonly deviceId: string;
  readonly bootId: bigint;
  readonly cameraId: string;
  readonly frameSeq: bigint;
};

/** SHA-256, 64 lower-case hex digits. */
export type Digest = string;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
export const LONG_MAX = (1n << 63n) - 1n;

/** Device and camera ids share one form: it is safe in MQTT topics, Kafka keys, file names and URLs. */
export const isValidId = (text: string): boolean => NAME.test(text);
export const isDigest = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** `deviceId:bootId:cameraId:frameSeq`, the form people and logs see. */
export const formatFrameId = (id: FrameId): string => `${id.deviceId}:${id.bootId}:${id.cameraId}:${id.frameSeq}`;

export function parseFrameId(text: string): FrameId {
  const parts = text.split(":");
  const [deviceId = "", boot = "", cameraId = "", seq = ""] = parts;
  if (parts.length !== 4 || !isValidId(deviceId) || !isValidId(cameraId) || !isLong(boot) || !isLong(seq)) {
    throw new Failure(
      "frame-id-malformed",
      "give-up",
      `"${text}" is not a frame id: expected deviceId:bootId:cameraId:frameSeq, e.g. cam-01:5497558138881:front:17`,
    );
  }
  return { deviceId, bootId: BigInt(boot), cameraId, frameSeq: BigInt(seq) };
}

const isLong = (text: string): boolean => /^\d{1,19}$/.test(text) && BigInt(text) <= LONG_MAX;

const BOOT_RANDOM_BITS = 39n;
/** From when on time may stand in for a boot count that was lost, ms since 1970: 24 bits of hours, or of minutes until 2055. */
export const BOOTS_FROM = Date.UTC(2024, 0, 1);

/** 24 bits of persisted boot count, then 39 random bits: positive, ordered by boot, distinct for clones of one disk. */
export function makeBootId(bootCount: number, randomBits: bigint): bigint {
  return ((BigInt(bootCount) & 0xffffffn) << BOOT_RANDOM_BITS) | (randomBits & ((1n << BOOT_RANDOM_BITS) - 1n));
}
