/** What ships: the images build, and the manifests and docker-compose.yml run on them, with devices outside that lose no frame. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { exitFlags } from "@tributary/kernel";
import { repositoryRoot, startProgram, tempDir } from "@tributary/testing";

const MAIN = join(repositoryRoot, "lab/containers/dist/main.js");
const MS_MAX = 900_000;
const MB = 1e6;
/** What an image may have at most, in MB: devices fetch the agent's, some of them over a mobile network. */
const sizeMax = (target: string) => (target === "agent" ? 200 : 260);

type Result = {
  readonly images: readonly { readonly target: string; readonly bytes: number }[];
  readonly frames: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly cloudAnswers: number;
  readonly problems: readonly string[];
};

const dir = tempDir("containers");
afterAll(() => dir.remove());

async function contained(...args: readonly string[]): Promise<Result> {
  const file = join(dir.path, `${args[0]}.json`);
  const { code, out, err } = await startProgram(process.execPath, [...exitFlags, MAIN, ...args, "--json", file], {
    msMax: MS_MAX,
    env: process.env, // npm's and apt's settings may be in it
  }).ended;
  process.stderr.write(out);
  if (code !== 0) throw new Error(`containers ${args.join(" ")} ended with ${code}\n${out}\n${err.slice(-4_000)}`);
  return JSON.parse(readFileSync(file, "utf8"));
}

test(
  "the rendered manifests run on the images of this commit",
  async () => {
    const { images, ...outcome } = await contained("k3s", "--devices", "4", "--frames", "400");
    expect(outcome).toMatchObject({ frames: 400, lost: 0, duplicates: 0, problems: [] });
    expect(outcome.cloudAnswers).toBeGreaterThan(0);
    expect(images.filter(({ target, bytes }) => bytes > sizeMax(target) * MB)).toEqual([]);
  },
  MS_MAX,
);

test(
  "docker-compose.yml runs on them as well",
  async () => {
    const outcome = await contained("compose", "--no-build", "--frames", "200");
    expect(outcome).toMatchObject({ frames: 200, lost: 0, duplicates: 0, problems: [] });
  },
  MS_MAX,
);
