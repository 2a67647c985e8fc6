/** The photos of light devices' cameras. With a pool of views each device has its own mix, drawn from its seed: one sees dark
 * photos, another blurred ones, a third mostly ships. So devices differ, and do not change, unless a demo changes what one
 * sees. The classes of a folder of JPEGs are unknown, and each device draws from all of them. */
import { existsSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { openPhotoFolder } from "@tributary/agent/compose";
import { Failure, type Random, seededRandom } from "@tributary/kernel";

type Photo = { readonly view: string; readonly label: string; readonly jpeg: () => Promise<Buffer> };
type Pooled = { readonly view: string; readonly label: string; readonly from: number; readonly bytes: number };

/** What a camera sees in place of the mix of its seed. */
export type Scene = {
  /** The only view. */
  readonly view?: string | undefined;
  /** Nearly all photos are of these classes. */
  readonly classes?: readonly string[] | undefined;
  /** Share of each class; without it they are equally frequent. */
  readonly mix?: Readonly<Record<string, number>> | undefined;
  /** Where it sees that; no photo depends on it. */
  readonly context?: Readonly<Record<string, string | number>> | undefined;
};

/** How much more often a device sees its favourite class. */
const FAVOURITE = 3;
/** The most that a device sees badly, as a share of its frames. */
const BAD_SHARE_MAX = 0.3;
const CLEAR = "clear";
/** Of a scene's classes. */
const SCENE_SHARE = 0.9;

export class PhotoPool {
  readonly #photos: ReadonlyMap<string, readonly Photo[]>;
  readonly close: () => Promise<void>;

  private constructor(photos: readonly Photo[], close: () => Promise<void>) {
    this.#photos = Map.groupBy(photos, ({ view, label }) => kindOf(view, label));
    this.close = close;
  }

  /** `dir`: pool.bin with pool.json, or a folder of photos. */
  static async open(dir: string): Promise<PhotoPool> {
    if (!existsSync(join(dir, "pool.json"))) return PhotoPool.#ofFolder(dir);
    const pooled = JSON.parse(await readFile(join(dir, "pool.json"), "utf8")) as Pooled[];
    if (pooled.length === 0) throw new Failure("photos-missing", "ask-a-person", `${dir}: no photo in pool.json`);
    const file = await open(join(dir, "pool.bin"), "r");
    const photos = pooled.map(({ view, label, from, bytes }): Photo => {
      const jpeg = async () => (await file.read(Buffer.allocUnsafe(bytes), 0, bytes, from)).buffer;
      return { view, label, jpeg };
    });
    return new PhotoPool(photos, () => file.close());
  }

  static #ofFolder(dir: string): PhotoPool {
    const folder = openPhotoFolder(dir);
    const photos = Array.from({ length: folder.count }, (_, photo): Photo => {
      const about = folder.about(photo);
      return { view: CLEAR, label: "label" in about ? about.label : "", jpeg: () => folder.jpeg(photo) };
    });
    return new PhotoPool(photos, async () => undefined);
  }

  /** An endless sequence of JPEGs as the device with this seed sees them; `scene` is asked for each. */
  camera(seed: number, scene: () => Scene = () => ({})): () => Promise<Buffer> {
    const random = seededRandom(seed);
    const [views, labels] = [this.#named("view"), this.#named("label")];
    const favourite = pick(labels, random);
    const bad = views.filter((view) => view !== CLEAR);
    const badly = pick(bad, random);
    const badShare = BAD_SHARE_MAX * random();
    const favouriteShare = (FAVOURITE - 1) / (labels.length + FAVOURITE - 1);
    return async () => {
      const { view = bad.length > 0 && random() < badShare ? badly : CLEAR, classes, mix } = scene();
      const [usual, share] = classes === undefined ? [[favourite], favouriteShare] : [classes, SCENE_SHARE];
      const label = mix === undefined ? pick(random() < share ? usual : labels, random) : drawn(mix, random);
      const photos = this.#photos.get(kindOf(view, label));
      if (photos === undefined) throw new Failure("photos-missing", "ask-a-person", `no photo of ${view} ${label}`);
      return pick(photos, random).jpeg();
    };
  }

  #named(part: "view" | "label"): readonly string[] {
    return [...new Set([...this.#photos.values()].flat().map((photo) => photo[part]))].sort();
  }
}

const kindOf = (view: string, label: string): string => `${view} ${label}`;
/** A class by its share; the last one where shares sum to less than 1. */
function drawn(mix: Readonly<Record<string, number>>, random: Random): string {
  const lot = random();
  let sum = 0;
  const labels = Object.keys(mix);
  const found = labels.find((label) => {
    sum += mix[label] as number;
    return lot < sum;
  });
  return found ?? (labels.at(-1) as string);
}
const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)] as T;
