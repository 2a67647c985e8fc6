/** Ed25519 keys as PEM (PKCS#8), by node:crypto alone. A key's id is TUF's usual one: SHA-256 of its canonical JSON, as
 * python-tuf computes it. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Failure, reasonOf } from "@tributary/kernel";
import { writeDurably } from "@tributary/kernel/durable-file";
import { Key } from "@tufjs/models";

export type Signer = {
  readonly publicKey: Key;
  /** Hex. */
  sign(bytes: Uint8Array): string;
};

/** A new private key. With a passphrase the PEM is encrypted (AES-256-CBC, PBKDF2): for root keys, which leave the machine. */
export function generateKey(passphrase?: string): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  const encryption = passphrase === undefined ? {} : { cipher: "aes-256-cbc", passphrase };
  return privateKey.export({ type: "pkcs8", format: "pem", ...encryption }).toString();
}

/** Throws Failure `tuf-key-unreadable`. `name` is for the message only. */
export function signerOf(pem: string, name: string, passphrase?: string): Signer {
  const privateKey = privateKeyOf(pem, name, passphrase);
  return {
    publicKey: publicKeyOf(createPublicKey(privateKey), name),
    sign: (bytes) => sign(null, bytes, privateKey).toString("hex"),
  };
}

/** Of a public key in PEM (SPKI), which a holder gives for a root that names a new key. */
export const publicKeyOfPem = (pem: string, name: string): Key => publicKeyOf(publicKeyObject(pem, name), name);

/** SPKI, for holders who give their public key only. */
export const publicPemOf = (privatePem: string, name: string, passphrase?: string): string =>
  createPublicKey(privateKeyOf(privatePem, name, passphrase))
    .export({ type: "spki", format: "pem" })
    .toString();

/** Readable by its owner alone. */
export const writeKey = (path: string, pem: string): Promise<void> =>
  writeDurably(path, new TextEncoder().encode(pem), 0o600);

export const readSigner = async (path: string, passphrase?: string): Promise<Signer> =>
  signerOf(
    await readFile(path, "utf8").catch((error: unknown) => {
      throw new Failure("tuf-key-unreadable", "ask-a-person", `${path}: ${reasonOf(error)}`, { cause: error });
    }),
    path,
    passphrase,
  );

function publicKeyOf(key: KeyObject, name: string): Key {
  if (key.asymmetricKeyType !== "ed25519") throw unreadable(name, `an ${key.asymmetricKeyType} key, not Ed25519`);
  const raw = Buffer.from(key.export({ format: "jwk" }).x as string, "base64url").toString("hex");
  const canonical = JSON.stringify({ keytype: "ed25519", keyval: { public: raw }, scheme: "ed25519" });
  const keyID = createHash("sha256").update(canonical).digest("hex");
  return new Key({ keyID, keyType: "ed25519", scheme: "ed25519", keyVal: { public: raw } });
}

function privateKeyOf(pem: string, name: string, passphrase?: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, format: "pem", ...(passphrase !== undefined && { passphrase }) });
  } catch (error) {
    throw unreadable(name, `no private key that opens: ${reasonOf(error)}`);
  }
}

function publicKeyObject(pem: string, name: string): KeyObject {
  if (pem.includes("PRIVATE KEY")) throw unreadable(name, "a private key, where its public half is enough");
  try {
    return createPublicKey(pem);
  } catch (error) {
    throw unreadable(name, `no public key: ${reasonOf(error)}`);
  }
}

const unreadable = (name: string, what: string) =>
  new Failure("tuf-key-unreadable", "ask-a-person", `${name}: ${what}`);
