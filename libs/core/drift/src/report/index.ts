export { faultWords } from "../words.ts";
export { reportOf } from "./report.ts";
export { adviceOf, causeWords, featureWords, lossSentence, percentOf, placeWords } from "./words.ts";
