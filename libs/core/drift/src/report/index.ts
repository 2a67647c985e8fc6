export { reportOf } from "./report.ts";
export { adviceOf, causeWords, faultWords, featureWords, lossWords, percent, placeWords } from "./words.ts";
