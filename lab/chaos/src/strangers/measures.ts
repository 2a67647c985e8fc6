/** What unauthenticated clients can cost devices: time, memory, and reconnection after a restart. */
import { setTimeout as sleep } from "node:timers/promises";
import { seededRandom } from "@tributary/kernel";
import { quantilesOf } from "@tributary/testing";
import { type Check, check } from "../scenario.ts";
import { GOOD } from "./mqtt.ts";
import { compareSamples, seenFactor } from "./two-sample.ts";
import { type Hello, hello, isWelcome, login, subscribe, Wire } from "./wire.ts";
import type { World } from "./world.ts";

type Found = { readonly checks: readonly Check[]; readonly figures: { readonly [name: string]: number | null } };

/** The level of all tests: how seldom equal distributions may be called different. */
const P_MIN = 0.001;
/** Answers that are not counted, while both sides' code is compiled. */
const WARM_UP = 20;
const rounded = (value: number, digits = 2) => Number(value.toFixed(digits));

/** Answers to names that exist and to names that do not, one at a time, in random order. */
export async function timing(world: World, kept: string, known: readonly string[], samples: number): Promise<Found> {
  const random = seededRandom(31);
  const times: { readonly [kind: string]: number[] } = { known: [], unknown: [] };
  const codes = new Set<string>();
  for (let i = 0; i < samples * 2 + WARM_UP; i++) {
    const kind = random() < 0.5 ? "known" : "unknown";
    const exists = known[Math.floor(random() * known.length)] as string;
    const name = kind === "known" ? exists : `z${exists.slice(1)}`; // of the same length, and nobody's
    const wire = await Wire.open(world.port, `127.7.0.${1 + (i % 200)}`);
    const bytes = hello({ clientId: name, user: name, password: "x".repeat(32) });
    const startedAt = performance.now();
    const reply = await wire.ask(bytes);
    if (i >= WARM_UP) times[kind]?.push(performance.now() - startedAt);
    codes.add(JSON.stringify(reply));
    wire.close();
  }
  const [a = [], b = []] = [times.known, times.unknown];
  const { mannWhitneyP, kolmogorovP } = compareSamples(a, b);
  const seen = seenFactor(a, b, P_MIN);
  const ps = `p = ${mannWhitneyP.toFixed(3)} (Mann-Whitney), ${kolmogorovP.toFixed(3)} (Kolmogorov-Smirnov)`;
  const [medianA, medianB] = [a, b].map((one) => quantilesOf(one, 0.5)[0].toFixed(3));
  const medians = `medians ${medianA} and ${medianB} ms`;
  return {
    checks: [
      check(`${kept}: one answer for existing and unknown names`, codes.size === 1, [...codes].join(" ")),
      check(
        `${kept}: one distribution of its time (p > ${P_MIN})`,
        Math.min(mannWhitneyP, kolmogorovP) > P_MIN,
        `${ps}; ${a.length} and ${b.length} samples, ${medians}; ${seen === null ? "no" : `a ${seen} times`} slower answer would be seen`,
      ),
    ],
    figures: {
      [`${kept}: Mann-Whitney p`]: rounded(mannWhitneyP, 4),
      [`${kept}: Kolmogorov-Smirnov p`]: rounded(kolmogorovP, 4),
    },
  };
}

/** How long a device takes to log in, its retries included; null: not within `msMax`. */
async function loginMs(world: World, who: Hello, address: string, msMax = 30_000): Promise<number | null> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < msMax) {
    const session = await login(world.port, who, address).catch(() => undefined);
    if (session instanceof Wire) {
      const ms = performance.now() - startedAt;
      session.close();
      return ms;
    }
    await sleep(100);
  }
  return null;
}

const GUESSERS = 30;

