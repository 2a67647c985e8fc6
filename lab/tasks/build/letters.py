"""Handwritten letters, both cases of a letter in one class: NIST's Special Database 19, from PyPI's package miniworld.

Its file ch_0xN_M.png has the Mth picture of the character whose number is N, in decimal. Every picture is cropped to its strokes, with
a margin, and made 32 x 32 with its proportions. Letters that another one looks like, as I and L, are left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models import Recipe
from photos import Made, shuffled

SIDE, MARGIN = 32, 0.12
LETTERS = "ABCDEFGHKMNPRSTUVWXY"
PICTURES = 50
# Pictures of each case of each letter; those that cameras see are the rest.
COUNTS = {"base": 24, "validation": 8, "seen": 18}

EDGE = Recipe(widths=(12, 16, 24), pooled=(0, 1), epochs=60, side=32, shift=3)
CLOUD = Recipe(widths=(16, 32, 48, 64), pooled=(0, 2), epochs=120, side=32, shift=3, dropout=0.2)


def make(sources: Path) -> Made:
    folder = sources / "miniworld/miniworld/textures/chars"
    random = np.random.default_rng(1)
    found: dict[str, tuple[list[np.ndarray], list[int]]] = {name: ([], []) for name in COUNTS}
    for label, letter in enumerate(LETTERS):
        for character in (letter, letter.lower()):
            order = random.permutation(PICTURES) + 1
            names = np.repeat(list(COUNTS), list(COUNTS.values()))
            for name, number in zip(names, order):
                photos, labels = found[name]
                photos.append(cropped(folder / f"ch_0x{ord(character)}_{number}.png"))
                labels.append(label)
    splits = {name: shuffled(np.stack(photos), np.array(labels), 1) for name, (photos, labels) in found.items()}
    return Made(
        about="20 classes, equally often, grey handwriting of 32x32: letters, upper and lower case in one class",
        source="NIST Special Database 19, as PyPI's miniworld 2.1.0 has a part of it",
        licence="public domain (NIST); the package that has it: Apache-2.0",
        labels=list(LETTERS),
        frame_side=160,
        splits=splits,
    )


def cropped(path: Path) -> np.ndarray:
    picture = np.asarray(Image.open(path).convert("L"))
    rows, columns = np.nonzero(picture < 128)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    side = round(max(bottom - top, right - left) * (1 + 2 * MARGIN))
    square = np.full((side, side), 255, np.uint8)
    at = (side - (bottom - top)) // 2, (side - (right - left)) // 2
    square[at[0] : at[0] + bottom - top, at[1] : at[1] + right - left] = picture[top:bottom, left:right]
    return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
