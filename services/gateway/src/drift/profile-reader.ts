/** Reads a day's sketches out of Kafka and merges them: one request at a time, bounded in records and time (G9). */
import { Inject, Injectable } from "@nestjs/common";
import type { DriftProfileQuery, DriftProfiles } from "@tributary/api";
import { topics } from "@tributary/contracts";
import { KafkaReader } from "@tributary/kafka";
import { ModelTable } from "@tributary/models";
import { CONFIG, Problem } from "@tributary/service-kit";
import type { GatewayConfig } from "../config.ts";
import { DeviceTable } from "../devices/device-table.ts";
import { decoded } from "../frames/search.ts";
import { groupOf, ProfileFold } from "./profiles.ts";

const DAY_MS = 86_400_000;

@Injectable()
export class ProfileReader {
  readonly #limits: GatewayConfig["drift"];
  #isBusy = false;

  constructor(
    private readonly reader: KafkaReader,
    private readonly devices: DeviceTable,
    private readonly models: ModelTable,
    @Inject(CONFIG) { drift }: GatewayConfig,
  ) {
    this.#limits = drift;
  }

  /** @throws Problem */
  async profiles(query: DriftProfileQuery): Promise<DriftProfiles> {
    if (this.#isBusy) {
      const headers = { "Retry-After": "5" };
      throw new Problem(503, "profiles-busy", "retry", "An export is running. Try again later.", { headers });
    }
    this.#isBusy = true;
    try {
      const fold = await this.#fold(query);
      const items = fold.profiles().map((profile) => {
        const model = this.models.byDigest(profile.modelDigest);
        return { ...query, ...profile, modelName: model?.name ?? null, modelVersion: model?.version ?? null };
      });
      return { items, ...fold.counts };
    } finally {
      this.#isBusy = false;
    }
  }

  async #fold({ day, by }: DriftProfileQuery): Promise<ProfileFold> {
    const { reader, devices } = this;
    const { profilesMax, exportRecordsMax, exportMsMax } = this.#limits;
    const { name } = topics.sketches;
    const from = Date.parse(`${day}T00:00:00Z`);
    const [begins, ends] = [await reader.offsetsAt(name, from), await reader.offsetsAt(name, from + DAY_MS)];
    const spans = [...begins].map(([partition, begin]) => ({
      partition,
      from: begin,
      until: ends.get(partition) ?? begin,
    }));
    const records = spans.reduce((sum, span) => sum + Number(span.until - span.from), 0);
    if (records > exportRecordsMax) throw bounded(`${day} has ${records} sketches, more than drift.exportRecordsMax`);
    const signal = AbortSignal.timeout(exportMsMax);
    const fold = new ProfileFold(profilesMax);
    for (const { partition, ...span } of spans) {
      for await (const record of reader.read(name, partition, { ...span, signal })) {
        const sketches = decoded(topics.sketches, record);
        if (sketches === undefined) {
          fold.counts.malformed += 1;
          continue;
        }
        const { deviceId } = sketches;
        const attributes = { registration: devices.registration(deviceId), reported: devices.heard(deviceId)?.value };
        fold.add(sketches, groupOf(by, sketches, attributes));
      }
      if (signal.aborted) throw bounded(`Reading ${day} takes longer than drift.exportMsMax`);
    }
    return fold;
  }
}

const bounded = (what: string): Problem =>
  new Problem(503, "profiles-bounded", "ask-a-person", `${what} in this gateway's file allows: raise it.`);
