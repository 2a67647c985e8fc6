/** Reads attributes of nodes, with ONNX's defaults as arguments, and numbers of tensors. */
import type { GraphNode, Tensor } from "./graph.ts";

export function wholeOf({ attributes }: GraphNode, name: string, otherwise: number): number {
  const value = attributes[name];
  return typeof value === "number" ? value : otherwise;
}

export function wholesOf({ attributes }: GraphNode, name: string): readonly number[] | null {
  const value = attributes[name];
  return Array.isArray(value) ? value : null;
}

export function floatOf({ attributes }: GraphNode, name: string, otherwise: number): number {
  const value = attributes[name];
  return typeof value === "object" && "float" in value ? value.float : otherwise;
}

export function textOf({ attributes }: GraphNode, name: string, otherwise: string): string {
  const value = attributes[name];
  return typeof value === "string" ? value : otherwise;
}

export const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/** Numbers of a tensor of whatever type. */
export const numbersOf = ({ data }: Tensor): number[] => Array.from(data as ArrayLike<number | bigint>, Number);
