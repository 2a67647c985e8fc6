/** The guide for K3s on a real node, word for word: from images to a canary that is promoted, on devices outside of the node. Docker and K3s
 * are stood in for by what they do: images are built without Docker, and imported by the node's own containerd. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "@jest/globals";
import { endNode, enter, type Node, startNode } from "@tributary/cluster";
import { repositoryRoot, tempDir } from "@tributary/testing";
import { node20 } from "../../../tools/peers.mjs";
import { copyClone, type GuideSession, openSession, requireFreePorts } from "./guide-session.ts";

const GUIDE = "docs/guides/deploy-to-k3s.md";
const MS_MAX = 60 * 60_000;
const dir = tempDir("deploy-guide");
const clone = join(dir.path, "tributary");
const cluster = join(dir.path, "cluster");
let session: GuideSession;

beforeAll(async () => {
  await requireFreePorts();
  copyClone(clone);
  const node = await startNode(cluster, (line) => void process.stderr.write(`${line}\n`), new AbortController().signal);
  session = openSession({
    clone,
    dir: mkdtempSync(join(dir.path, "session-")),
    node: node20(),
    cluster: { kubeconfig: node.layout.kubeconfig, programs: [standIns(node), node.layout.bin] },
  });
}, MS_MAX);
test(`${GUIDE} holds, up to a promoted canary`, () => session.run(GUIDE), MS_MAX);
afterAll(async () => {
  await session?.end().finally(() => endNode(cluster));
  dir.remove();
}, MS_MAX);

/** Programs by the names and with the arguments that the guide uses. */
function standIns(node: Node): string {
  const bin = join(dir.path, "bin");
  mkdirSync(bin);
  const images = `"${process.execPath}" "${join(repositoryRoot, "tools/images/images.mjs")}"`;
  const programs = {
    sudo: 'exec "$@"',
    docker: `case $1 in
build) exec ${images} "$3" ;;
save) ${images} --save "$HOME/images.tar" >&2 && exec cat "$HOME/images.tar" ;;
esac
exit 2`,
    k3s: `shift
exec ${enter(node).join(" ")} ctr --namespace k8s.io "$@"`,
  };
  for (const [name, text] of Object.entries(programs))
    writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
  return bin;
}
