/** The whole gate: measures, judges, and writes the report for programs and the page for people. */
import { loadPackage } from "@tributary/model-store";
import { type GateLine, type GateReport, judgeGate, type Margins, marginDefaults } from "@tributary/models/gate";
import { htmlOf } from "./html.ts";
import { type GateOptions, measure } from "./measure.ts";
import { type GatesBefore, type Seen, seenOf } from "./seen.ts";

export type Gated = {
  readonly report: GateReport;
  /** Lines that failed, in words. */
  readonly failed: readonly string[];
  /** Lines that more frames would decide, in words. */
  readonly unsure: readonly string[];
  /** The report as JSON, with what was compared and by which margins. */
  readonly json: string;
  readonly page: string;
  /** Which frames were shown, and how often by now. */
  readonly seen: Seen;
};

export async function runGate(
  options: GateOptions,
  margins: Margins = marginDefaults,
  progress: (line: string) => void = () => {},
  gatesBefore: GatesBefore | null = null,
): Promise<Gated> {
  const input = await measure(options, progress);
  const report = judgeGate(input, margins);
  const titleOf = async (dir: string) => {
    const { manifest, digest } = await loadPackage(dir);
    return { name: manifest.name, version: manifest.version, modelDigest: digest };
  };
  const [candidate, champion] = [await titleOf(options.candidate), await titleOf(options.champion)];
  const seen = await seenOf(options, gatesBefore);
  const { validationSet } = seen;
  const about = { candidate, champion, validationSet, frames: input.labels.length, seen, margins };
  const titles = {
    candidate: `${candidate.name} ${candidate.version}`,
    champion: `${champion.name} ${champion.version}`,
    seen,
  };
  const linesThat = (wanted: GateLine["verdict"]) =>
    report.lines
      .filter(({ verdict }) => verdict === wanted)
      .map(({ kind, name, found }) => `${kind}, ${name}: ${found}`);
  return {
    report,
    failed: linesThat("failed"),
    unsure: linesThat("unsure"),
    json: `${JSON.stringify({ ...about, ...report }, null, 2)}\n`,
    page: htmlOf(report, input, titles),
    seen,
  };
}
