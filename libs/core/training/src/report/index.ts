export type { PicturedFrame } from "./contact-sheet.ts";
export { trainingEvidenceOf } from "./evidence.ts";
export { type CandidateGate, type ReportInput, reportOf } from "./report.ts";
