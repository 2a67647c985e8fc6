/** What every service answers to probes and scrapers. */
import { z } from "zod";
import { bytes, json, route } from "./route.ts";

export const health = {
  live: route({
    method: "GET",
    path: "/health/live",
    summary: "Whether the process is up.",
    response: json("It is.", z.object({ status: z.literal("live") })),
    problems: [],
  }),
  ready: route({
    method: "GET",
    path: "/health/ready",
    summary: "Whether it can serve; with 503, what is missing.",
    response: json(
      "It can.",
      z.object({ status: z.enum(["ready", "not-ready"]), problems: z.record(z.string(), z.string()) }),
    ),
    problems: [],
  }),
};

export const metrics = route({
  method: "GET",
  path: "/metrics",
  summary: "Metrics, for Prometheus.",
  response: bytes("text/plain"),
  problems: [],
});
