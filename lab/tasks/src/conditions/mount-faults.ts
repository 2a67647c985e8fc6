// One camera that no longer looks where it should.
import { between, type Fault, type Moment } from "./fault.ts";
import { randomOf, signed } from "./fields.ts";
import { type Picture, sideOf } from "./picture.ts";
import { motionBlurred, moved, type View, viewed } from "./resample.ts";

export const mountFaults: readonly Fault[] = [
  {
    name: "knocked",
    about: "something hit the camera: it is turned, tilted, and looks beside its place, from nearer or farther",
    cause: "camera",
    place: "camera",
    apply: (picture, at) => viewed(picture, knockedView(at), "mirror"),
  },
  {
    name: "upside-down",
    about: "the camera was mounted the wrong way up, or its setting flips the picture",
    cause: "camera",
    place: "camera",
    apply: (picture, at) => viewed(picture, [at.severity < 0.5 ? 1 : -1, 0, 0, 0, -1, 0, 0, 0, 1], "mirror"),
  },
  {
    name: "vibration",
    about: "the mount shakes while the shutter is open",
    cause: "camera",
    place: "camera",
    apply: shaken,
  },
];

function knockedView(at: Moment): View {
  const random = randomOf("knocked", at.camera);
  const sign = () => (random() < 0.5 ? -1 : 1) * (0.7 + 0.3 * random());
  const turn = sign() * between(0.09, 0.55, at);
  const zoom = Math.exp(sign() * between(0.05, 0.35, at));
  const away = between(0.05, 0.25, at);
  const [a, b, c, d, e, f] = moved(sign() * away, sign() * away, turn, zoom);
  const tilt = between(0.06, 0.45, at);
  return [a, b, c, d, e, f, sign() * tilt, sign() * tilt, 1];
}

function shaken(picture: Picture, at: Moment): Picture {
  const angle = randomOf("vibration", at.camera)() * Math.PI;
  const random = randomOf("vibration", at.camera, at.frame);
  const length = sideOf(picture) * between(0.045, 0.26, at) * (0.7 + 0.3 * random());
  const bent = angle + 0.3 * signed(random);
  const jitter = between(0.01, 0.04, at);
  const displacedBy = moved(jitter * signed(random), jitter * signed(random), 0, 1);
  return motionBlurred(viewed(picture, displacedBy, "mirror"), Math.cos(bent) * length, Math.sin(bent) * length);
}
