/** What the cameras of light devices see: photos of a common pool. Each device has its own mix, drawn from its seed: one
 * stands in the dark, another has dust on its lens, a third sees mostly ships. So devices differ, and stay as they are. */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure, type Random, seededRandom } from "@tributary/kernel";

type Photo = { readonly view: string; readonly label: string; readonly from: number; readonly bytes: number };

/** How much more often a device sees its favourite class. */
const FAVOURITE = 3;
/** The most that a device sees badly, as a share of its frames. */
const BAD_SHARE_MAX = 0.3;
const CLEAR = "clear";

export class PhotoPool {
  readonly #file: Awaited<ReturnType<typeof open>>;
  readonly #photos: ReadonlyMap<string, readonly Photo[]>;

  private constructor(file: Awaited<ReturnType<typeof open>>, photos: ReadonlyMap<string, readonly Photo[]>) {
    this.#file = file;
    this.#photos = photos;
  }

  static async open(dir: string): Promise<PhotoPool> {
    const photos = JSON.parse(await readFile(join(dir, "pool.json"), "utf8")) as Photo[];
    const byKind = Map.groupBy(photos, ({ view, label }) => kindOf(view, label));
    if (byKind.size === 0) throw new Failure("photos-missing", "ask-a-person", `${dir}: no photo in pool.json`);
    return new PhotoPool(await open(join(dir, "pool.bin"), "r"), byKind);
  }

  /** An endless sequence of JPEGs as the device with this seed sees them. */
  camera(seed: number): () => Promise<Uint8Array> {
    const random = seededRandom(seed);
    const [views, labels] = [this.#named(0), this.#named(1)];
    const favourite = pick(labels, random);
    const badly = pick(
      views.filter((view) => view !== CLEAR),
      random,
    );
    const badShare = BAD_SHARE_MAX * random();
    return () => {
      const view = random() < badShare ? badly : CLEAR;
      const isFavourite = random() < (FAVOURITE - 1) / (labels.length + FAVOURITE - 1);
      const label = isFavourite ? favourite : pick(labels, random);
      return this.#read(pick(this.#photos.get(kindOf(view, label)) ?? [], random));
    };
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #read({ from, bytes }: Photo): Promise<Uint8Array> {
    const jpeg = Buffer.allocUnsafe(bytes);
    await this.#file.read(jpeg, 0, bytes, from);
    return jpeg;
  }

  #named(part: 0 | 1): readonly string[] {
    return [...new Set([...this.#photos.keys()].map((kind) => kind.split(" ")[part] as string))].sort();
  }
}

const kindOf = (view: string, label: string): string => `${view} ${label}`;
const pick = <T>(list: readonly T[], random: Random): T => list[Math.floor(random() * list.length)] as T;
