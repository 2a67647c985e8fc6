/** A verdict in words, for pages and command lines: what its cause means, where it is, and what to do now. */
import type { DriftCause, DriftDevice, DriftLoss, DriftVerdict, DriftVerdictReview } from "@tributary/contracts";
import { heldCause } from "../reviews/held-cause.ts";
import { faultWords } from "../words.ts";

/** The part of a verdict that its words need; the public API's verdicts have it too. */
type WordedVerdict = Pick<
  DriftVerdict,
  "state" | "cause" | "fault" | "scopeKey" | "scopeValue" | "closedBecause" | "retrain"
> & {
  readonly loss: DriftLoss;
  readonly devices: readonly Pick<DriftDevice, "deviceId">[];
  readonly review: WordedReview | null;
};

/** Times are milliseconds, or RFC 3339 as the public API has them. */
type WordedReview = Pick<DriftVerdictReview, "kind" | "by" | "cause" | "fault" | "note"> & {
  readonly until: number | string | null;
};

export const causeWords: Readonly<Record<DriftCause, { readonly title: string; readonly meaning: string }>> = {
  UNKNOWN: {
    title: "Unknown cause",
    meaning: "Pictures changed, and no cause explains it well: two explain it alike, or none does.",
  },
  PREPROCESSING: {
    title: "Preprocessing fault",
    meaning:
      "The model's input is computed in another way than in training: devices do not reproduce their golden frames, or all that share their software changed.",
  },
  CAMERA: { title: "Camera fault", meaning: "Cameras deliver other pictures than before." },
  WORLD: {
    title: "The world changed",
    meaning: "Preprocessing is right and cameras are sound: what they see has changed.",
  },
  LABEL_SHIFT: {
    title: "The mix of classes changed",
    meaning: "The pictures of each class are as before; how often each class comes is not.",
  },
  CONCEPT: { title: "The model is wrong", meaning: "Inputs look as before, and yet the model is wrong more often." },
};

/** What a person answered; empty: nothing. */
export function reviewWords(review: WordedReview | null | undefined): string {
  if (review == null) return "";
  const { kind, by, cause, fault, note, until } = review;
  const why = note === "" ? "" : `: ${note}`;
  switch (kind) {
    case "ACCEPT":
      return `accepted as the new normal by ${by}${why}`;
    case "CORRECT":
      return `cause corrected to ${cause}${fault === "" ? "" : ` (${faultWords(fault)})`} by ${by}${why}`;
    case "KNOWN":
      return `known to ${by} until ${dateWords(until)}${why}`;
    case "WITHDRAW":
      return `answer withdrawn by ${by}${why}`;
    case "UNKNOWN":
      return "answered in a way that this program does not know";
    default:
      return kind satisfies never;
  }
}

function dateWords(time: number | string | null): string {
  const at = new Date(time ?? Number.NaN);
  return Number.isNaN(at.getTime()) ? "an unknown date" : at.toISOString();
}

export const placeWords = ({ scopeKey, scopeValue }: Pick<DriftVerdict, "scopeKey" | "scopeValue">): string => {
  if (scopeKey === "fleet") return "the whole fleet";
  if (scopeKey.startsWith("label:")) return `${scopeKey.slice("label:".length)}=${scopeValue}`;
  if (scopeKey === "devices" && scopeValue === "") return "several devices";
  return `${scopeKey === "agentVersion" ? "agent" : scopeKey} ${scopeValue}`;
};

/** `bits_per_pixel` as people read it. */
export const featureWords = (feature: string): string =>
  feature.startsWith("label:") ? `share of ${feature.slice("label:".length)}` : feature.replaceAll("_", " ");

export const percentOf = (share: number): string =>
  Number.isFinite(share) ? `${Number((100 * share).toFixed(1))} %` : "unknown";

