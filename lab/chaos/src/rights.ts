/**
 * Every route of every service, asked without a token, with a wrong one, and with each other service's: no answer is a picture of a
 * camera or of people's sets, or names one. With the service's own token the same requests get them.
 */
import { join } from "node:path";
import { startKafka } from "../../../tools/kafka.mjs";
import { type Ask, ask, requestsOf, type Seen } from "./rights/requests.ts";
import { openRights, type RightsPort, type RightsWorld } from "./rights/world.ts";
import { check, type Drill, type Findings } from "./scenario.ts";

const AT_ONCE = 32;
const WRONG = "a-token-of-nobody-at-all";

type Found = { count: number; readonly first: string[] };
type Counts = { requests: number; ofPackages: number; readonly pictures: Found; readonly manifests: Found };

export const rights: Drill = {
  name: "rights",
  summary: "every route of every service without and with each token: no picture and no manifest without the right one",
  details: `The requests are made from the route tables of @tributary/api, with every picture, set, frame and dataset that the services
were given, in other spellings of the paths too. Files of listed packages, golden frames among them, are every device's.`,
  options: [],
  run: async ({ dir, log }) => {
    const kafka = await startKafka({ dataDir: join(dir, "kafka"), logFile: join(dir, "kafka.log"), heapMb: 256 });
    try {
      log("services, and pictures in each place");
      const world = await openRights(join(dir, "rights"), [kafka.brokers]);
      try {
        return [await asked(world, log)];
      } finally {
        await world.close();
      }
    } finally {
      await kafka.stop();
    }
  },
};

async function asked(world: RightsWorld, log: (line: string) => void): Promise<Findings> {
  const asks = requestsOf(world.values);
  const reading = asks.filter(({ method }) => method === "GET" || method === "HEAD");
  log(`${asks.length} requests at ${world.ports.length} ports, with their own tokens first`);
  const own = countsOf();
  for (const port of world.ports) {
    if (port.token !== undefined) await count(world, port, port.token, "127.0.0.1", reading, own);
  }
  const tokens = world.ports.flatMap(({ token }) => token ?? []);
  const none = countsOf();
  for (const port of world.ports) {
    log(`${port.name}, without its token`);
    for (const [i, token] of [undefined, WRONG, ...tokens].entries()) {
      if (token === port.token && token !== undefined) continue;
      await count(world, port, token, `127.8.0.${i + 1}`, asks, none);
    }
  }
  const shown = ({ count, first }: Found) => [String(count), ...first].join(" ");
  return {
    title: "Pictures and manifests, without and with each token",
    checks: [
      check("no picture without the right token", none.pictures.count === 0, shown(none.pictures)),
      check("no manifest without the right token", none.manifests.count === 0, shown(none.manifests)),
      check("files of packages are open", none.ofPackages > 0, none.ofPackages),
      check("pictures with it", own.pictures.count > 0, own.pictures.count),
      check("manifests with it", own.manifests.count > 0, own.manifests.count),
    ],
    figures: {
      ports: world.ports.length,
      "requests of the route tables": asks.length,
      "made without the right token": none.requests,
      "made with it": own.requests,
    },
  };
}

const foundOf = (): Found => ({ count: 0, first: [] });
const countsOf = (): Counts => ({ requests: 0, ofPackages: 0, pictures: foundOf(), manifests: foundOf() });

async function count(
  world: RightsWorld,
  port: RightsPort,
  token: string | undefined,
  from: string,
  asks: readonly Ask[],
  counts: Counts,
): Promise<void> {
  const waiting = asks.values();
  const next = async () => {
    for (const one of waiting) {
      const seen = await ask(port.port, one, token, from, world.digests);
      note(counts, seen, world.open, `${port.name} ${one.method} ${one.path}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

const SHOWN_MAX = 5;

function note(counts: Counts, seen: Seen, open: ReadonlySet<string>, what: string): void {
  counts.requests += 1;
  if (open.has(seen.digest)) {
    counts.ofPackages += 1;
    return;
  }
  if (seen.isPicture) add(counts.pictures, what);
  if (seen.isManifest) add(counts.manifests, what);
}

function add(found: Found, what: string): void {
  found.count += 1;
  if (found.first.length < SHOWN_MAX) found.first.push(what);
}
