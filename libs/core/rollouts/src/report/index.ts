export { experimentReportOf } from "./experiment-report.ts";
export { reportOf } from "./report.ts";
