#!/usr/bin/env node
import "@tributary/kernel/node-24";

await import("./start.ts");
