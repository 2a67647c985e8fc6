"""Writes a split for those who do not speak Python.

    python -m tributary_training.samples                       # ../samples/cifar10-test: what sample cameras show
    python -m tributary_training.samples --split validation    # .work/validation: what `tributary models pack` measures

The test split becomes lossless PNG sheets, each a grid of 32x32 photos, row by row; `index.json` says how many columns
and holds the labels in order. The validation split becomes camera frames, `00000.jpg` and so on, with `labels.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from .data import CLASSES, MODEL_SIDE, camera_frame, load_photos

COLUMNS = 40
PHOTOS_PER_SHEET = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".work"))
    options = parser.parse_args()

    photos, labels = load_photos(options.split, options.work / "data")
    is_test = options.split == "test"
    out = options.out or (Path("../samples/cifar10-test") if is_test else options.work / "validation")
    out.mkdir(parents=True, exist_ok=True)
    (write_sheets if is_test else write_frames)(photos, labels, out)
    written = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {len(photos)} photos of split {options.split}, {written} bytes")


def write_sheets(photos: np.ndarray, labels: np.ndarray, out: Path) -> None:
    sheets = []
    for number, start in enumerate(range(0, len(photos), PHOTOS_PER_SHEET)):
        part = photos[start : start + PHOTOS_PER_SHEET]
        file = f"sheet-{number}.png"
        Image.fromarray(grid(part)).save(out / file, optimize=True)
        sheets.append({"file": file, "photos": len(part)})
    index = {"classes": CLASSES, "side": MODEL_SIDE, "columns": COLUMNS, "sheets": sheets, "labels": labels.tolist()}
    (out / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")


def write_frames(photos: np.ndarray, labels: np.ndarray, out: Path) -> None:
    for number, photo in enumerate(photos):
        (out / f"{number:05d}.jpg").write_bytes(camera_frame(photo))
    named = {f"{number:05d}.jpg": CLASSES[label] for number, label in enumerate(labels)}
    (out / "labels.json").write_text(json.dumps(named, indent=0) + "\n")


def grid(photos: np.ndarray) -> np.ndarray:
    """``uint8[N, S, S, 3]`` to one picture of ``COLUMNS`` photos a row; N a multiple of ``COLUMNS``."""
    count, side = photos.shape[0], photos.shape[1]
    rows = count // COLUMNS
    if rows * COLUMNS != count:
        raise ValueError(f"{count} photos do not fill rows of {COLUMNS}")
    return photos.reshape(rows, COLUMNS, side, side, 3).swapaxes(1, 2).reshape(rows * side, COLUMNS * side, 3)


if __name__ == "__main__":
    main()
