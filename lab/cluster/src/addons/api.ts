/** Kubernetes' API, as far as a node's addons and the demo read and write it. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { Failure } from "@tributary/kernel";

const ANSWER_MS_MAX = 10_000;

type Kubeconfig = {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly "certificate-authority-data": string } },
  ];
  readonly users: readonly [{ readonly user: { readonly token: string } }];
};

export class KubernetesApi {
  readonly #server: string;
  readonly #token: string;
  readonly #agent: Agent;

  /** `kubeconfig`: a file that this program's node wrote. */
  constructor(kubeconfig: string) {
    const { clusters, users } = JSON.parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
    const [{ cluster }] = clusters;
    this.#server = cluster.server;
    this.#token = users[0].user.token;
    this.#agent = new Agent({ keepAlive: true, ca: Buffer.from(cluster["certificate-authority-data"], "base64") });
  }

  /** The items of a list. */
  async list<T>(path: string): Promise<readonly T[]> {
    return ((await this.#send("GET", path)) as { readonly items?: readonly T[] }).items ?? [];
  }

  async create(path: string, object: object): Promise<void> {
    await this.#send("POST", path, object);
  }

  async merge(path: string, patch: object): Promise<void> {
    await this.#send("PATCH", path, patch, "application/merge-patch+json");
  }

  async remove(path: string): Promise<void> {
    await this.#send("DELETE", path);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(method: string, path: string, body?: object, type = "application/json"): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const headers = { authorization: `Bearer ${this.#token}`, accept: "application/json", "content-type": type };
    const sent = request(
      `${this.#server}${path}`,
      { method, headers, agent: this.#agent, timeout: ANSWER_MS_MAX },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => void parts.push(part));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(parts).toString("utf8");
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) return resolve(JSON.parse(text));
          const why = `${method} ${path}: ${status} ${text.slice(0, 500)}`;
          reject(new Failure("kubernetes-refused", status >= 500 ? "retry" : "give-up", why));
        });
      },
    );
    sent.on("timeout", () => sent.destroy(new Error(`${method} ${path}: no answer in ${ANSWER_MS_MAX} ms`)));
    sent.on("error", (error) => reject(new Failure("kubernetes-away", "retry", error.message)));
    sent.end(body && JSON.stringify(body));
    return promise;
  }
}
