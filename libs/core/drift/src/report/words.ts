/** A verdict in words, for pages and command lines: what its cause means, where it is, and what to do now. */
import type { DriftCause, DriftDevice, DriftLoss, DriftVerdict } from "@tributary/contracts";

/** The part of a verdict that its words need; the public API's verdicts have it too. */
export type WordedVerdict = Pick<
  DriftVerdict,
  "state" | "cause" | "fault" | "scopeKey" | "scopeValue" | "closedBecause" | "retrain"
> & { readonly loss: DriftLoss; readonly devices: readonly Pick<DriftDevice, "deviceId">[] };

export const causeWords: Readonly<Record<DriftCause, { readonly title: string; readonly meaning: string }>> = {
  UNKNOWN: { title: "Unknown cause", meaning: "A cause that this version does not know." },
  PREPROCESSING: {
    title: "Preprocessing fault",
    meaning:
      "Devices do not reproduce the golden frames of their model: its input is computed in another way than in training.",
  },
  CAMERA: { title: "Camera fault", meaning: "Cameras deliver other pictures than before." },
  WORLD: {
    title: "Changed scene",
    meaning: "Preprocessing is right and cameras are sound: what they see has changed.",
  },
  LABEL_SHIFT: {
    title: "Changed class mix",
    meaning: "The pictures of each class are as before; how often each class comes is not.",
  },
  CONCEPT: { title: "Model loses frames", meaning: "Inputs look as before, and yet the model is wrong more often." },
};

export const placeWords = ({ scopeKey, scopeValue }: Pick<DriftVerdict, "scopeKey" | "scopeValue">): string => {
  if (scopeKey === "fleet") return "the whole fleet";
  if (scopeKey.startsWith("label:")) return `${scopeKey.slice("label:".length)}=${scopeValue}`;
  if (scopeKey === "devices" && scopeValue === "") return "several devices";
  return `${scopeKey === "agentVersion" ? "agent" : scopeKey} ${scopeValue}`;
};

/** `bits_per_pixel` as people read it. */
export const featureWords = (feature: string): string =>
  feature.startsWith("label:") ? `share of ${feature.slice("label:".length)}` : feature.replaceAll("_", " ");

export const faultWords = (fault: string): string => fault.replaceAll(/[-_]/g, " ");

export const percent = (share: number): string =>
  Number.isFinite(share) ? `${Number((100 * share).toFixed(1))} %` : "unknown";

export function lossWords({ state, draws, errorRate, reference, tolerance }: DriftLoss): string {
  const limit = `${percent(reference)} on the validation set, and ${percent(tolerance)} more are tolerated`;
  const rate =
    errorRate === null ? "" : `${percent(errorRate)} of ${draws} labelled random draws are wrong; it was ${limit}`;
  switch (state) {
    case "LOST":
      return `Frames are lost: ${rate}.`;
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

/** What to do now, most important first; each a sentence or two. */
export function adviceOf(verdict: WordedVerdict): readonly string[] {
  if (verdict.state === "CLOSED")
    return [`Nothing: it is closed${verdict.closedBecause && `, because ${verdict.closedBecause}`}.`];
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
      return ["Update this program: it does not know the cause that the verdict names."];
    default:
      return verdict.cause satisfies never;
  }
}

/** What of preprocessor_config.json, and of the code that executes it, makes each fault of the codebook. */
const faultyKeys: Readonly<Record<string, string>> = {
  "channels-swapped": "channel_order: pixels arrive as BGR where RGB is expected, or the reverse",
  "not-rescaled": "do_rescale and rescale_factor: pixels stay 0 to 255",
  "rescaled-twice": "do_rescale and rescale_factor: pixels are divided by 255 twice",
  "mean-not-subtracted": "do_normalize and image_mean",
  "deviation-not-divided": "do_normalize and image_std",
  "other-mean": "image_mean and image_std: values of another model",
  "mean-and-deviation-exchanged": "image_mean and image_std: one is used for the other",
  "mean-of-reversed-channels": "image_mean, image_std and channel_order: the order of their channels",
  nearest: "resample: pictures are resized by nearest neighbour",
  "not-antialiased": "resample: pictures are made smaller without antialiasing",
  "centre-cropped": "do_resize and size: pictures are cropped, not resized",
  letterboxed: "do_resize and size: pictures are padded, not stretched",
  greyscale: "do_convert_rgb and channel_order: colours are dropped",
  "limited-range": "the JPEG decoder: it takes full-range YCbCr for limited range",
  "layout-mixed-up": "data_format: channels_first and channels_last",
  "linear-light": "the JPEG decoder: it removes the gamma of sRGB",
  "exif-ignored": "the JPEG decoder: it ignores the EXIF orientation",
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