/** Sockets that guess at a device's password for as long as `during` takes. */
async function guessing<T>(world: World, victim: string, address: string, during: () => Promise<T>): Promise<T> {
  const open = new Set<Wire>();
  let isOn = true;
  let guesses = 0;
  const guess = async () => {
    while (isOn) {
      const wire = await Wire.open(world.port, address).catch(() => undefined);
      if (wire === undefined) {
        await sleep(10);
        continue;
      }
      open.add(wire);
      await wire.ask(hello({ clientId: victim, user: victim, password: `guess-${++guesses}` }));
      open.delete(wire);
      wire.close();
    }
  };
  const running = Array.from({ length: GUESSERS }, guess);
  await sleep(300);
  try {
    return await during();
  } finally {
    isOn = false;
    for (const wire of open) wire.close();
    await Promise.all(running);
  }
}

/** Beside which a login is not slow, on a machine that does much else. */
const LOGIN_MS = 1_000;
/** In checks of a password, as long as one takes on this machine now: from an address of its own, and from the guessers'. */
const CHECKS_MAX = { "another address": 8, "the same address": GUESSERS + 10 };

/** Each victim logs in for the first time since the bridge started, while others guess at its name. */
export async function guessed(world: World, kept: string, victims: readonly string[]): Promise<Found> {
  const [undisturbed = "", ...rest] = victims;
  const aloneMs = (await loginMs(world, world.device(undisturbed), "127.1.0.5")) ?? Number.POSITIVE_INFINITY;
  const checks: Check[] = [];
  const figures: { [name: string]: number } = { [`${kept}: a login with nobody guessing, ms`]: Math.round(aloneMs) };
  for (const [n, [place, checksMax]] of Object.entries(CHECKS_MAX).entries()) {
    const address = place === "another address" ? "127.1.0.5" : "127.6.0.1";
    const msMax = Math.max(LOGIN_MS, checksMax * aloneMs);
    const times: number[] = [];
    for (const victim of rest.filter((_, i) => i % 2 === n)) {
      const who = world.device(victim);
      const ms = await guessing(world, victim, "127.6.0.1", () => loginMs(world, who, address));
      times.push(ms ?? Number.POSITIVE_INFINITY);
    }
    const slowest = Math.round(Math.max(...times));
    const name = `${kept}: slowest login of ${times.length} from ${place} while ${GUESSERS} sockets guess at its name`;
    checks.push(check(name, slowest <= msMax, `${slowest} ms, at most ${Math.round(msMax)}`));
    figures[`${name}, ms`] = slowest;
  }
  return { checks, figures };
}

/** Silent sockets that were closed reconnect after so long, give or take a fifth: faster, it is a flood of connects. */
const SILENT_AGAIN_MS = 10_000;

/** Good logins while as many silent sockets as possible are open, and reopened when they are closed. */
export async function silence(
  world: World,
  wanted: number,
  logins: number,
  log: (line: string) => void,
): Promise<Found> {
  const silent = new Set<Wire>();
  let opened = 0;
  let isOn = true;
  const keep = async (n: number) => {
    while (isOn) {
      // Half of them from the address of some good devices.
      const wire = await Wire.open(world.port, n % 2 === 0 ? "127.5.0.1" : `127.5.1.${n % 200}`).catch(() => undefined);
      if (wire === undefined) {
        await sleep(500);
        continue;
      }
      opened++;
      silent.add(wire);
      await new Promise((resolve) => wire.socket.once("close", resolve));
      silent.delete(wire);
      if (isOn) await sleep(SILENT_AGAIN_MS * (0.8 + 0.4 * Math.random()));
    }
  };
  const keepers = Array.from({ length: wanted }, (_, n) => sleep((n / wanted) * 4_000).then(() => keep(n)));
  await sleep(5_000);
  log(`${silent.size} of ${wanted} silent sockets are open, ${opened} were opened`);
  const times: (number | null)[] = [];
  let failed = 0;
  for (let i = 0; i < logins; i++) {
    const address = i % 2 === 0 ? "127.5.0.1" : "127.1.0.6";
    const startedAt = performance.now();
    const session = await login(world.port, world.device(GOOD[i % GOOD.length] as string), address).catch(
      () => undefined,
    );
    if (session instanceof Wire) session.close();
    else failed++;
    times.push(performance.now() - startedAt);
    await sleep(20);
  }
  const figures = {
    "silent sockets kept open": wanted,
    "silent sockets opened in all": opened,
    "good logins beside them that failed": failed,
    "good logins beside them, p99 ms": rounded(quantilesOf(times as number[], 0.99)[0]),
  };
  isOn = false;
  for (const wire of silent) wire.close();
  await Promise.all(keepers);
  return {
    checks: [check(`no good login fails with ${wanted} silent sockets`, failed === 0, `${failed} of ${logins}`)],
    figures,
  };
}

