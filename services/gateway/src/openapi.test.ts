import "reflect-metadata";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type INestApplication, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { configSchema } from "./config.ts";
import { serveOpenApi } from "./openapi.ts";

@Module({})
class EmptyModule {}

let app: INestApplication;
let url: string;
beforeAll(async () => {
  app = await NestFactory.create(EmptyModule, { logger: false });
  serveOpenApi(app, configSchema.parse({ kafka: { brokers: ["127.0.0.1:1"] }, http: { port: 0 } }));
  const server = await app.listen(0, "127.0.0.1");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/docs`;
});
afterAll(() => app.close());

test("the page of the API, and its files, run no text of a page and reach no other server", async () => {
  const page = await fetch(url);
  const html = await page.text();
  const scripts = [...html.matchAll(/<script([^>]*)>([^<]*)<\/script>/g)];
  expect(scripts.length).toBeGreaterThan(1);
  for (const [, attributes = "", text = ""] of scripts) {
    expect([attributes, text.trim()]).toEqual([expect.stringMatching(/src="\.\/docs\//), ""]);
  }
  for (const answer of [page, await fetch(`${url}/swagger-ui-init.js`)]) {
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect([answer.status, policy.split("; ").slice(0, 2)]).toEqual([200, ["default-src 'none'", "script-src 'self'"]]);
    expect(policy).toContain("connect-src 'self'");
  }
});
