export { poisoned } from "./poison.ts";
