/** A world model on its way into slot `world`: read, on trial by the truths that come, committed. It has no process and takes no time. */
import { type Digest, Failure } from "@tributary/kernel";
import { loadWorld, type WorldPackage } from "@tributary/model-store";
import type { Trial } from "../updates/updater.ts";
import type { World } from "./world.ts";

export type WorldTrialPorts = {
  readonly world: World;
  readonly dirOf: (digest: Digest) => string;
  /** Of the model that answers frames. */
  readonly labels: () => readonly string[];
};

export class WorldTrial implements Trial<WorldPackage> {
  readonly #ports: WorldTrialPorts;

  constructor(ports: WorldTrialPorts) {
    this.#ports = ports;
  }

  async prove({ digest }: { readonly digest: Digest }): Promise<WorldPackage> {
    const pkg = await loadWorld(this.#ports.dirOf(digest), { digest });
    mustHaveLabels(pkg, this.#ports.labels());
    return pkg;
  }

  isGone(): boolean {
    return false;
  }

  async shadow(): Promise<void> {
    // Its probation is by truths, and the mixture keeps harm away: there is nothing to see before.
  }

  switchTo(pkg: WorldPackage): void {
    this.#ports.world.switchTo(pkg);
  }

  restore(): void {
    this.#ports.world.restore();
  }

  keep(): void {
    // It has no process that could be lost.
  }

  commit(): void {
    this.#ports.world.commit();
  }

  async drop(): Promise<void> {
    // The same.
  }
}

export function mustHaveLabels({ manifest, table }: WorldPackage, labels: readonly string[]): void {
  const isSame = table.labels.length === labels.length && table.labels.every((label, i) => label === labels[i]);
  if (isSame) return;
  const of = (some: readonly string[]) => `${some.length}: ${some.slice(0, 5).join(", ")}`;
  const what = `${manifest.name} is of ${of(table.labels)} ...; the model has ${of(labels)} ...`;
  throw new Failure("world-labels-differ", "give-up", what);
}
