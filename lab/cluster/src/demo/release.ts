/** The chart's release in the cluster: installed as its notes say, upgraded, rolled back. */
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";
import { ensureTrust } from "@tributary/stack";
import { repositoryRoot, startProgram } from "@tributary/testing";
import { environmentOf, type Node } from "../node/node.ts";
import { NAMESPACE } from "../settings.ts";

const CHART = join(repositoryRoot, "deploy/helm/tributary");
const RELEASE = "tributary";
const READY = "10m";

export class Release {
  readonly token: string = randomBytes(24).toString("hex");
  readonly #env: NodeJS.ProcessEnv;
  readonly #helm: string;
  readonly #dir: string;

  constructor(node: Node, helm: string, dir: string) {
    this.#env = environmentOf(node);
    this.#helm = helm;
    this.#dir = dir;
  }

  /** Resolves when every pod is ready. */
  async install(): Promise<void> {
    await this.kubectl("create", "namespace", NAMESPACE);
    await this.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted");
    await this.#secret(`${RELEASE}-gateway`, `--from-literal=token=${this.token}`);
    const root = await ensureTrust(join(this.#dir, "registry"), join(this.#dir, "root-keys"));
    const online = join(this.#dir, "registry/keys/online");
    const files = readdirSync(online).map((name) => join(online, name));
    await this.#secret(`${RELEASE}-model-registry-keys`, ...[...files, root].map((file) => `--from-file=${file}`));
    await this.#run(this.#helm, "install", ...this.#chart(), "--wait", "--timeout", READY);
  }

  /** Resolves when it is applied. */
  async upgrade(...settings: readonly string[]): Promise<void> {
    await this.#run(this.#helm, "upgrade", ...this.#chart(), ...settings.flatMap((setting) => ["--set-json", setting]));
  }

  async rollback(): Promise<void> {
    await this.#run(this.#helm, "rollback", RELEASE, "--namespace", NAMESPACE);
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.#run("kubectl", ...args);
  }

  #chart(): readonly string[] {
    return [RELEASE, CHART, "--namespace", NAMESPACE, "--values", join(CHART, "values-k3s.yaml")];
  }

  async #secret(name: string, ...from: readonly string[]): Promise<void> {
    await this.kubectl("--namespace", NAMESPACE, "create", "secret", "generic", name, ...from);
  }

  async #run(program: string, ...args: readonly string[]): Promise<string> {
    const { code, out, err } = await startProgram(program, args, { env: this.#env }).ended;
    if (code === 0) return out;
    throw new Failure(
      "release-failed",
      "ask-a-person",
      `${program} ${args.slice(0, 3).join(" ")}: ${err.trim() || out.trim()}`,
    );
  }
}
