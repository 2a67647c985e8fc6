export { reportOf } from "./report.ts";
