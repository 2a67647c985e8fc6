"""Makes the photos of a task and its two models.

    python make.py NAME [--sources .work] [--photos]

`--photos`: leaves the models as they are. The accuracies on every split are printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

from photos import write

DATA = Path(__file__).resolve().parent.parent / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["fashion", "instruments", "letters", "scripts", "water"])
    parser.add_argument("--sources", type=Path, default=Path(".work"))
    parser.add_argument("--photos", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    task = importlib.import_module(options.task)
    out = DATA / options.task
    made = task.make(options.sources)
    splits = write(made, out)
    print({name: len(labels) for name, (_, labels) in splits.items()})
    if not options.photos:
        import torch

        import models

        torch.set_num_threads(options.threads)
        for role, recipe in {"edge": task.EDGE, "cloud": task.CLOUD}.items():
            started = time.monotonic()
            report = models.make(recipe, splits, made.labels, made.frame_side, out / role, 1)
            print(role, json.dumps(report), f"{time.monotonic() - started:.0f} s")
    print(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
