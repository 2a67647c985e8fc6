"""Writes the 5,000 test photos that sample cameras and benches serve, as lossless PNG sheets with their labels.

    python -m tributary_training.samples [--out ../samples/cifar10-test]
    python -m tributary_training.samples --split validation --out .work/validation    # for `tributary models pack`

A sheet is a grid of 32x32 photos, row by row; `index.json` says how many columns and holds the labels in order.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from .data import CLASSES, MODEL_SIDE, SPLITS, load_photos

COLUMNS = 40
PHOTOS_PER_SHEET = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")
    parser.add_argument("--out", type=Path, default=Path("../samples/cifar10-test"))
    parser.add_argument("--work", type=Path, default=Path(".work"))
    options = parser.parse_args()

    photos, labels = load_photos(options.split, options.work / "data")
    options.out.mkdir(parents=True, exist_ok=True)
    sheets = []
    for number, start in enumerate(range(0, len(photos), PHOTOS_PER_SHEET)):
        part = photos[start : start + PHOTOS_PER_SHEET]
        file = f"sheet-{number}.png"
        Image.fromarray(grid(part)).save(options.out / file, optimize=True)
        sheets.append({"file": file, "photos": len(part)})
    index = {"classes": CLASSES, "side": MODEL_SIDE, "columns": COLUMNS, "sheets": sheets, "labels": labels.tolist()}
    (options.out / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")
    written = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {len(photos)} photos of split {options.split} in {len(sheets)} sheets, {written} bytes")


def grid(photos: np.ndarray) -> np.ndarray:
    """``uint8[N, S, S, 3]`` to one picture of ``COLUMNS`` photos a row; N a multiple of ``COLUMNS``."""
    count, side = photos.shape[0], photos.shape[1]
    rows = count // COLUMNS
    if rows * COLUMNS != count:
        raise ValueError(f"{count} photos do not fill rows of {COLUMNS}")
    return photos.reshape(rows, COLUMNS, side, side, 3).swapaxes(1, 2).reshape(rows * side, COLUMNS * side, 3)


if __name__ == "__main__":
    main()
