"""Makes `samples/digits`: a pair of models that share nothing with the other samples but the contract.

    python -m tributary_training.digits [--out ../samples/digits]

Scikit-learn's digits (8x8 grey photos of handwriting, 1,797 of them) scaled up to 300x300; two classes, even and odd. The edge
model takes float32[N, 1, 300, 300] on [-1, 1], the cloud model float32[N, 300, 300, 1] on [0, 255]. The photos are shuffled
with seed 0: the first 1,197 train, the next 300 are for `tributary models pack`, the last 300 are shown by tests alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

SIDE = 300
CLASSES = ["even", "odd"]
TRAINING, VALIDATION = 1197, 300
EPOCHS = {"edge": 12, "cloud": 30}


class Net(nn.Module):
    def __init__(self, width: int, depth: int, is_last: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.AvgPool2d(20 if depth == 1 else 12)]
        channels = 1
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.LazyLinear(len(CLASSES))
        self.is_last = is_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_last:
            x = x.permute(0, 3, 1, 2) / 127.5 - 1
        return self.head(self.body(x))


def frames(photos: np.ndarray) -> np.ndarray:
    """uint8[N, 8, 8] to what a camera and its JPEG make of it, uint8[N, 300, 300]."""
    made = np.empty((len(photos), SIDE, SIDE), np.uint8)
    for i, photo in enumerate(photos):
        jpeg = io.BytesIO()
        Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(jpeg, "JPEG", quality=90)
        made[i] = np.asarray(Image.open(jpeg))
    return made


def train(name: str, x: torch.Tensor, y: torch.Tensor) -> Net:
    torch.manual_seed(0)
    is_cloud = name == "cloud"
    net = Net(24 if is_cloud else 4, 2 if is_cloud else 1, is_cloud)
    shaped = x[..., None] if is_cloud else x[:, None] / 127.5 - 1
    net(shaped[:1])
    optimiser = torch.optim.Adam(net.parameters(), 0.003)
    for _ in range(EPOCHS[name]):
        for part in torch.randperm(TRAINING).split(32):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(shaped[part]), y[part]).backward()
            optimiser.step()
    net.eval()
    with torch.no_grad():
        right = torch.cat([net(part).argmax(1) for part in shaped.split(64)]) == y
    held = {"validation": right[TRAINING : TRAINING + VALIDATION], "test": right[TRAINING + VALIDATION :]}
    print(name, {split: round(float(hits.float().mean()), 4) for split, hits in held.items()})
    return net


def export(name: str, net: Net, out: Path) -> None:
    is_cloud = name == "cloud"
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    sample = torch.zeros((1, SIDE, SIDE, 1) if is_cloud else (1, 1, SIDE, SIDE))
    torch.onnx.export(
        net,
        (sample,),
        str(folder / "model.onnx"),
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in CLASSES))
    config = {
        "do_convert_rgb": False,
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "do_rescale": not is_cloud,
        "do_normalize": not is_cloud,
        "channel_order": "L",
        "data_format": "channels_last" if is_cloud else "channels_first",
    }
    if not is_cloud:
        config |= {"rescale_factor": 1 / 255, "image_mean": 0.5, "image_std": 0.5}
    (folder / "preprocess.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("../samples/digits"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    photos = np.round(digits.images[order] * 255 / 16).astype(np.uint8)
    labels = (digits.target[order] % 2).astype(int)
    x = torch.from_numpy(frames(photos).astype(np.float32))
    y = torch.from_numpy(labels)
    for name in ("edge", "cloud"):
        export(name, train(name, x, y), options.out)
    index = {
        "source": "scikit-learn's digits (UCI, CC BY 4.0), 8x8 grey, shuffled with seed 0",
        "classes": CLASSES,
        "side": 8,
        "training": TRAINING,
        "validation": VALIDATION,
        "labels": labels.tolist(),
        "pixels": base64.b64encode(photos.tobytes()).decode(),
    }
    (options.out / "photos.json").write_text(json.dumps(index) + "\n")


if __name__ == "__main__":
    main()
