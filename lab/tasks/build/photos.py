"""Photos of a task, and the files that hold them: one sheet a split, and `index.json`."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = 40
SPLITS = ("base", "validation", "seen")


@dataclass(frozen=True)
class Made:
    """What a task's own file makes: everything but the models."""

    about: str
    source: str
    licence: str
    labels: list[str]
    frame_side: int
    # Of each split: uint8[N, H, W] or uint8[N, H, W, 3], and the number of the class of each photo.
    splits: dict[str, tuple[np.ndarray, np.ndarray]]
    # Quality of lossy sheets (WebP); None: PNG.
    quality: int | None = None


def shuffled(photos: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(labels))
    return photos[order], labels[order]


def write(made: Made, out: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The splits as they are read from the sheets: lossy sheets change pixels, and models are trained on what is committed."""
    out.mkdir(parents=True, exist_ok=True)
    read, splits, seen_before = {}, {}, set()
    for name in SPLITS:
        photos, labels = without(made.splits[name], seen_before)
        file = f"{name}.{'png' if made.quality is None else 'webp'}"
        sheet = Image.fromarray(grid(photos))
        if made.quality is None:
            sheet.save(out / file, optimize=True)
        else:
            sheet.save(out / file, quality=made.quality, method=6)
        splits[name] = {"file": file, "labels": labels.tolist()}
        mode = "L" if photos.ndim == 3 else "RGB"
        read[name] = (tiles(np.asarray(Image.open(out / file).convert(mode)), photos.shape), labels)
    _, height, width = made.splits["base"][0].shape[:3]
    index = {
        "about": made.about,
        "source": made.source,
        "licence": made.licence,
        "labels": made.labels,
        "width": width,
        "height": height,
        "channels": 1 if made.splits["base"][0].ndim == 3 else 3,
        "columns": COLUMNS,
        "frameSide": made.frame_side,
        "splits": splits,
    }
    (out / "index.json").write_text(json.dumps(index, separators=(",", ":"), ensure_ascii=False) + "\n")
    return read


def without(split: tuple[np.ndarray, np.ndarray], before: set[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """A split without photos that are there already, in it or in an earlier one."""
    photos, labels = split
    kept = []
    for i, photo in enumerate(photos):
        pixels = photo.tobytes()
        if pixels not in before:
            kept.append(i)
        before.add(pixels)
    return photos[kept], labels[kept]


def grid(photos: np.ndarray) -> np.ndarray:
    """One picture of ``COLUMNS`` photos a row; the last row may have empty places."""
    count, height, width, *channels = photos.shape
    rows = -(-count // COLUMNS)
    full = np.zeros((rows * COLUMNS, *photos.shape[1:]), np.uint8)
    full[:count] = photos
    sheet = full.reshape(rows, COLUMNS, height, width, *channels).swapaxes(1, 2)
    return np.ascontiguousarray(sheet.reshape(rows * height, COLUMNS * width, *channels))


def tiles(sheet: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    count, height, width, *channels = shape
    rows = len(sheet) // height
    parts = sheet.reshape(rows, height, COLUMNS, width, *channels).swapaxes(1, 2)
    return parts.reshape(rows * COLUMNS, height, width, *channels)[:count]


def camera_pixels(photos: np.ndarray, frame_side: int, side: int) -> np.ndarray:
    """What a device makes of a camera's JPEG of each photo: enlarged, encoded, decoded, resized to the model's side."""
    frames = []
    for photo in photos:
        jpeg = io.BytesIO()
        enlarged = Image.fromarray(photo).resize((frame_side, frame_side), Image.Resampling.BICUBIC)
        enlarged.save(jpeg, "JPEG", quality=90, subsampling=2)
        frames.append(np.asarray(Image.open(jpeg).resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(frames)
