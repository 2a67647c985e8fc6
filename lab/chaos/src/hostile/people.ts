/**
 * People, through the gateway's API: they label frames of the benign devices, and are given a queue of frames that are worth a label.
 *
 * Nobody labels a frame at once: half of the labels are of the oldest frames that have none, half of the newest.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type GatewayClient, gatewayClient } from "@tributary/api";
import { reasonOf } from "@tributary/kernel";
import { type Check, check, type Findings } from "../scenario.ts";
import type { Answered, BenignDevice } from "./benign-device.ts";

const QUEUE = 200;
const TRIES_MAX = 4;
const AGAIN_MS = 2_000;

export class People {
  readonly #gateway: GatewayClient;
  readonly #benign: readonly BenignDevice[];
  readonly #labelled = new Set<string>();
  #sent = 0;
  #accepted = 0;
  #refused = new Map<string, number>();

  constructor(gatewayUrl: string, benign: readonly BenignDevice[]) {
    this.#gateway = gatewayClient({ url: gatewayUrl });
    this.#benign = benign;
  }

  /** The frames that wait for a label, of the benign devices together: those with another label than the cloud's. */
  get disagreements(): number {
    const open = ({ frameId, isDisagreed }: Answered) => isDisagreed && !this.#labelled.has(frameId);
    return this.#benign.reduce((sum, { answered }) => sum + answered.filter(open).length, 0);
  }

  /** Counts from here on; a frame that has its label is not labelled again. */
  reset(): void {
    this.#sent = 0;
    this.#accepted = 0;
    this.#refused = new Map();
  }

  /** Two frames of each device. */
  async label(): Promise<void> {
    const frameIds = this.#benign.flatMap(({ answered }) => {
      const open = answered.filter(({ frameId }) => !this.#labelled.has(frameId));
      return [...new Set([open[0], open.at(-1)])].flatMap((frame) => frame?.frameId ?? []);
    });
    if (frameIds.length === 0) return;
    for (const frameId of frameIds) this.#labelled.add(frameId);
    this.#sent += frameIds.length;
    let open: readonly string[] = frameIds;
    for (let tries = 1; open.length > 0; tries++) open = await this.#send(open, tries === TRIES_MAX);
  }

  /** Returns those to send again: the gateway says of a search that it continues where it stopped. */
  async #send(frameIds: readonly string[], isLast: boolean): Promise<readonly string[]> {
    const labels = frameIds.map((frameId) => ({ frameId, label: "cat", labelledBy: "chaos" }));
    try {
      const { accepted, repeated, refused } = await this.#gateway.labels.take({ body: { labels } });
      this.#accepted += accepted + repeated;
      const again = isLast ? [] : refused.filter(({ code }) => code === "frame-search-bounded");
      for (const one of refused) if (!again.includes(one)) this.#count(one.code, 1);
      if (again.length > 0) await sleep(AGAIN_MS);
      return again.map(({ frameId }) => frameId);
    } catch (error) {
      if (isLast) this.#count(reasonOf(error), frameIds.length);
      else await sleep(AGAIN_MS);
      return isLast ? [] : frameIds;
    }
  }

  /** The places that each device has in the queue. */
  async queue(): Promise<ReadonlyMap<string, number>> {
    const { items } = await this.#gateway.labels.next({ limit: QUEUE });
    const places = Map.groupBy(items, ({ answer }) => answer.deviceId);
    return new Map([...places].map(([deviceId, own]) => [deviceId, own.length]));
  }

  get checks(): readonly Check[] {
    const why = [...this.#refused].map(([code, count]) => `${count} ${code}`).join(", ");
    const found = `${this.#accepted} of ${this.#sent}${why === "" ? "" : `: ${why}`}`;
    return [check("labels of the others' frames are accepted", this.#accepted === this.#sent, found)];
  }

  #count(code: string, count: number): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + count);
  }
}

type Watched = Pick<People, "disagreements" | "queue">;
type Waiting = readonly Pick<BenignDevice, "deviceId">[];

/** How many places of people's queue others have, beside a device that wants all of them. */
export class QueueWatch {
  readonly #people: Watched;
  readonly #benign: Waiting;
  #worst: { readonly others: number; readonly fair: number; readonly rogue: number } | undefined;

  constructor(people: Watched, benign: Waiting) {
    this.#people = people;
    this.#benign = benign;
  }

  async look(rogue: string): Promise<void> {
    const waiting = this.#people.disagreements; // before the queue is asked for, so that none is too new for it
    const places = await this.#people.queue();
    const others = this.#benign.reduce((sum, { deviceId }) => sum + (places.get(deviceId) ?? 0), 0);
    const fair = Math.min(waiting, QUEUE - Math.ceil(QUEUE / (this.#benign.length + 1)));
    const seen = { others, fair, rogue: places.get(rogue) ?? 0 };
    if (this.#worst === undefined || others - fair < this.#worst.others - this.#worst.fair) this.#worst = seen;
  }

  get checks(): readonly Check[] {
    const { others, fair, rogue } = this.#worst ?? { others: 0, fair: 0, rogue: 0 };
    const found = `${others} places, ${rogue} of the hostile device; ${fair} in an equal fleet`;
    return [
      check("the others have their places in people's queue", this.#worst !== undefined && others >= fair, found),
    ];
  }

  get figures(): Findings["figures"] {
    return { "rogue: places in people's queue of 200, at most seen": this.#worst?.rogue ?? null };
  }
}
