"""Product photos of ten kinds of clothing: Fashion-MNIST, from Debian's package dataset-fashion-mnist."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from models import Recipe
from photos import Made, shuffled

LABELS = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
# Photos of each class; base and validation are of the published training part, those that cameras see of its test part.
COUNTS = {"base": 200, "validation": 50, "seen": 190}

EDGE = Recipe(widths=(8, 16, 24), pooled=(0, 1), epochs=30, side=28, shift=1)
CLOUD = Recipe(widths=(16, 32, 48, 64), pooled=(0, 2), epochs=45, side=28, shift=1, flips=True, dropout=0.1)


def make(sources: Path) -> Made:
    folder = sources / "dataset-fashion-mnist/usr/share/datasets/fashion-mnist"
    splits = {}
    for name, (part, skipped) in {"base": ("train", 0), "validation": ("train", COUNTS["base"]), "seen": ("t10k", 0)}.items():
        photos = np.frombuffer(gzip.open(folder / f"{part}-images-idx3-ubyte.gz").read(), np.uint8, offset=16).reshape(-1, 28, 28)
        numbers = np.frombuffer(gzip.open(folder / f"{part}-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
        chosen = np.concatenate([np.flatnonzero(numbers == c)[skipped : skipped + COUNTS[name]] for c in range(10)])
        splits[name] = shuffled(photos[chosen], numbers[chosen], 1)
    return Made(
        about="ten classes, equally often, grey product photos of 28x28: clothing",
        source="Fashion-MNIST (Zalando SE, 2017), Debian's dataset-fashion-mnist 0.0~git20200523.55506a9-1",
        licence="MIT",
        labels=LABELS,
        frame_side=160,
        splits=splits,
    )
