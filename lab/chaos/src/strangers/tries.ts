/** Makes the attempts of all classes, mixed and spread over time, and compares the results with the bridge's counters. */
import { type Random, reasonOf, seededRandom } from "@tributary/kernel";
import { seriesOf } from "@tributary/stack";
import { type Check, check } from "../scenario.ts";
import type { StrangerClass } from "./classes.ts";

/** So many attempts for each authenticated control. */
const TWIN_EVERY = 10;
const AT_ONCE = 24;
/** Series that other things count too, such as connections that broke; they must count no less. */
const COUNTED_AT_LEAST = ["tributary_bridge_mqtt_faults_total"];

type Tally = {
  tries: number;
  accepted: number;
  twins: number;
  twinsFailed: number;
  readonly refused: Map<string, number>;
};
export type Tallies = ReadonlyMap<string, Tally>;

export async function runTries(
  classes: readonly StrangerClass[],
  tries: number,
  log: (line: string) => void,
): Promise<{ readonly tallies: Tallies; readonly errors: readonly string[] }> {
  const tallies = new Map<string, Tally>();
  for (const { name } of classes) {
    tallies.set(name, { tries: 0, accepted: 0, twins: 0, twinsFailed: 0, refused: new Map() });
  }
  const errors: string[] = [];
  const order = shuffled(
    Array.from({ length: tries }, (_, i) => ({ of: classes[i % classes.length] as StrangerClass, i })),
    seededRandom(30),
  );
  let made = 0;
  const worker = async () => {
    for (let next = order.pop(); next !== undefined; next = order.pop()) {
      const { of, i } = next;
      const tally = tallies.get(of.name) as Tally;
      try {
        const attempt = await of.attempt(i);
        tally.tries++;
        if (attempt === "accepted") tally.accepted++;
        else tally.refused.set(attempt.refused, (tally.refused.get(attempt.refused) ?? 0) + 1);
        if (tally.tries % TWIN_EVERY === 1) {
          tally.twins++;
          if (!(await of.twin(i))) tally.twinsFailed++;
        }
      } catch (error) {
        errors.push(`${of.name}: ${reasonOf(error)}`);
      }
      if (++made % 10_000 === 0) log(`${made} attempts`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { tallies, errors };
}

function shuffled<T>(list: T[], random: Random): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j] as T, list[i] as T];
  }
  return list;
}

/** What services have counted so far, by class; a series that is not there yet is 0. */
export type Counts = (of: StrangerClass) => number;

export async function readCounts(classes: readonly StrangerClass[]): Promise<Counts> {
  const urls = [...new Set(classes.flatMap(({ metricsUrl }) => metricsUrl ?? []))];
  const texts = await Promise.all(urls.map(async (url) => [url, await (await fetch(url)).text()] as const));
  const series = new Map(texts.map(([url, text]) => [url, seriesOf(text)]));
  return ({ metricsUrl = "", counted = "" }) => series.get(metricsUrl)?.get(counted) ?? 0;
}

export function checksOf(
  classes: readonly StrangerClass[],
  { tallies, errors }: { readonly tallies: Tallies; readonly errors: readonly string[] },
  [before, after]: readonly [Counts, Counts],
): readonly Check[] {
  const checks = classes.map(({ name }) => {
    const { tries, accepted, twins, twinsFailed, refused } = tallies.get(name) as Tally;
    const how = [...refused].map(([reason, count]) => `${reason}: ${count}`).join(", ");
    const passed = tries > 0 && accepted === 0 && twins > 0 && twinsFailed === 0;
    return check(
      name,
      passed,
      `${accepted} of ${tries} accepted (${how}); ${twinsFailed} of ${twins} authenticated controls failed`,
    );
  });
  const bySeries = Map.groupBy(
    classes.filter((one) => one.counted !== undefined),
    ({ metricsUrl, counted }) => `${metricsUrl} ${counted}`,
  );
  for (const of of bySeries.values()) {
    const [one] = of as [StrangerClass];
    const series = one.counted as string;
    const tries = of.reduce((sum, { name }) => sum + (tallies.get(name) as Tally).tries, 0);
    const found = after(one) - before(one);
    const passed = COUNTED_AT_LEAST.includes(series) ? found >= tries : found === tries;
    checks.push(check(`${one.name.split(":")[0]}: counted as ${series}`, passed, `${found} of ${tries}`));
  }
  const found = errors.length === 0 ? "none" : `${errors.length}, the first: ${errors[0]}`;
  return [...checks, check("no attempt failed for another reason", errors.length === 0, found)];
}
