/**
 * An archive for remote support: findings, versions, health, metrics, configuration, logs.
 *
 * It contains no secrets (redact.ts). Still, only its owner can read the file. The archive names what could not be
 * collected, and has everything else. It holds the last 256 KiB of a log, and the first 200 files of a folder.
 */
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { reasonOf } from "@tributary/kernel";
import { parse } from "yaml";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Examination } from "./examine.ts";
import { redactedConfig, redactedText } from "./redact.ts";
import { type TarEntry, tarOf } from "./tar.ts";

export type BundleOptions = {
  readonly file: string;
  readonly version: string;
  /** Origin of the gateway; its health and metrics need no token. */
  readonly gatewayUrl: (path: string) => string;
  /** Files and folders with configuration (*.yaml) and logs (*.log). */
  readonly collect: readonly string[];
  readonly now: number;
};

const LOG_BYTES_MAX = 256 * 1024;
const CONFIG_BYTES_MAX = 1024 * 1024;
const FILES_MAX = 200;
const FETCH_MS_MAX = 5_000;

export async function writeBundle(examination: Examination, options: BundleOptions): Promise<readonly string[]> {
  const root = basename(options.file).replace(/(\.tar)?\.t?gz$/, "") || "bundle";
  const entries: TarEntry[] = [];
  const troubles: string[] = [];
  const add = (name: string, text: string) => entries.push({ name: `${root}/${name}`, bytes: Buffer.from(text) });
  const json = (name: string, value: unknown) => add(name, `${JSON.stringify(value, withoutBigints, 2)}\n`);
  const attempt = async (name: string, text: () => string | Promise<string>) => {
    try {
      add(name, await text());
    } catch (error) {
      troubles.push(`${name}: ${reasonOf(error)}`);
    }
  };
  json("findings.json", examination.findings);
  const { version: node, platform, arch } = process;
  json("versions.json", { tributary: options.version, node, platform, arch, at: new Date(options.now).toISOString() });
  if (examination.kafka !== undefined) json("kafka.json", examination.kafka);
  const gateway = options.gatewayUrl("").replace(/\/$/, "");
  const services = new Map([["gateway", { url: gateway, metricsUrl: gateway }]]);
  for (const { path, name } of options.collect.flatMap((one) => filesOf(one, troubles))) {
    if (/\.ya?ml$/i.test(name)) {
      await attempt(`config/${name}`, () => {
        const text = redactedConfig(readWhole(path));
        const urls = httpOf(text);
        if (urls !== undefined) services.set(basename(name).replace(/\.ya?ml$/i, ""), urls);
        return text;
      });
    } else if (/\.log$/i.test(name)) await attempt(`logs/${name}`, () => redactedText(tailOf(path)));
  }
  for (const [name, { url, metricsUrl }] of services) {
    await attempt(`services/${name}/ready.json`, () => textFrom(`${url}/health/ready`));
    await attempt(`services/${name}/metrics.txt`, () => textFrom(`${metricsUrl}/metrics`));
  }
  if (troubles.length > 0) add("not-collected.txt", `${troubles.join("\n")}\n`);
  try {
    writeFileSync(options.file, gzipSync(tarOf(entries, options.now)), { mode: 0o600 });
  } catch (error) {
    throw new CliError(exitCodes.failed, `--bundle: ${reasonOf(error)}`, { cause: error });
  }
  return entries.map(({ name }) => name);
}

const withoutBigints = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}` : value);

function filesOf(path: string, troubles: string[]): { path: string; name: string }[] {
  try {
    if (!statSync(path).isDirectory()) return [{ path, name: basename(path) }];
    const inside = readdirSync(path, { withFileTypes: true });
    const own = inside.filter((entry) => entry.isFile()).map(({ name }) => ({ path: join(path, name), name }));
    const hasLogs = inside.some((entry) => entry.isDirectory() && entry.name === "logs");
    return [...own, ...(hasLogs ? filesOf(join(path, "logs"), troubles) : [])].slice(0, FILES_MAX);
  } catch (error) {
    troubles.push(`${path}: ${reasonOf(error)}`);
    return [];
  }
}

function readWhole(path: string): string {
  if (statSync(path).size > CONFIG_BYTES_MAX) throw new Error(`more than ${CONFIG_BYTES_MAX} bytes`);
  return readFileSync(path, "utf8");
}

/** Whole lines. */
function tailOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, LOG_BYTES_MAX));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    const text = bytes.toString("utf8");
    return size > LOG_BYTES_MAX ? text.slice(text.indexOf("\n") + 1) : text;
  } finally {
    closeSync(file);
  }
}

/** The address of a service with this configuration, if it names a port. */
function httpOf(config: string): { readonly url: string; readonly metricsUrl: string } | undefined {
  const { http } = (parse(config) ?? {}) as {
    http?: { [key in "host" | "port" | "metricsHost" | "metricsPort"]?: unknown };
  };
  if (typeof http?.port !== "number" || http.port === 0) return undefined;
  const { port, metricsPort = port, host, metricsHost = host } = http;
  return { url: originOf(host, port), metricsUrl: originOf(metricsHost, metricsPort) };
}

const originOf = (host: unknown, port: unknown): string =>
  `http://${typeof host === "string" && !/^(0\.0\.0\.0|::)$/.test(host) ? host : "127.0.0.1"}:${port}`;

async function textFrom(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS_MAX) });
  return response.text();
}
