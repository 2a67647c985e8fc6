"""A training backend in PyTorch, which services/trainer runs as a command (`backend: {kind: command}`) and other schedulers may run too.

    python -m tributary_training.finetune JOB.json --dataset DIR --base DIR [--checkpoint .work/edge.pt | --scratch]

JOB.json is the order that every backend gets (services/trainer/src/backends/job-order.ts). Each DIR is a dataset's folder as `dvc get`
leaves it: `manifest.jsonl` and `frames/`. The sample's edge network is trained with the order's recipe, from the checkpoint that the deployed
package was exported from or from new weights, quantised as export.py does, and left at `places.results`, a file:// URI.

Against the local backend it lacks the choice of a blend, and the measurements before and after; it needs the checkpoint, because nothing
here reads an ONNX file back into PyTorch. Nobody measured its models yet.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import torch
import torch.nn.functional as F

from .data import CLASSES, normalise, preprocess_pixels
from .export import fold, quantise, write_onnx
from .models import ResNet8
from .train import augment, tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", type=Path)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path(".work/edge.pt"))
    parser.add_argument("--scratch", action="store_true", help="train from new weights")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    order = json.loads(options.job.read_text())
    recipe, results = order["recipe"], urlparse(order["places"]["results"])
    if results.scheme != "file":
        sys.exit(f"results go to {results.geturl()}: this example writes folders only")
    if recipe["layers"] != "all" or not recipe["flips"]:
        sys.exit("this example trains all layers, with flips")
    of_slice = _read(options.dataset, order["slice"])
    of_base = _read(options.base, "base")
    network, loss, steps = train(of_slice, of_base, order["seed"], recipe, None if options.scratch else options.checkpoint)

    out = Path(unquote(results.path))
    out.mkdir(parents=True, exist_ok=True)
    half = recipe["calibrationFrames"]
    frames = np.concatenate([of_slice[0][:half], of_base[0][:half]])
    np.random.default_rng(0).shuffle(frames)  # In order they would move the ranges towards the last.
    with tempfile.TemporaryDirectory() as folder:
        floating = Path(folder) / "fp32.onnx"
        write_onnx(fold(network), floating)
        quantise(floating, out / "model.onnx", normalise(frames))
    result = {"formatVersion": 1, "steps": steps, "loss": loss, "notes": ["PyTorch, without a blend"]}
    beside = out / "result.json.new"
    beside.write_text(json.dumps(result))
    os.replace(beside, out / "result.json")  # The last file: who finds it finds the model.


def train(of_slice, of_base, seed: str, recipe: dict, checkpoint: Path | None) -> tuple[ResNet8, float, int]:
    """Each batch holds frames of the slice and base photos; base photos keep a share of the deployed model's own answers."""
    random = torch.Generator().manual_seed(int.from_bytes(seed.encode()[:7], "big"))
    torch.manual_seed(random.initial_seed())
    network, deployed = ResNet8(), ResNet8()
    if checkpoint is not None:
        network.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    deployed.load_state_dict(network.state_dict())
    deployed.eval()
    # From new weights there is no answer to keep.
    kept = recipe["distillation"] if checkpoint is not None else 0.0
    slice_count = min(recipe["sliceFramesPerBatch"], len(of_slice[0]))
    base_count = min(recipe["batch"] - slice_count, len(of_base[0]))
    steps = max(2, len(of_slice[0]) * recipe["epochs"] // slice_count)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe["learningRateMax"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe["learningRateMax"], total_steps=steps, pct_start=recipe["warmUpShare"], cycle_momentum=False
    )
    loss = torch.zeros(())
    network.train()
    for step in range(steps):
        rows = torch.randperm(len(of_slice[0]), generator=random)[:slice_count].numpy()
        others = torch.randperm(len(of_base[0]), generator=random)[:base_count].numpy()
        images = tensor(np.concatenate([of_slice[0][rows], of_base[0][others]]))
        images = augment(images, recipe["shiftMax"], step, random)
        labels = torch.from_numpy(np.concatenate([of_slice[1][rows], of_base[1][others]]))
        targets = F.one_hot(labels, len(CLASSES)).float()
        if kept > 0:
            with torch.no_grad():
                answers = deployed(images[slice_count:])[0].softmax(1)
            targets[slice_count:] = (1 - kept) * targets[slice_count:] + kept * answers
        loss = F.cross_entropy(network(images)[0], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"progress {0.95 * step / steps:.3f} step {step} of {steps}, loss {loss.item():.4f}", flush=True)
    return network.eval(), round(loss.item(), 6), steps


def _read(folder: Path, slice_name: str) -> tuple[np.ndarray, np.ndarray]:
    """TRAIN frames of a slice, as pixels and indices of classes."""
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    frames = [frame for frame in map(json.loads, lines) if frame["split"] == "TRAIN" and frame["slice"] == slice_name]
    if not frames:
        sys.exit(f"{folder} has no TRAIN frames of {slice_name}")
    pixels = np.stack([preprocess_pixels((folder / frame["file"]).read_bytes()) for frame in frames])
    return pixels, np.array([CLASSES.index(frame["label"]) for frame in frames])


if __name__ == "__main__":
    main()
