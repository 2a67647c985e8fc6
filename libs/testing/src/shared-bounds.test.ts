/** The table of shared bounds in docs/GUARANTEES.md, against the code: its files, settings, constants and metrics exist, and no setting is missing. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { repositoryRoot } from "./process.ts";

const HEADING = "## Shared bounds, and an owner's share of each";
const COLUMNS = 6;
const configs = [
  ...globSync("services/*/src/config.ts", { cwd: repositoryRoot }),
  "services/cloud-classifier/src/call-settings.ts",
  "edge/bridge/src/config.ts",
].toSorted();

/** Settings of one device, request, job or process: nothing that devices share. Times (`msMax`, `closedDaysMax`) need no row. */
const ofOneOwner: Readonly<Record<string, readonly string[]>> = {
  "edge/bridge/src/config.ts": [
    "messagesPerSecondMax",
    "messagesBurstMax",
    "bytesPerSecondMax",
    "bytesBurstMax",
    "recordsPerSecondMax",
    "recordsBurstMax",
    "kafkaBytesPerSecondMax",
    "kafkaBytesBurstMax",
    "subscriptionsPerSecondMax",
    "subscriptionsBurstMax",
    "deadLettersPerSecondMax",
    "deadLettersBurstMax",
    "deadLetterBytesPerSecondMax",
    "deadLetterBytesBurstMax",
    "frameBytesMax",
    "recordBytesMax",
    "packetBytesMax",
    "takeoversPerMinuteMax",
    "resultsQueuedMax",
  ],
  "services/cloud-classifier/src/call-settings.ts": ["batchMax", "attemptsMax", "shareMax", "failureShareMax"],
  "services/drift-monitor/src/config.ts": ["baselineWindowsMax"],
  "services/frame-archive/src/config.ts": ["pixelsMax"],
  "services/gateway/src/config.ts": ["finishedMax", "historyBytesMax"],
  "services/model-registry/src/config.ts": ["bytesMax", "packageBytesMax", "validationBytesMax", "attemptsMax"],
  "services/rollout-manager/src/config.ts": ["answerBytesMax", "seriesMax", "finishedMax"],
  "services/router/src/config.ts": [
    "framesPerSecondMax",
    "drawShareMax",
    "unverifiedDrawShareMax",
    "lossRateMax",
    "framesPerDeviceMax",
    "bootsPerDeviceMax",
    "answersUnsavedMax",
  ],
  "services/trainer/src/config.ts": [
    "baseSetBytesMax",
    "uploadBytesMax",
    "runsPerWeekMax",
    "attemptsMax",
    "restartsMax",
    "effectsMax",
  ],
};

const textOf = (file: string): string => readFileSync(join(repositoryRoot, file), "utf8");
const quoted = (cell: string): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
const isName = (name: string): boolean => /^[A-Za-z_]+$/.test(name);

type Row = Readonly<Record<"bound" | "where" | "owner" | "share" | "atIt" | "countedBy", string>>;

function rowsOf(document: string): readonly Row[] {
  const from = document.indexOf(`${HEADING}\n`);
  const section = document.slice(from + HEADING.length, document.indexOf("\n## ", from + HEADING.length));
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) => {
    const cells = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (cells.length !== COLUMNS) throw new Error(`a row of the shared bounds has ${cells.length} cells: ${line}`);
    const [bound = "", where = "", owner = "", share = "", atIt = "", countedBy = ""] = cells;
    return { bound, where, owner, share, atIt, countedBy };
  });
}

/** Settings of a schema of zod whose names end with `Max`, and that are not times. */
const boundsOf = (file: string): readonly string[] => {
  const declared = textOf(file).matchAll(/^ +(\w*Max): *(?:positive|share|count|bytes|z)\b/gm);
  return [...new Set([...declared].map(([, name = ""]) => name))].filter(
    (name) => !/(^ms|Ms|Days|Hours)Max$/.test(name),
  );
};

describe("the table of shared bounds in docs/GUARANTEES.md", () => {
  const rows = rowsOf(textOf("docs/GUARANTEES.md"));
  const sources = globSync(["services/*/src/**/*.ts", "edge/*/src/**/*.ts", "libs/**/src/**/*.ts"], {
    cwd: repositoryRoot,
    exclude: (file) => file === "node_modules" || file === "dist" || file === "generated",
  });
  const metrics = new Set(
    sources
      .filter((file) => !file.endsWith(".test.ts"))
      .flatMap((file) => [...textOf(file).matchAll(/"(tributary_[a-z_]+)"/g)].map(([, name = ""]) => name)),
  );

  test.each(rows.map((row) => [row.bound, row] as const))(
    "%s",
    (_, { bound, where, owner, share, atIt, countedBy }) => {
      const text = quoted(where).map(textOf).join("\n");
      const names = quoted(bound).filter((name) => name.endsWith("Max") || /^[A-Z_]+$/.test(name));
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) expect([where, name, text.includes(name)]).toEqual([where, name, true]);
      expect(owner).not.toBe("");
      expect(atIt).not.toBe("");
      if (share.startsWith("none")) expect(share).toMatch(/^none[:;]? .{10}/);
      const counters = quoted(countedBy).filter((name) => name.startsWith("tributary_"));
      for (const counter of counters) expect([counter, metrics.has(counter)]).toEqual([counter, true]);
      if (counters.length === 0) expect(countedBy).toMatch(/^none: .{10}/);
    },
  );

  test.each(configs)("every bound among the settings of %s is in it, or is of one owner", (file) => {
    const inTable = new Set(rows.flatMap(({ bound, share }) => [...quoted(bound), ...quoted(share)]).filter(isName));
    const own = ofOneOwner[file] ?? [];
    const bounds = boundsOf(file);
    const missing = bounds.filter((name) => !inTable.has(name) && !own.includes(name));
    expect({ file, missing }).toEqual({ file, missing: [] }); // Give it a row in the table, or add it to `ofOneOwner` above.
    expect({ file, stale: own.filter((name) => !bounds.includes(name)) }).toEqual({ file, stale: [] });
  });
});
