/** First policies of packages that come from the model registry: policies.ts. */
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import type { FollowedPackages } from "@tributary/followed-packages";
import type { KafkajsSink, KafkaReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { Health } from "@tributary/service-kit";
import { MemoryKafka, repositoryRoot, silentTelemetry } from "@tributary/testing";
import { configSchema } from "./config.ts";
import { FirstPolicies } from "./policies.ts";

const folders = ["models/edge-resnet8", "models/edge-lite"].map((path) => join(repositoryRoot, path));
const cloud = join(repositoryRoot, "models/cloud-vgg");

type User = Parameters<FollowedPackages["follow"]>[0];

function start(packages: readonly string[]) {
  const kafka = new MemoryKafka();
  const users: User[] = [];
  const health = new Health();
  const followed = { follow: (user: User) => users.push(user) } as unknown as FollowedPackages;
  const policies = new FirstPolicies(
    configSchema.parse({ packages }),
    kafka as unknown as KafkaReader,
    kafka as unknown as KafkajsSink,
    systemClock,
    silentTelemetry(),
    health,
    followed,
  );
  const published = () => kafka.values(topics.policies).map(({ modelDigest }) => modelDigest);
  return { policies, users, health, published };
}

test("input waits for the packages of folders only; those of an alias are published when they come, each once", async () => {
  const [resnet = "", lite = ""] = folders;
  const [first, second] = await Promise.all(folders.map(async (folder) => (await loadPackage(folder)).digest));
  const { policies, users, health, published } = start([resnet, "edge@champion"]);
  await policies.onModuleInit();
  expect([health.problems(), published()]).toEqual([{}, [first]]);
  expect(users).toMatchObject([{ text: "edge@champion", isNeeded: false }]);
  for (const folder of [lite, resnet, lite]) await users[0]?.use(folder, "");
  expect(published()).toEqual([first, second]);
});

test("a package without a policy is refused by its code, and nothing is published", async () => {
  const { users, published } = start(["edge@champion"]);
  await expect(users[0]?.use(cloud, "")).rejects.toMatchObject({ code: "package-without-policy" });
  expect(published()).toEqual([]);
});
