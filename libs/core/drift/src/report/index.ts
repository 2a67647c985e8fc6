export { heldCause } from "../reviews/held-cause.ts";
export { faultWords } from "../words.ts";
export { reportOf } from "./report.ts";
export { adviceOf, causeWords, featureWords, lossSentence, percentOf, placeWords, reviewWords } from "./words.ts";
