"""What grows with the data: time per item and memory, from a thousand annotations to a million."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cskt import geometry
from cskt.data.augment import Augmentation
from cskt.data.datasets import Crops, LabeledSet, batch_indices, labeled_batch
from cskt.data.table import Annotations
from cskt.mining import Pool
from cskt.speed.material import SCHEME, plain
from cskt.speed.timing import anonymous_memory, race

CPU = torch.device("cpu")
PAGE = 4096  # bytes of the smallest page of memory


def annotations(sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)) -> list[dict[str, Any]]:
    """Looking up annotations, drawing a batch and remembering pseudo-labels, per item, by the rows of the table."""
    return [row for size in sizes for row in _annotations(size)]


def _annotations(size: int, batch: int = 16) -> list[dict[str, Any]]:
    loops = plain("loops")
    problems = pd.DataFrame(columns=["image", "file", "line", "problem", "action"])
    table = pd.DataFrame({"image": [f"animal_{k}.jpg" for k in range(size)]})
    table = table.assign(path="", species="animal", family="", split="", x=0.0, y=0.0, w=100.0, h=100.0)
    faces = Annotations(table, SCHEME, problems)
    pool, labels = Pool(np.ones(size, dtype=bool), len(SCHEME.landmarks)), torch.zeros(batch, len(SCHEME.landmarks), 2)
    names = [f"animal_{k}.jpg" for k in np.random.default_rng(0).integers(0, size, 5)]
    steps = iter(range(10**9))

    def search():
        return [loops.look_up(table, name) for name in names]

    def select():
        return faces.select(table["image"])

    def draw():
        return batch_indices(size, batch, 0, next(steps))

    def remember():
        pool.put(draw(), labels)
        return pool.size

    done = {
        "plain: the table is searched for each item": (search, len(names)),
        "cskt: all annotations selected once": (select, size),
        "cskt: rows of a batch drawn": (draw, batch),
        "cskt: pseudo-labels of a batch remembered": (remember, batch),
    }
    times = race({name: run for name, (run, _) in done.items()}, seconds=0.5, least=3, warm=False)
    return [
        {"what": name, "size": size, "unit": "annotations", "seconds": np.median(times[name]) / items, "memory": np.nan}
        for name, (_, items) in done.items()
    ]


def crops(sizes: tuple[int, ...] = (1_000, 5_000, 20_000), side: int = 256, batch: int = 20) -> list[dict[str, Any]]:
    """Batches out of a cache of so many crops: time per item, and memory of the process beside the file.

    The file is sparse, and each of its pages is read once before: what is measured is the gathering, not the
    disk and not the first touch of a page.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            file = Path(folder) / f"{size}.npy"
            np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(size, side, side, 3))
            cached = np.load(file, mmap_mode="r")
            for first in range(0, size, 500):
                cached[first : first + 500].reshape(-1)[::PAGE].sum()
            boxes = torch.tensor([[0.0, 0.0, side, side]]).double().expand(size, 4)
            table = pd.DataFrame({"image": np.arange(size).astype(str)})
            data = LabeledSet(table, Crops.of(cached), side, SCHEME, geometry.crop_matrix(boxes, side),
                              np.full(size, float(side)), torch.zeros(size, len(SCHEME.landmarks), 2))  # fmt: skip
            steps = iter(range(10**9))

            def gather(size=size, data=data, steps=steps):
                rows = batch_indices(size, batch, 0, next(steps))
                generator = torch.Generator().manual_seed(0)
                return labeled_batch(data, rows, Augmentation(), generator, CPU)

            gather()
            before = anonymous_memory()
            seconds = np.median(race({"gather": gather}, seconds=2.0, least=5, warm=False)["gather"]) / batch
            rows.append({"what": "cskt: item of a batch from the crop cache", "size": size, "unit": "crops",
                         "seconds": seconds, "memory": anonymous_memory() - before})  # fmt: skip
    return rows
