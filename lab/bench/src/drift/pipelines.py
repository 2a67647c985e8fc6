"""Preprocessing as a device in Python has it, by Pillow and NumPy, and broken in every way that the codebook names.

    python pipelines.py PACKAGE OUT SEEDS

Writes OUT/FAULT.f32: tensors[seed][golden frame], of pixels with noise of up to 2 of 255. `right` is the correct one; faults that
are named `unknown-...` are in no codebook. The first line of output lists the names."""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

package, out, seeds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
config = json.loads((package / "preprocessor_config.json").read_text())
faults = json.loads((package / "golden/faults.json").read_text())
golden = json.loads((package / "golden/index.json").read_text())["frames"][: faults["frames"]]

KERNEL = {1: Image.LANCZOS, 2: Image.BILINEAR, 3: Image.BICUBIC}[config.get("resample", 2)]
ORDER = config.get("channel_order", "RGB")
SIZE = (config["size"]["width"], config["size"]["height"]) if config.get("do_resize", True) else None
FACTOR = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
CHANNELS = 1 if ORDER == "L" else 3
IS_NORMALISED = config.get("do_normalize", True)
MEAN = np.broadcast_to(np.array(config["image_mean"] if IS_NORMALISED else 0.0, np.float32), CHANNELS)
DEVIATION = np.broadcast_to(np.array(config["image_std"] if IS_NORMALISED else 1.0, np.float32), CHANNELS)
IS_FIRST = config.get("data_format", "channels_first") == "channels_first"
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def size_of(image):
    return SIZE or image.size


def resized(image, kernel=None):
    return image.resize(size_of(image), kernel or KERNEL)


def not_antialiased(image):
    width, height = size_of(image)
    step = (image.width / width, 0, 0, 0, image.height / height, 0)
    return image.transform((width, height), Image.AFFINE, step, resample=Image.BILINEAR)


def first_of_each(image):
    """Nearest as OpenCV does it: the first pixel of each step, where Pillow takes the one in the middle."""
    width, height = size_of(image)
    rows = np.arange(height) * image.height // height
    columns = np.arange(width) * image.width // width
    return Image.fromarray(np.asarray(image)[rows][:, columns])


def centre_cropped(image):
    side = np.array(image.size) * 224 / 256
    left, top = (np.array(image.size) - side) / 2
    box = tuple(int(round(v)) for v in (left, top, left + side[0], top + side[1]))
    return resized(image.crop(box))


