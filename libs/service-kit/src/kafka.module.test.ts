import "reflect-metadata";
import { expect, test } from "@jest/globals";
import { Injectable, Module, type OnApplicationShutdown } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { KafkajsSink, KafkaReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { Door } from "@tributary/telemetry/http";
import { silentTelemetry } from "@tributary/testing";
import { ClockWatch } from "./clock-watch.ts";
import { Health } from "./health.ts";
import { KafkaModule } from "./kafka.module.ts";
import { serviceModule } from "./service.module.ts";

const stopped: string[] = [];

@Injectable()
class Table implements OnApplicationShutdown {
  constructor(_reader: KafkaReader) {}

  async onApplicationShutdown(): Promise<void> {
    await systemClock.sleep(20);
    stopped.push("table");
  }
}

@Injectable()
class Worker implements OnApplicationShutdown {
  constructor(_table: Table, _sink: KafkajsSink) {}

  async onApplicationShutdown(): Promise<void> {
    await systemClock.sleep(20);
    stopped.push("worker");
  }
}

@Module({ imports: [KafkaModule], providers: [Table, Worker] })
class FeatureModule {}

@Module({ imports: [FeatureModule, KafkaModule], providers: [] })
class TestModule {}

test("Kafka's clients close after every provider that uses them, and users stop before their dependencies (K1)", async () => {
  const telemetry = silentTelemetry();
  const kafkaClock = { read: async () => undefined, close: async () => {} };
  const service = serviceModule({
    config: { http: { host: "127.0.0.1", port: 0 } } as never,
    telemetry,
    clock: systemClock,
    health: new Health(),
    crash: () => {},
    ports: {},
    door: new Door({ address: { host: "127.0.0.1", hosts: [], origins: [] }, telemetry, clock: systemClock }),
    clockWatch: new ClockWatch({ kafkaClock, clock: systemClock, telemetry, offsetMsMax: 1_000 }),
    kafka: {
      brokers: ["127.0.0.1:1"],
      prefix: "",
      clientId: "test",
      telemetry,
      clock: systemClock,
      schemaIds: undefined,
    },
  });
  const root = { module: TestModule, imports: [service] };
  const app = await NestFactory.createApplicationContext(root, { logger: false, abortOnError: false });
  const note = (client: { close(): Promise<void> }, name: string) => {
    client.close = async () => void stopped.push(name);
  };
  note(app.get(KafkaReader), "reader");
  note(app.get(KafkajsSink), "sink");
  await app.close();
  expect(stopped).toEqual(["worker", "table", "reader", "sink"]);
});
