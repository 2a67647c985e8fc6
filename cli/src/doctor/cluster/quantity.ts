/** Kubernetes' quantities: `250m`, `0.5`, `256Mi`, `1G`, `1e3`. */
const SUFFIXES: Readonly<Record<string, number>> = {
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** 0 for what is missing or no quantity. */
export function quantity(text: string | undefined): number {
  const [, number, suffix = ""] = /^([0-9.]+(?:e[0-9]+)?)([a-zA-Z]*)$/.exec(text ?? "") ?? [];
  return number === undefined ? 0 : Number(number) * (SUFFIXES[suffix] ?? 0);
}

export const cores = (value: number): string => `${Number(value.toFixed(2))} CPU`;
export const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
