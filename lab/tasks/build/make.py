"""Makes the photos of a task and its two models.

    python make.py NAME [--sources .work] [--only photos|edge|cloud]

Models are trained on the committed photos. Their accuracies on every split are printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

from photos import read, write

DATA = Path(__file__).resolve().parent.parent / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["fashion", "instruments", "letters", "scripts", "water"])
    parser.add_argument("--sources", type=Path, default=Path(".work"))
    parser.add_argument("--only", choices=["photos", "edge", "cloud"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    task = importlib.import_module(options.task)
    out = DATA / options.task
    if options.only in (None, "photos"):
        write(task.make(options.sources), out)
    index, splits = read(out)
    print({name: len(labels) for name, (_, labels) in splits.items()}, flush=True)
    for role, recipe in {"edge": task.EDGE, "cloud": task.CLOUD}.items():
        if options.only not in (None, role):
            continue
        import models

        models.torch.set_num_threads(options.threads)
        started = time.monotonic()
        report = models.make(recipe, splits, index["labels"], index["frameSide"], out / role, 1)
        print(role, json.dumps(report), f"{time.monotonic() - started:.0f} s", flush=True)
    print(sum(path.stat().st_size for path in out.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
