/** Bounds the bytes of strings in records. */

/** Of a class's name. A package with a longer one is not loaded: no record could carry its answers. */
export const LABEL_BYTES_MAX = 128;

/** A surrogate pair counts 6 where UTF-8 needs 4: never less than what is stored. */
export function utf8Length(value: string): number {
  let bytes = 0;
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
  }
  return bytes;
}
