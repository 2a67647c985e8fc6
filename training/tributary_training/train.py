"""Trains one of the three networks. Resumable: a checkpoint is written after every epoch and picked up on the next run.

    python -m tributary_training.train edge  [--epochs 40]
    python -m tributary_training.train lite  [--epochs 24]
    python -m tributary_training.train cloud [--epochs 14]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .data import load_split, normalise
from .models import CloudNet, LiteNet, ResNet8

RECIPES = {
    "edge": {"epochs": 40, "batch": 128, "optimizer": "adamw", "lr": 4e-3, "weight_decay": 1e-3, "smoothing": 0.05, "shift": 3},
    "lite": {"epochs": 24, "batch": 128, "optimizer": "adamw", "lr": 8e-3, "weight_decay": 1e-4, "smoothing": 0.0, "shift": 2},
    "cloud": {"epochs": 14, "batch": 500, "optimizer": "sgd", "lr": 11.5, "weight_decay": 0.0153, "smoothing": 0.2, "shift": 2},
}


NETWORKS = {"edge": ResNet8, "lite": LiteNet, "cloud": CloudNet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(RECIPES))
    parser.add_argument("--epochs", type=int, help="passes over the 45,000 training photos")
    parser.add_argument("--work", type=Path, default=Path(".work"), help="downloads, prepared data, checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20261125)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    recipe = RECIPES[options.network] | ({"epochs": options.epochs} if options.epochs else {})

    train = load_split("train", options.work / "data")
    validation = load_split("validation", options.work / "data")
    images = tensor(train.frames)
    labels = torch.from_numpy(train.labels)
    network = NETWORKS[options.network]()
    network = network.to(memory_format=torch.channels_last)
    if isinstance(network, CloudNet):
        network.init_whitening(images[:5000])

    batch = recipe["batch"]
    steps_per_epoch = len(images) // batch
    steps = steps_per_epoch * recipe["epochs"]
    optimizer, schedule = _optimizer(network, recipe, steps)
    checkpoint = options.work / f"{options.network}.pt"
    epoch = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["epochs"] != recipe["epochs"]:
            raise SystemExit(f"{checkpoint} was made for {saved['epochs']} epochs; delete it or pass --epochs {saved['epochs']}")
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        epoch = saved["epoch"]

    while epoch < recipe["epochs"]:
        started = time.monotonic()
        # Seeded by epoch, so that a resumed run sees the order an uninterrupted one would have seen.
        random = torch.Generator().manual_seed(options.seed + epoch)
        order = torch.randperm(len(images), generator=random)
        network.train()
        loss_sum = 0.0
        for step in range(steps_per_epoch):
            chosen = order[step * batch : (step + 1) * batch]
            inputs = augment(images[chosen], recipe["shift"], epoch, random)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, _ = network(inputs)
            # The cloud recipe's learning rate was tuned for a summed loss.
            loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=recipe["smoothing"])
            optimizer.zero_grad(set_to_none=True)
            (loss * batch if options.network == "cloud" else loss).backward()
            optimizer.step()
            schedule.step()
            loss_sum += loss.item()
        epoch += 1
        accuracy = evaluate(network, validation.frames, validation.labels)
        print(json.dumps({
            "network": options.network, "epoch": epoch, "epochs": recipe["epochs"],
            "loss": round(loss_sum / steps_per_epoch, 4), "validationAccuracy": round(accuracy, 4),
            "seconds": round(time.monotonic() - started, 1),
        }), flush=True)
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(),
                 "schedule": schedule.state_dict(), "epoch": epoch, "epochs": recipe["epochs"]}
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").rename(checkpoint)


def _optimizer(network: torch.nn.Module, recipe: dict, steps: int):
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if recipe["optimizer"] == "adamw":
        optimizer = torch.optim.AdamW([p for _, p in trained], lr=recipe["lr"], weight_decay=recipe["weight_decay"])
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe["lr"], total_steps=steps, pct_start=0.2)
    # airbench: rates are "per 1024 examples", decoupled from momentum; biases of the norms learn 64 times as fast.
    kilostep = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = recipe["lr"] / kilostep, recipe["weight_decay"] * recipe["batch"] / kilostep
    biases = [p for name, p in trained if "norm" in name]
    others = [p for name, p in trained if "norm" not in name]
    optimizer = torch.optim.SGD(
        [{"params": biases, "lr": lr * 64, "weight_decay": decay / (lr * 64)},
         {"params": others, "lr": lr, "weight_decay": decay / lr}], momentum=0.85, nesterov=True)
    peak = 0.23 * steps

    def triangle(step: int) -> float:
        return 0.2 + 0.8 * step / peak if step < peak else max(0.0, 1 - 0.93 * (step - peak) / (steps - peak))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, triangle)


def tensor(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(normalise(frames)).contiguous(memory_format=torch.channels_last)


def augment(images: torch.Tensor, shift: int, epoch: int, random: torch.Generator) -> torch.Tensor:
    """Flips and translates (reflected borders) each image of a batch on its own."""
    flip = torch.rand(len(images), generator=random) < 0.5
    images = torch.where(flip.view(-1, 1, 1, 1), images.flip(3), images)
    padded = F.pad(images, (shift,) * 4, mode="reflect")
    rows = torch.randint(0, 2 * shift + 1, (len(images),), generator=random)
    columns = torch.randint(0, 2 * shift + 1, (len(images),), generator=random)
    out = torch.empty_like(images)
    side = images.shape[-1]
    for row in range(2 * shift + 1):
        for column in range(2 * shift + 1):
            here = (rows == row) & (columns == column)
            if here.any():
                out[here] = padded[here, :, row : row + side, column : column + side]
    return out.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def evaluate(network: torch.nn.Module, frames: np.ndarray, labels: np.ndarray) -> float:
    network.eval()
    right = 0
    for start in range(0, len(frames), 500):
        logits, _ = network(tensor(frames[start : start + 500]))
        right += int((logits.argmax(1).numpy() == labels[start : start + 500]).sum())
    return right / len(frames)


if __name__ == "__main__":
    main()