const HERD_MS_MAX = 60_000;
/** A device gives a connection up after so long, and connects again. */
const PATIENCE_MS = 10_000;

/** A whole fleet reconnects at once to a bridge that has just started, each device with its downlink subscribed. */
export async function herd(world: World, devices: number, log: (line: string) => void): Promise<Found> {
  const fleet = Array.from({ length: devices }, (_, i) => `herd-${i}`);
  await world.register(fleet, "hmac-sha256");
  await world.stopBridge();
  await world.startBridge();
  const sessions: Wire[] = [];
  const startedAt = performance.now();
  let tries = 0;
  const comeBack = async (deviceId: string, i: number) => {
    for (let pauseMs = 250; performance.now() - startedAt < 2 * HERD_MS_MAX; pauseMs = Math.min(5_000, pauseMs * 2)) {
      tries++;
      const wire = await Wire.open(world.port, `127.4.${i >> 8}.${1 + (i % 254)}`).catch(() => undefined);
      if (wire !== undefined) {
        const timer = setTimeout(() => wire.close(), PATIENCE_MS);
        const isIn = isWelcome(await wire.ask(hello(world.device(deviceId))));
        const isDone = isIn && (await wire.ask(subscribe(`tributary/v1/${deviceId}/down/#`))) !== "closed";
        clearTimeout(timer);
        if (isDone) {
          sessions.push(wire);
          return;
        }
        wire.close();
      }
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  };
  await Promise.all(fleet.map(comeBack));
  const ms = performance.now() - startedAt;
  const held = (await world.metrics()).get("tributary_bridge_sessions") ?? 0;
  log(`${sessions.length} of ${devices} are connected after ${(ms / 1_000).toFixed(1)} s`);
  for (const wire of sessions) wire.close();
  const found = `${sessions.length} in ${(ms / 1_000).toFixed(1)} s, ${tries} connections; the bridge holds ${held}`;
  const isBack = sessions.length === devices && held === devices && ms <= HERD_MS_MAX;
  return {
    checks: [check(`${devices} devices are connected within ${HERD_MS_MAX / 1_000} s of a restart`, isBack, found)],
    figures: { "fleet: devices": devices, "fleet: seconds": rounded(ms / 1_000, 1), "fleet: connections": tries },
  };
}

/** Two processes with one device's credentials, each of which always reconnects. */
export async function takeovers(world: World, attempts: number): Promise<Found> {
  const deviceId = "cloned";
  await world.register([deviceId], "hmac-sha256");
  await sleep(1_000);
  const before = await world.metrics();
  const kept: Wire[] = [];
  let isIn = 0;
  for (let i = 0; i < attempts; i++) {
    const session = await login(world.port, world.device(deviceId), `127.3.0.${1 + (i % 2)}`);
    if (!(session instanceof Wire)) continue;
    isIn++;
    kept.push(session);
  }
  const after = await world.metrics();
  const count = (series: string) => (after.get(series) ?? 0) - (before.get(series) ?? 0);
  const named = after.get(`tributary_bridge_device_takeovers{device="${deviceId}"}`) ?? 0;
  for (const session of kept) session.close();
  const done = count("tributary_bridge_takeovers_total");
  return {
    checks: [
      check("takeovers of one device are limited", isIn >= 2 && isIn <= 14, `${isIn} of ${attempts} were accepted`),
      check(
        "takeovers are counted, and name the device",
        done === isIn - 1 && named === attempts - 1,
        `${done}; ${named} for ${deviceId}`,
      ),
    ],
    figures: { "takeovers tried": attempts, "takeovers accepted": done },
  };
}