export function lossSentence({ state, draws, errorRate, reference, tolerance }: DriftLoss): string {
  const limit = `${percentOf(reference)} on the validation set for their classes, and ${percentOf(tolerance)} more are tolerated`;
  const rate =
    errorRate === null ? "" : `${percentOf(errorRate)} of ${draws} labelled random draws are wrong; it was ${limit}`;
  switch (state) {
    case "LOST":
      return rate === ""
        ? "Frames are lost; no random draw is labelled that says otherwise."
        : `Frames are lost: ${rate}.`;
    case "UNPROVEN":
      return `It is not proven that frames are lost: ${rate}.`;
    case "NO_DATA":
      return "Whether frames are lost is not known: no random draw of these devices has a label since then.";
    case "UNKNOWN":
      return "Whether frames are lost is not known.";
    default:
      return state satisfies never;
  }
}

/** What to do now, most important first; each a sentence or two. A person's answer holds. */
export function adviceOf(verdict: WordedVerdict): readonly string[] {
  const { state, closedBecause, review } = verdict;
  if (state === "CLOSED") return [`Nothing: it is closed${closedBecause && `, because ${closedBecause}`}.`];
  const advice = causeAdvice({ ...verdict, ...heldCause(verdict) });
  return review?.kind === "KNOWN" ? [`Nothing while it is ${reviewWords(review)}. After that:`, ...advice] : advice;
}

function causeAdvice(verdict: WordedVerdict): readonly string[] {
  switch (verdict.cause) {
    case "PREPROCESSING":
      return preprocessingAdvice(verdict);
    case "CAMERA":
      return [...cameraAdvice(verdict), "Do not retrain for this: the model would learn the fault."];
    case "WORLD":
      return retrainingAdvice(verdict, "Retrain with labelled frames of this place and time, then roll the model out.");
    case "LABEL_SHIFT":
      return retrainingAdvice(verdict, "Retrain with the classes in their new mix, then roll the model out.");
    case "CONCEPT":
      return [
        "Look at some of the wrong frames first: do their labels mean what they meant in training?",
        ...retrainingAdvice(verdict, "Retrain with labelled frames since the onset, then roll the model out."),
      ];
    case "UNKNOWN":
      return [
        "Look at pictures of these cameras, from before and from now: `drift explain` lists what was weighed.",
        "State what you find: `drift correct ID --cause ...`. Retrain only if it is no fault.",
      ];
    default:
      return verdict.cause satisfies never;
  }
}

/** What of preprocessor_config.json, and of the code that executes it, makes each fault of the codebook. */
const faultyKeys: Readonly<Record<string, string>> = {
  "channels-swapped": "channel_order: pixels arrive as BGR where RGB is expected, or the reverse",
  "not-rescaled": "do_rescale and rescale_factor: pixels stay 0 to 255",
  rescaled: "do_rescale: pixels are divided by 255, which this model does not expect",
  "rescaled-twice": "do_rescale and rescale_factor: pixels are divided by 255 twice",
  "mean-not-subtracted": "do_normalize and image_mean: the mean is not subtracted",
  "deviation-not-divided": "do_normalize and image_std: the deviation is not divided by",
  "not-normalised": "do_normalize: neither mean nor deviation is applied",
  "other-mean": "image_mean and image_std: they are another model's",
  "pixels-from-minus-1-to-1": "image_mean and image_std: pixels are scaled to -1 to 1 instead",
  "mean-and-deviation-exchanged": "image_mean and image_std: one is used for the other",
  "mean-of-reversed-channels": "image_mean and image_std: their channels are in reverse order",
  "layout-mixed-up": "data_format: channels_first and channels_last are mixed up",
  nearest: "resample: pictures are resized by nearest neighbour",
  "not-antialiased": "resample: pictures are made smaller without antialiasing",
  "other-kernel": "resample: pictures are resized by another kernel",
  "width-and-height-exchanged": "size: width and height are exchanged",
  "centre-cropped": "do_resize and size: pictures are cropped, not resized whole",
  "cropped-to-shape": "do_resize and size: pictures are cropped to the shape, not stretched",
  letterboxed: "do_resize and size: pictures are padded, not stretched",
  greyscale: "do_convert_rgb and channel_order: colours are dropped",
  "bytes-taken-as-signed": "the type of pixels: bytes are read as signed",
  "tensor-not-filled": "the code that fills the input tensor: it arrives empty",
  "chroma-exchanged": "the JPEG decoder: Cb and Cr are exchanged",
  "ycbcr-taken-as-rgb": "the JPEG decoder: YCbCr is not converted to RGB",
  "limited-range": "the JPEG decoder: it delivers limited range (16 to 235)",
  "range-expanded-twice": "the JPEG decoder: it takes full range for limited range",
  "linear-light": "the JPEG decoder: it removes the gamma of sRGB",
  "gamma-applied-twice": "the JPEG decoder: gamma is applied twice",
  "exif-orientation-applied": "the JPEG decoder: it applies the EXIF orientation, which training did not",
};

