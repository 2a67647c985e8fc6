"""A training backend in PyTorch: what services/trainer runs by `kind: command`, or an Airflow task or a SageMaker image runs in its place.

    python -m tributary_training.finetune JOB.json --frames DIR --base DIR [--checkpoint .work/edge.pt] [--scratch]

JOB.json is the order (services/trainer/src/backends/job-order.ts). DIR are folders of the two datasets, as `dvc get` or `dvc pull` leaves
them: `manifest.jsonl` and `frames/`. It trains the sample's edge network with the recipe of the order, from the checkpoint that the
deployed package was made of or from new weights, and leaves `model.onnx` and `result.json` at `places.results`, a file:// URI.

It leaves out what the local backend does after training: it tries no blends and does not quantise, so its model is fp32. A PyTorch
checkpoint is needed because ONNX files are not read back into PyTorch. `resize` must be what the package's preprocessor_config.json says;
here it is the sample's.
"""
import argparse
import json
import os
import random
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from . import data, models

SIZE = 32


def read(folder: Path, split: str, slice_name: str | None, labels: list[str]):
    """Pixels and labels of a split, of one slice or of all."""
    frames = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    wanted = [frame for frame in frames if frame["split"] == split and slice_name in (None, frame["slice"])]
    pictures = [Image.open(folder / frame["file"]).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR) for frame in wanted]
    pixels = np.stack([np.asarray(picture) for picture in pictures]) if pictures else np.zeros((0, SIZE, SIZE, 3), np.uint8)
    return pixels, np.array([labels.index(frame["label"]) for frame in wanted], np.int64)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    mean, std = np.asarray(data.MEAN, np.float32), np.asarray(data.STD, np.float32)
    return torch.from_numpy(((pixels.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2).copy())


def augmented(pixels: np.ndarray, shift: int, flips: bool, rng: np.random.Generator) -> np.ndarray:
    padded = np.pad(pixels, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    out = np.empty_like(pixels)
    for i, (y, x) in enumerate(rng.integers(0, 2 * shift + 1, (len(pixels), 2))):
        crop = padded[i, y : y + SIZE, x : x + SIZE]
        out[i] = crop[:, ::-1] if flips and rng.random() < 0.5 else crop
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", type=Path)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=data.WORK / "edge.pt")
    parser.add_argument("--scratch", action="store_true", help="train from new weights")
    args = parser.parse_args()
    order = json.loads(args.job.read_text())
    recipe = order["recipe"]
    results = urlparse(order["places"]["results"])
    if results.scheme != "file":
        sys.exit(f"results go to {results.geturl()}: upload them there, this example writes files only")
    out = Path(unquote(results.path))
    seed = int.from_bytes(order["seed"].encode()[:8], "little")
    torch.manual_seed(seed)
    rng, draw = np.random.default_rng(seed), random.Random(seed)

    labels = data.LABELS
    site, site_labels = read(args.frames, "TRAIN", order["slice"], labels)
    base, base_labels = read(args.base, "TRAIN", None, labels)
    if len(site) == 0 or len(base) == 0:
        sys.exit(f"{len(site)} frames of {order['slice']} and {len(base)} base photos: both are needed")
    network = models.edge()
    if not args.scratch:
        network.load_state_dict(torch.load(args.checkpoint, weights_only=True))
    deployed = models.edge()
    deployed.load_state_dict(network.state_dict())
    deployed.eval()

    of_site = min(recipe["sliceFramesPerBatch"], len(site))
    of_base = recipe["batch"] - of_site
    steps = max(1, len(site) * recipe["epochs"] // of_site)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe["learningRateMax"], total_steps=steps, pct_start=recipe["warmUpShare"]
    )
    network.train()
    for step in range(steps):
        a, b = draw.sample(range(len(site)), of_site), draw.sample(range(len(base)), min(of_base, len(base)))
        x = tensor(augmented(np.concatenate([site[a], base[b]]), recipe["shiftMax"], recipe["flips"], rng))
        y = F.one_hot(torch.from_numpy(np.concatenate([site_labels[a], base_labels[b]])), len(labels)).float()
        # From new weights there is nothing to keep of the deployed model's answers.
        if recipe["distillation"] > 0 and not args.scratch:
            with torch.no_grad():
                soft = deployed(x[of_site:]).softmax(1)
            y[of_site:] = (1 - recipe["distillation"]) * y[of_site:] + recipe["distillation"] * soft
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"progress {0.95 * step / steps:.3f} step {step} of {steps}, loss {loss.item():.4f}", flush=True)

    network.eval()
    out.mkdir(parents=True, exist_ok=True)
    axes = {"pixels": {0: "batch"}, "logits": {0: "batch"}}
    torch.onnx.export(
        network, (torch.zeros(1, 3, SIZE, SIZE),), str(out / "model.onnx"),
        input_names=["pixels"], output_names=["logits"], dynamic_axes=axes, dynamo=False,
    )
    result = {"formatVersion": 1, "steps": steps, "loss": round(loss.item(), 6), "notes": ["PyTorch, fp32, no blend"]}
    beside = out / "result.json.new"
    beside.write_text(json.dumps(result))
    os.replace(beside, out / "result.json")


if __name__ == "__main__":
    main()
