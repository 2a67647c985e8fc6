"""A task's two models: small convolutional networks, trained on its base photos as a device sees them, in float32 ONNX.

The operators are those that the trainer without a framework can retrain (ADR 50): Conv, Relu, MaxPool, ReduceMean, Gemm. Batch
norms are folded into the convolutions before them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from photos import camera_pixels


@dataclass(frozen=True)
class Recipe:
    # Channels after each convolution; a pool halves the picture after each of `pooled`.
    widths: tuple[int, ...]
    pooled: tuple[int, ...]
    epochs: int
    side: int
    # Pixels that a training photo is moved at most.
    shift: int = 2
    flips: bool = False
    dropout: float = 0.0
    weight_decay: float = 1e-3
    smoothing: float = 0.0
    # Weight of a class in the loss, where it is not 1.
    weights: tuple[float, ...] | None = None


class Net(nn.Module):
    def __init__(self, recipe: Recipe, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, width in enumerate(recipe.widths):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            if i in recipe.pooled:
                layers.append(nn.MaxPool2d(2))
            channels = width
        self.body = nn.Sequential(*layers)
        self.drop = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(x).mean(dim=(2, 3))))


def make(recipe: Recipe, splits: dict, labels: list[str], frame_side: int, out: Path, seed: int) -> dict:
    torch.manual_seed(seed)
    inputs = {name: tensor(camera_pixels(photos, frame_side, recipe.side)) for name, (photos, _) in splits.items()}
    classes = {name: torch.from_numpy(numbers.astype(np.int64)) for name, (_, numbers) in splits.items()}
    net = Net(recipe, inputs["base"].shape[1], len(labels))
    train(net, recipe, inputs["base"], classes["base"], seed)
    out.mkdir(parents=True, exist_ok=True)
    export(net, inputs["base"][:1], out / "model.onnx")
    (out / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    (out / "preprocess.json").write_text(json.dumps(preprocessing(recipe.side, inputs["base"].shape[1]), indent=2) + "\n")
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    report = {"parameters": sum(p.numel() for p in net.parameters()), "bytes": (out / "model.onnx").stat().st_size}
    for name, x in inputs.items():
        answers = np.concatenate([session.run(None, {"image": part.numpy()})[0] for part in x.split(200)]).argmax(1)
        right = answers == classes[name].numpy()
        report[name] = round(float(right.mean()), 3)
        if name == "seen":
            numbers = classes[name].numpy()
            report["recalls"] = [round(float(right[numbers == c].mean()), 2) for c in range(len(labels))]
    return report


def train(net: Net, recipe: Recipe, x: torch.Tensor, y: torch.Tensor, seed: int, batch: int = 64) -> None:
    steps = recipe.epochs * (len(x) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), 8e-3, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps, pct_start=0.2)
    weights = None if recipe.weights is None else torch.tensor(recipe.weights)
    random = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(recipe.epochs):
        order = torch.randperm(len(x), generator=random)
        for start in range(0, len(x) - batch + 1, batch):
            chosen = order[start : start + batch]
            logits = net(moved(x[chosen], recipe, random))
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits, y[chosen], weight=weights, label_smoothing=recipe.smoothing).backward()
            optimiser.step()
            schedule.step()
    net.eval()


def moved(x: torch.Tensor, recipe: Recipe, random: torch.Generator) -> torch.Tensor:
    """Each photo of a batch moved by some pixels, and flipped where a flipped one is of the same class."""
    if recipe.flips:
        flip = torch.rand(len(x), generator=random) < 0.5
        x = torch.where(flip.view(-1, 1, 1, 1), x.flip(3), x)
    by = recipe.shift
    if by == 0:
        return x
    padded = F.pad(x, (by,) * 4, mode="replicate")
    rows, columns = torch.randint(0, 2 * by + 1, (2, len(x)), generator=random)
    side = x.shape[-1]
    return torch.stack([one[:, r : r + side, c : c + side] for one, r, c in zip(padded, rows.tolist(), columns.tolist())])


def tensor(pixels: np.ndarray) -> torch.Tensor:
    """``uint8[N, S, S]`` or ``uint8[N, S, S, 3]`` to ``float32[N, C, S, S]`` on [-1, 1]."""
    planes = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planes)).float() / 127.5 - 1


def preprocessing(side: int, channels: int) -> dict:
    return {
        "do_convert_rgb": channels == 3,
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": 0.5 if channels == 1 else [0.5] * 3,
        "image_std": 0.5 if channels == 1 else [0.5] * 3,
        "channel_order": "L" if channels == 1 else "RGB",
        "data_format": "channels_first",
    }


def export(net: Net, sample: torch.Tensor, path: Path) -> None:
    torch.onnx.export(
        net,
        (sample,),
        str(path),
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    model = onnx.load(path)
    # The exporter names itself and the source lines of every node; neither belongs into a file that is compared by its bytes.
    model.producer_name, model.producer_version, model.doc_string = "tributary_tasks", "1", ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