function preprocessingAdvice({ fault, scopeKey, scopeValue, devices }: WordedVerdict): readonly string[] {
  const keys =
    faultyKeys[fault] ?? (/flipped|rotated/.test(fault) ? "the picture's orientation in the capturing code" : null);
  const look =
    keys === null ? "Look at preprocessor_config.json and at the agent's decoding and resizing." : `Look at ${keys}.`;
  const places: Readonly<Record<string, string>> = {
    agentVersion: `All affected devices run agent ${scopeValue}: install the version before, or repair it.`,
    hardware: `All affected devices are ${scopeValue}: look at the decoder and the runtime of that hardware.`,
    model: `All affected devices run ${scopeValue}: its package preprocesses otherwise than its trainer did. Roll it back.`,
  };
  const [first] = devices;
  const check = first === undefined ? "ID" : first.deviceId;
  return [
    look,
    ...(places[scopeKey] === undefined ? [] : [places[scopeKey]]),
    `Repair one device, then see whether it is right: tributary devices check ${check} --wait`,
    "Do not retrain for this: the model is right, its input is not.",
  ];
}

const cameraRepairs: Readonly<Record<string, string>> = {
  dark: "Is the lens covered, or the exposure fixed?",
  glare: "Does a lamp or the sun shine into the lens?",
  haze: "Is the lens dirty or fogged?",
  "out-of-focus": "Has the focus moved?",
  "sensor-noise": "Is the gain too high, or the sensor failing?",
  "hard-compression": "Was the JPEG quality of the camera or its encoder lowered?",
  "channels-swapped": "Does the camera's driver deliver BGR where RGB is expected? A new firmware may.",
  greyscale: "Is it in night mode, or its infrared filter stuck?",
  "low-resolution": "Was its resolution lowered, or is a substream used?",
  "colour-cast": "Is its white balance fixed or failing?",
  "upside-down": "Is it mounted upside down, or its flip setting changed?",
};

function cameraAdvice(verdict: WordedVerdict): readonly string[] {
  const { scopeKey, fault, devices } = verdict;
  const names = devices.slice(0, 3).map(({ deviceId }) => deviceId);
  const more = devices.length > names.length ? ", …" : "";
  const who = scopeKey === "camera" ? placeWords(verdict) : `the cameras of ${names.join(", ")}${more}`;
  const isShared = !["camera", "device", "devices", "fleet"].includes(scopeKey);
  const shared = isShared ? [`They have ${placeWords(verdict)} in common: look there first.`] : [];
  return [`Look at ${who}. ${cameraRepairs[fault] ?? "What changed there at that time?"}`, ...shared];
}

function retrainingAdvice({ retrain, loss }: WordedVerdict, how: string): readonly string[] {
  if (retrain) return [how];
  if (loss.state === "UNPROVEN") {
    return ["Do not retrain: that frames are lost is not proven. More labels decide it: tributary labels next"];
  }
  return ["Do not retrain yet: label random draws to learn whether frames are lost: tributary labels next"];
}
