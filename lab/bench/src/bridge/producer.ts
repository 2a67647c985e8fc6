/** A process of `bench bridge`: the bridge's Kafka client fed from memory, with no MQTT in front of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { PlatformaticSink } from "@tributary/kafka";
import { deviceName, fail, Meter, pace, serveLoad } from "./meter.ts";
import { payloadOf } from "./payloads.ts";

const meter = new Meter();
let isEager = false;
let inFlight = 0;
let stopPacing = () => {};

serveLoad(
  meter,
  async ({ port, devices, window, rate, topic, ...order }) => {
    const sink = new PlatformaticSink({ brokers: [`127.0.0.1:${port}`], prefix: "", clientId: "bench-producer" });
    const records = Array.from({ length: devices }, (_, i) => {
      const name = deviceName(i);
      const value = payloadOf(order.payload, order.payloadBytes, name, 1n);
      return { topic, key: name, value, headers: { "content-type": "application/octet-stream", device: name } };
    });
    const send = (i: number) => {
      const sentAt = performance.now();
      const record = records[i % devices] as (typeof records)[number];
      inFlight++;
      sink.send([{ ...record, timestamp: Date.now() }]).then(
        () => {
          inFlight--;
          meter.acked(performance.now() - sentAt);
          if (isEager) send(i);
        },
        (error: unknown) => fail(String(error)),
      );
    };
    let turn = 0;
    isEager = rate === null;
    if (rate === null) for (let i = 0; i < devices * window; i++) send(i);
    else stopPacing = pace(rate, () => send(turn++));
    return order.payloadBytes;
  },
  async () => {
    isEager = false;
    stopPacing();
    while (inFlight > 0) await sleep(10);
  },
);
