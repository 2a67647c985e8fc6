/**
 * Unauthenticated clients at every port; each class of attempt has an authenticated control, its twin. None is accepted, each is
 * counted by its reason, neither an answer nor its timing reveals a name, and no device is locked out (G9).
 */
import { join } from "node:path";
import { startKafka } from "../../../tools/kafka.mjs";
import { check, type Drill, type DrillSettings, type Findings } from "./scenario.ts";
import type { StrangerClass } from "./strangers/classes.ts";
import { openHttpDoor } from "./strangers/http.ts";
import { guessed, herd, silence, takeovers, timing } from "./strangers/measures.ts";
import { GOOD, mqttClasses, prepareFleet, storedForVictim } from "./strangers/mqtt.ts";
import { checksOf, readCounts, runTries } from "./strangers/tries.ts";
import { World } from "./strangers/world.ts";

const LEGACY = Array.from({ length: 5 }, (_, i) => `legacy-${i}`);
const LOGINS = 200;

export const strangers: Drill = {
  name: "strangers",
  summary:
    "100,000 unauthenticated attempts, with authenticated controls: none accepted, no name revealed, no device locked out",
  details: `MQTT: names, passwords, ids, wills, packets, subscriptions, topics; then response times by two-sample tests, a
device whose password 30 sockets guess, silent sockets, takeovers, and a fleet that reconnects to a restarted bridge.`,
  options: [
    { name: "tries", about: "attempts over MQTT, over all classes", value: 100_000 },
    { name: "http", about: "attempts at HTTP ports", value: 20_000 },
    { name: "samples", about: "samples of each kind, for response times", value: 3_000 },
    { name: "silent", about: "silent sockets", value: 14_000 },
    { name: "herd", about: "devices that reconnect at once", value: 10_000 },
  ],
  run: async (settings) => {
    const { dir } = settings;
    const kafka = await startKafka({ dataDir: join(dir, "kafka"), logFile: join(dir, "kafka.log"), heapMb: 256 });
    const world = await World.open(dir, [kafka.brokers]);
    try {
      await prepareFleet(world);
      await world.startBridge();
      const findings = [await tried(world, settings), await measured(world, settings)];
      if (settings.options.http) findings.push(await triedHttp(kafka.brokers, settings));
      return findings;
    } finally {
      await world.close();
      await kafka.stop();
    }
  },
};

async function tried(world: World, { options, log }: DrillSettings): Promise<Findings> {
  const { checks, figures } = await triesOf(mqttClasses(world), options.tries ?? 0, log);
  const stored = await storedForVictim(world);
  return {
    title: "MQTT: unauthenticated clients, and devices beyond their own topics",
    checks: [...checks, check("nothing is stored as the victim's", stored === 0, stored)],
    figures,
  };
}

async function triedHttp(brokers: string, { dir, options, log }: DrillSettings): Promise<Findings> {
  const door = await openHttpDoor({ dir: join(dir, "http"), brokers: [brokers] });
  try {
    return {
      title: "HTTP: other sites, foreign names, no token",
      ...(await triesOf(door.classes, options.http ?? 0, log)),
    };
  } finally {
    await door.close();
  }
}

async function triesOf(classes: readonly StrangerClass[], tries: number, log: (line: string) => void) {
  log(`${tries} attempts of ${classes.length} classes`);
  const before = await readCounts(classes);
  const startedAt = performance.now();
  const result = await runTries(classes, tries, log);
  const seconds = (performance.now() - startedAt) / 1_000;
  const tallies = [...result.tallies.values()];
  const sum = (of: (tally: (typeof tallies)[number]) => number) => tallies.reduce((all, tally) => all + of(tally), 0);
  return {
    checks: checksOf(classes, result, [before, await readCounts(classes)]),
    figures: {
      tries: sum((tally) => tally.tries),
      accepted: sum((tally) => tally.accepted),
      "authenticated controls that succeeded": sum((tally) => tally.twins - tally.twinsFailed),
      "tries a second": Math.round(tries / seconds),
    },
  };
}

async function measured(world: World, { options, log }: DrillSettings): Promise<Findings> {
  const { samples = 0, silent = 0, herd: devices = 0 } = options;
  log("response times, generated passwords");
  const found = [await timing(world, "generated passwords", GOOD, samples)];
  log("takeovers, guesses");
  found.push(await takeovers(world, 200), await guessed(world, "generated passwords", GOOD.slice(0, 9)));
  log("silent sockets");
  found.push(await silence(world, silent, LOGINS, log));
  log("reconnection of the fleet");
  found.push(await herd(world, devices, log));
  // From here on every refusal costs a scrypt, as there are devices whose password is kept as one.
  await world.register(LEGACY, "scrypt");
  await world.stopBridge();
  await world.startBridge();
  log("guesses and response times, old passwords");
  found.push(await guessed(world, "passwords issued before", LEGACY));
  found.push(
    await timing(world, "passwords issued before", [...LEGACY, ...GOOD], Math.max(20, Math.ceil(samples / 10))),
  );
  return {
    title: "MQTT: effect of unauthenticated clients on devices",
    checks: found.flatMap(({ checks }) => checks),
    figures: Object.assign({}, ...found.map(({ figures }) => figures)),
  };
}
