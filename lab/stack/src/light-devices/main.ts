import "@tributary/kernel/node-24";

await import("./start.ts");