def letterboxed(image):
    width, height = size_of(image)
    fit = min(width / image.width, height / image.height)
    part = image.resize((max(1, round(image.width * fit)), max(1, round(image.height * fit))), KERNEL)
    whole = Image.new(image.mode, (width, height))
    whole.paste(part, ((width - part.width) // 2, (height - part.height) // 2))
    return whole


def occluded(image, random):
    """A quarter of the picture is covered, anywhere."""
    pixels = np.array(resized(image))
    height, width = pixels.shape[:2]
    y, x = random.integers(0, height // 2 + 1), random.integers(0, width // 2 + 1)
    pixels[y : y + height // 2, x : x + width // 2] = random.integers(0, 256)
    return Image.fromarray(pixels)


def salt_and_pepper(image, random):
    pixels = np.array(resized(image))
    where = random.random(pixels.shape[:2]) < 0.1
    pixels[where] = random.choice([0, 255], where.sum())[:, None]
    return Image.fromarray(pixels)


def shuffled(image, random):
    """Rows in any order, as of a buffer with the wrong stride."""
    pixels = np.asarray(resized(image))
    return Image.fromarray(pixels[random.permutation(len(pixels))])


# From the decoded picture to resized pixels.
PICTURES = {
    "nearest": lambda image: image.resize(size_of(image), Image.NEAREST),
    "nearest (OpenCV's)": first_of_each,
    "not-antialiased": not_antialiased,
    "other-kernel": lambda image: resized(image, Image.BICUBIC if KERNEL == Image.BILINEAR else Image.BILINEAR),
    "flipped-horizontally": lambda image: resized(image.transpose(Image.FLIP_LEFT_RIGHT)),
    "flipped-vertically": lambda image: resized(image.transpose(Image.FLIP_TOP_BOTTOM)),
    # Pillow's degrees are anticlockwise.
    "rotated-90": lambda image: resized(image.transpose(Image.ROTATE_270)),
    "rotated-180": lambda image: resized(image.transpose(Image.ROTATE_180)),
    "rotated-270": lambda image: resized(image.transpose(Image.ROTATE_90)),
    "width-and-height-exchanged": lambda image: resized(image.transpose(Image.TRANSPOSE)),
    "centre-cropped": centre_cropped,
    "letterboxed": letterboxed,
}
UNKNOWN = {"unknown-occluded": occluded, "unknown-salt-and-pepper": salt_and_pepper, "unknown-rows-shuffled": shuffled}


def grey(pixels):
    return np.repeat((pixels @ np.array([0.299, 0.587, 0.114]))[..., None], 3, -1)


def ycbcr(pixels):
    return np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("YCbCr"), float)


def chroma_exchanged(pixels):
    exchanged = ycbcr(pixels)[..., [0, 2, 1]].astype(np.uint8)
    return np.asarray(Image.fromarray(exchanged, "YCbCr").convert("RGB"), float)


def linear(pixels):
    share = pixels / 255
    return 255 * np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def gamma(pixels):
    share = pixels / 255
    return 255 * np.where(share <= 0.0031308, share * 12.92, 1.055 * share ** (1 / 2.4) - 0.055)


# Of resized RGB pixels.
PIXELS = {
    "limited-range": lambda pixels: 16 + pixels * 219 / 255,
    "range-expanded-twice": lambda pixels: (pixels - 16) * 255 / 219,
    "linear-light": linear,
    "gamma-applied-twice": gamma,
    "inverted": lambda pixels: 255 - pixels,
    "black-picture": np.zeros_like,
}
COLOURS = {"greyscale": grey, "chroma-exchanged": chroma_exchanged, "ycbcr-taken-as-rgb": ycbcr}


def normalised(pixels, factor=FACTOR, mean=MEAN, deviation=DEVIATION):
    return (pixels * factor - mean) / deviation


def signed(pixels):
    return normalised(np.where(pixels > 127.5, pixels - 256, pixels))


def published(mean, deviation):
    """Of pixels from 0 to 1, in the model's order of channels."""
    turned = slice(None, None, -1) if ORDER == "BGR" else slice(None)
    unit = FACTOR * 255
    return lambda pixels: normalised(pixels, mean=np.asarray(mean)[turned] * unit, deviation=np.asarray(deviation)[turned] * unit)


# Of pixels in the model's channels.
NUMBERS = {
    "rescaled-twice": lambda pixels: normalised(pixels, factor=FACTOR / 255),
    "mean-not-subtracted": lambda pixels: normalised(pixels, mean=0),
    "deviation-not-divided": lambda pixels: normalised(pixels, deviation=1),
    "not-normalised": lambda pixels: normalised(pixels, mean=0, deviation=1),
    "mean-and-deviation-exchanged": lambda pixels: normalised(pixels, mean=DEVIATION, deviation=MEAN),
    "mean-of-reversed-channels": lambda pixels: normalised(pixels, mean=MEAN[::-1], deviation=DEVIATION[::-1]),
    "bytes-taken-as-signed": signed,
    "tensor-not-filled": lambda pixels: np.zeros_like(normalised(pixels)),
}
NUMBERS["not-rescaled" if FACTOR != 1 else "rescaled"] = lambda pixels: normalised(pixels, factor=1 if FACTOR != 1 else 1 / 255)
if CHANNELS == 3:
    NUMBERS["other-mean"] = published(*IMAGENET)
    NUMBERS["pixels-from-minus-1-to-1"] = published([0.5] * 3, [0.5] * 3)
    NUMBERS["channels-swapped"] = lambda pixels: normalised(pixels[..., ::-1])


def laid_out(tensor, is_first=IS_FIRST):
    return tensor.transpose(2, 0, 1) if is_first else tensor


def tensor_of(path, fault, random):
    image = Image.open(path).convert("RGB")
    if fault in UNKNOWN:
        picture = UNKNOWN[fault](image, random)
    else:
        picture = PICTURES.get(fault, resized)(image)
    pixels = np.asarray(picture, float)
    pixels = np.clip(pixels + random.integers(-2, 3, pixels.shape), 0, 255)
    change = PIXELS.get(fault) or COLOURS.get(fault)
    if change is not None:
        pixels = np.clip(np.round(change(pixels)), 0, 255)
    if ORDER == "BGR":
        pixels = pixels[..., ::-1]
    if ORDER == "L":
        pixels = np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("L"), float)[..., None]
    tensor = NUMBERS.get(fault, normalised)(pixels)
    if fault == "layout-mixed-up":
        return laid_out(tensor, not IS_FIRST).ravel()
    return laid_out(tensor).ravel()


names = ["right", "layout-mixed-up", *PICTURES, *PIXELS, *(COLOURS if CHANNELS == 3 else []), *NUMBERS, *UNKNOWN]
for name in names:
    tensors = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        tensors += [tensor_of(package / frame["jpeg"], name, random) for frame in golden]
    np.asarray(tensors, np.float32).tofile(out / f"{name}.f32")
print(json.dumps(names))
