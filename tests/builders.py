"""Small data sets for tests: faces that are nine colored dots, in memory or on disk."""

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cskt import geometry
from cskt.data.datasets import LabeledSet, UnlabeledSet
from cskt.data.table import Annotations, landmark_columns
from cskt.landmarks import SCHEMES

SCHEME = SCHEMES["animalweb9"]
# places in the box, roughly those of a face
SHAPE = np.array(
    [[0.25, 0.3], [0.4, 0.3], [0.6, 0.3], [0.75, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7], [0.5, 0.65], [0.5, 0.8]]
)


def dots(landmarks, width, height, sigma=1.5):
    """A picture with a Gaussian dot of an own color at each landmark [L, 2], uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    picture = np.full((height, width, 3), 40.0)
    for k, (px, py) in enumerate(landmarks):
        color = 200 * np.array([(k >> bit) % 2 for bit in range(3)]) if k % 8 else np.array([200, 200, 200])
        picture += color * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))[..., None]
    return np.clip(picture, 0, 255).round().astype(np.uint8)


def _sets(count, size, margin, seed, prefix):
    rng = np.random.default_rng(seed)
    landmarks = (SHAPE + rng.normal(0, 0.04, (count, 9, 2))) * size - 0.5
    side = size + 2 * margin
    crops = np.stack([dots(points + margin, side, side, sigma=size / 24) for points in landmarks])
    species = ["cat", "horse"] * count
    table = pd.DataFrame({"image": [f"{prefix}_{k}.png" for k in range(count)], "species": species[:count]})
    # each box is 3 times as large as the crop, at (100, 200) of its photograph
    to_crop = geometry.crop_matrix(torch.tensor([[100.0, 200.0, 3 * size, 3 * size]] * count).double(), size)
    norm = np.full(count, 3.0 * size)
    table = table.assign(family="any", split="")
    return (table, crops, size, SCHEME, to_crop, norm), torch.from_numpy(landmarks).float()


def labeled_faces(count=4, size=32, margin=8, seed=0) -> LabeledSet:
    fields, landmarks = _sets(count, size, margin, seed, "labeled")
    return LabeledSet(*fields, landmarks)


def unlabeled_faces(count=8, size=32, margin=8, seed=1) -> UnlabeledSet:
    return UnlabeledSet(*_sets(count, size, margin, seed, "unlabeled")[0])


def write_faces(root, count=3, width=90, height=70, seed=0) -> Annotations:
    """Write pictures (.png) with .pts, bbox.csv and all.txt in AnimalWeb's layout; returns what a reader must find."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    rows, points = [], []
    for k in range(count):
        box = np.array([20.0 + 3 * k, 15.0, 40.0, 36.0 - k])
        landmarks = box[:2] + (SHAPE + rng.normal(0, 0.02, (9, 2))) * box[2:]
        name = f"cat_{k}.png"
        Image.fromarray(dots(landmarks, width, height)).save(root / "images" / name)
        lines = "\n".join(f"{x} {y}" for x, y in landmarks)
        (root / "images" / name).with_suffix(".pts").write_text(f"version: 1\nn_points: 9\n{{\n{lines}\n}}\n")
        rows.append((name, str(root / "images" / name), "cat", "felidae", "", *box))
        points.append(landmarks)
    table = pd.DataFrame(rows, columns=["image", "path", "species", "family", "split", "x", "y", "w", "h"])
    boxes = table.rename(columns={"image": "img"})[["img", "x", "y", "w", "h"]]
    boxes.to_csv(root / "bbox.csv", index=False)
    (root / "all.txt").write_text("".join(f"{name}\n" for name in table["image"]))
    table[landmark_columns(SCHEME)] = np.reshape(points, (count, -1))
    problems = pd.DataFrame(columns=["image", "file", "line", "problem", "action"])
    return Annotations(table, SCHEME, problems)
