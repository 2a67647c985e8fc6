type Row = {
  readonly part: string;
  readonly ended: "passed" | "failed" | "unchanged";
  readonly seconds?: number;
  readonly passed?: number;
  readonly failed?: number;
  readonly failures?: readonly string[];
};
type Graph = {
  readonly nodes: { readonly [name: string]: { readonly data: { readonly root: string } } };
  readonly dependencies: { readonly [name: string]: readonly { readonly target: string }[] };
};
export function resultOf(
  output: string,
  code: number | string,
  problems: readonly string[],
): Required<Pick<Row, "ended" | "passed" | "failed" | "failures">>;
export function affectedBy(changed: readonly string[], graph: Graph): ReadonlySet<string>;
