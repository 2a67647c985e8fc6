/** A tar archive (POSIX ustar) of a few small files. */
export type TarEntry = { readonly name: string; readonly bytes: Buffer };

const BLOCK = 512;
const NAME_BYTES_MAX = 100;
const PREFIX_BYTES_MAX = 155;

export function tarOf(entries: readonly TarEntry[], mtimeMs: number): Buffer {
  const parts = entries.flatMap(({ name, bytes }) => [
    headerOf(name, bytes.length, mtimeMs),
    bytes,
    Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function headerOf(path: string, size: number, mtimeMs: number): Buffer {
  const { name, prefix } = splitName(path);
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number, at: number) =>
    header.write(`${Math.floor(value).toString(8).padStart(digits, "0")}\0`, at, "latin1");
  header.write(name, 0, "utf8");
  octal(0o600, 7, 100);
  octal(0, 7, 108);
  octal(0, 7, 116);
  octal(size, 11, 124);
  octal(mtimeMs / 1_000, 11, 136);
  header.write(" ".repeat(8), 148, "latin1");
  header.write("0", 156, "latin1");
  header.write("ustar\0" + "00", 257, "latin1");
  header.write(prefix, 345, "utf8");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** A long path is cut at a slash into prefix and name; one that cannot be is cut short. */
function splitName(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= NAME_BYTES_MAX) return { name: path, prefix: "" };
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    if (Buffer.byteLength(name) <= NAME_BYTES_MAX && Buffer.byteLength(prefix) <= PREFIX_BYTES_MAX)
      return { name, prefix };
  }
  return { name: Buffer.from(path).subarray(-NAME_BYTES_MAX).toString("latin1"), prefix: "" };
}
