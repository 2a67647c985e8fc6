/**
 * What one message costs others, by a model: a message of some kilobytes may become a thousand records, and hold the parser for
 * as long as a hundred messages do.
 *
 * The weights are upper estimates from measurements, so that a decision depends on the message alone, and not on the load of the
 * moment. A refused message costs its parsing and its own bytes; its dead letter has limits of its own. */
import type { UplinkStream } from "@tributary/contracts";
import type { Uplink, Verdict } from "./uplink.ts";

/** What devices share, beside messages and their bytes. */
export type Cost = {
  /** What services handle one by one: the message itself, and each prediction of a batch. */
  readonly records: number;
  /** Its record, and what the router will write because of it. */
  readonly kafkaBytes: number;
  /** Processor time of the bridge. */
  readonly parsingMs: number;
};

export type Dimension = keyof Cost;

/** The names of the dimensions in metrics and in devices.throttled.v1. */
export const dimensionNames: { readonly [dimension in Dimension]: string } = {
  records: "records",
  kafkaBytes: "kafka-bytes",
  parsingMs: "parsing",
};

/** Headers, key and Kafka's own overhead of a record. */
const RECORD_BYTES = 512;
/** A prediction's answer, and the state of its open frame. */
const SETTLED_BYTES = 640;

type ParsingUs = { readonly message: number; readonly item: number; readonly byte: number };
const AVRO_US: ParsingUs = { message: 50, item: 1, byte: 0.003 };
/** Most bytes of a JSON message that is stored are base64, which is fast; of a refused one they may be anything. */
const JSON_US: ParsingUs = { message: 150, item: 20, byte: 0.01 };
const JSON_REFUSED_US: ParsingUs = { message: 150, item: 0, byte: 0.05 };

export function costOf(uplink: Uplink, verdict: Verdict): Cost {
  const bytes = uplink.payload.length;
  switch (verdict.kind) {
    case "store": {
      const { stream, items, value } = verdict;
      const us = isJson(uplink) ? JSON_US : AVRO_US;
      return { ...becomes(stream, items, value.length), parsingMs: msOf(us, items, bytes) };
    }
    case "route": {
      const us = verdict.route.config.format === "json" ? JSON_REFUSED_US : AVRO_US;
      return { records: 1, kafkaBytes: bytes + RECORD_BYTES, parsingMs: msOf(us, 0, bytes) };
    }
    case "refuse": {
      const us = isJson(uplink) ? JSON_REFUSED_US : AVRO_US;
      return { records: 1, kafkaBytes: bytes + RECORD_BYTES, parsingMs: msOf(us, 0, bytes) };
    }
    case "availability":
      return { records: 1, kafkaBytes: 0, parsingMs: msOf(AVRO_US, 0, bytes) };
  }
}

function becomes(stream: UplinkStream, items: number, bytes: number): Omit<Cost, "parsingMs"> {
  const record = bytes + RECORD_BYTES;
  switch (stream) {
    case "predictions":
      return { records: 1 + items, kafkaBytes: record + items * SETTLED_BYTES };
    case "frames": // If the cloud is asked, the request repeats the image.
      return { records: 1, kafkaBytes: 2 * record + SETTLED_BYTES };
    case "metrics":
    case "sketches":
    case "reported":
      return { records: 1, kafkaBytes: record };
  }
}

const isJson = ({ topic }: Uplink): boolean => topic.endsWith("/json");

const msOf = (us: ParsingUs, items: number, bytes: number): number =>
  (us.message + items * us.item + bytes * us.byte) / 1_000;
