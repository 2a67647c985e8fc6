/** What can be checked of a PromQL query without a server: whether its answer can be cumulative counters, one for each
 * device. The grammar is Prometheus's own. A counter is compared with itself over the rollout's own time, so the query gives
 * the counter, not its rate. Each series names its device: an aggregation keeps the label. The query is asked for the
 * moments of a grid, so it may not choose its time by itself. What is not understood passes: the server decides,
 * and its answer is shown in the evidence. */
import { parser } from "@prometheus-io/lezer-promql";

type Node = ReturnType<typeof parser.parse>["topNode"];

const OF_A_WINDOW = new Set(
  ["rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing"].concat(
    ["resets", "changes", "histogram_quantile", "absent", "absent_over_time", "time", "timestamp", "vector", "scalar"],
    ["avg", "sum", "count", "quantile", "stddev", "stdvar", "mad"].map((name) => `${name}_over_time`),
  ),
);
const NO_SUM = new Set(["count", "count_values", "quantile", "stddev", "stdvar", "group"]);
/** These return series unchanged. */
const CHOOSING = new Set(["topk", "bottomk", "limitk", "limit_ratio"]);
const RELABELLING = new Set(["label_replace", "label_join"]);
const ONE_NUMBER = new Set(["NumberDurationLiteral", "StringLiteral"]);
const EXAMPLE_MAX = 40;

/** Null: it can be asked. Otherwise what is wrong with it and what to write. */
export function problemOfQuery(query: string, deviceLabel: string): string | null {
  const tree = parser.parse(query);
  const example = `sum by (${deviceLabel}) (x_total)`;
  let problem: string | null = null;
  tree.iterate({
    enter: (ref) => {
      if (problem !== null) return false;
      const { node } = ref;
      const text = (one: Node) => query.slice(one.from, one.to);
      if (node.type.isError) problem = syntaxProblem(query, node.from);
      else if (node.name === "StepInvariantExpr")
        problem = "@ fixes the moment, and the counter would stand still; leave it out";
      else if (node.name === "OffsetExpr")
        problem = "offset gives another time than the one that is judged; leave it out";
      else if (node.name === "FunctionIdentifier" && OF_A_WINDOW.has(text(node)))
        problem = `${text(node)}(…) is no cumulative counter; write the counter itself, such as ${example}`;
      else if (node.name === "AggregateOp" && NO_SUM.has(text(node)))
        problem = `${text(node)}(…) is no cumulative counter; write a sum, such as ${example}`;
      return true;
    },
  });
  if (problem !== null) return problem;
  const whole = tree.topNode.firstChild;
  if (whole === null || whole.name === "LineComment") return `asks for nothing; write a counter, such as ${example}`;
  const value = unwrapped(whole);
  if (value.name === "MatrixSelector" || value.name === "SubqueryExpr")
    return "is a range of values; leave out what stands in [ ]";
  if (ONE_NUMBER.has(value.name)) return `is one value, not one for each device; write a counter, such as ${example}`;
  if (carries(value, query, deviceLabel)) return null;
  return `its series do not name their device: the label ${deviceLabel} is lost; write ${example}, or name another label in deviceLabel`;
}

function syntaxProblem(query: string, from: number): string {
  const rest = query.slice(from);
  if (rest.trim() === "") return "is no PromQL: it ends too early; is a bracket or a quote missing?";
  const cut = rest.length > EXAMPLE_MAX ? `${rest.slice(0, EXAMPLE_MAX)}…` : rest;
  return `is no PromQL from character ${from + 1} on: ${cut}`;
}

/** Whether the answer's series may carry the label. */
function carries(node: Node, query: string, label: string): boolean {
  const textOf = (one: Node | null) => (one === null ? "" : query.slice(one.from, one.to));
  const inner = (one: Node | null) => one === null || carries(one, query, label);
  const body = node.getChild("FunctionCallBody");
  switch (node.name) {
    case "ParenExpr":
    case "UnaryExpr":
      return inner(node.lastChild);
    case "AggregateExpr": {
      const modifier = node.getChild("AggregateModifier");
      const argument = inner(body?.lastChild ?? null);
      if (modifier === null) return CHOOSING.has(textOf(node.getChild("AggregateOp"))) && argument;
      const isNamed = namesOf(modifier.getChild("GroupingLabels"), textOf).includes(label);
      return (modifier.getChild("By") !== null ? isNamed : !isNamed) && argument;
    }
    case "FunctionCall": {
      const name = textOf(node.getChild("FunctionIdentifier"));
      if (!RELABELLING.has(name)) return inner(body?.firstChild ?? null);
      const target = textOf(body?.getChildren("StringLiteral")[0] ?? null).slice(1, -1);
      return target === label || inner(body?.firstChild ?? null);
    }
    case "BinaryExpr": {
      const matching = node.getChild("MatchingModifierClause");
      const isNamed = namesOf(matching?.getChild("GroupingLabels") ?? null, textOf).includes(label);
      const isGrouped = matching?.getChild("GroupLeft") != null || matching?.getChild("GroupRight") != null;
      if (matching?.getChild("On") != null && !isNamed && !isGrouped) return false;
      if (matching?.getChild("Ignoring") != null && isNamed && !isGrouped) return false;
      const sides = [node.firstChild, node.lastChild].filter((side) => side !== null && !isOneValue(side));
      return isGrouped ? sides.some((side) => inner(side)) : sides.every((side) => inner(side));
    }
    default:
      return true;
  }
}

const namesOf = (labels: Node | null, textOf: (node: Node) => string): readonly string[] => [
  ...(labels?.getChildren("LabelName") ?? []).map(textOf),
  ...(labels?.getChildren("QuotedLabelName") ?? []).map((one) => textOf(one).slice(1, -1)),
];

const isOneValue = (node: Node): boolean => ONE_NUMBER.has(unwrapped(node).name);

function unwrapped(node: Node): Node {
  let one = node;
  while ((one.name === "ParenExpr" || one.name === "UnaryExpr") && one.lastChild !== null) one = one.lastChild;
  return one;
}
