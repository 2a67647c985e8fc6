import { defineEvent } from "../events.ts";

export const httpRefused = defineEvent<{
  code: string;
  status: number;
  method: string;
  path: string;
  peer: string;
  detail: string;
}>({
  name: "http_refused",
  level: "info",
  message: (e) => `${e.peer}: ${e.method} ${e.path}: ${e.status} ${e.code}: ${e.detail}`,
  counter: { name: "tributary_http_refused_total", help: "Requests refused", labels: ["code"] },
});

export const httpFailed = defineEvent<{ method: string; path: string; reason: string }>({
  name: "http_failed",
  level: "error",
  message: (e) => `${e.method} ${e.path}: ${e.reason}`,
  counter: { name: "tributary_http_failed_total", help: "Requests that failed unexpectedly" },
});
