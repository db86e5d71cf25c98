"""Small data sets, networks and notebooks for tests: faces that are nine colored dots, in memory or on disk."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cskt import geometry
from cskt.config import VARIANTS
from cskt.data.augment import Augmentation
from cskt.data.datasets import LabeledSet, UnlabeledSet
from cskt.data.table import Annotations, landmark_columns
from cskt.heatmaps import CODECS
from cskt.landmarks import SCHEMES
from cskt.methods.meta_cskt import MetaCSKT, Options
from cskt.methods.supervised import Surroundings
from cskt.models import NETWORKS, LandmarkNet
from cskt.models.unet import UNet
from cskt.training import step_generator

SCHEME = SCHEMES["animalweb9"]
# places in the box, roughly those of a face
SHAPE = np.array(
    [[0.25, 0.3], [0.4, 0.3], [0.6, 0.3], [0.75, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7], [0.5, 0.65], [0.5, 0.8]]
)


def code_cell(source: str, *tags: str, outputs=()) -> dict:
    kind = {"cell_type": "code", "execution_count": None, "outputs": list(outputs)}
    return kind | {"metadata": {"tags": list(tags)}, "source": source}


def write_notebook(path: Path, *cells: dict, **metadata) -> Path:
    """Write a notebook of these cells, of Python; without nbformat, whose import takes seconds."""
    for number, cell in enumerate(cells):
        cell["id"] = f"cell{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}} | metadata
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": list(cells)}))
    return path


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


# --- a tiny network, and Meta-CSKT with it

CPU = torch.device("cpu")
SIZE, CELLS = 32, 16
PLAIN = dict.fromkeys(("labeled", "weak", "strong"), Augmentation())
VIEWS = {
    "labeled": Augmentation(rotation=20, scale=0.1, flip=0.5, color=0.3),
    "weak": Augmentation(rotation=5, flip=0.5),
    "strong": Augmentation(rotation=40, scale=0.2, shift=0.05, flip=0.5, color=0.4, cutout=2),
}
PUBLISHED = {k.lower(): v for k, v in VARIANTS["published"].items() if hasattr(Options, k.lower())}


def use_tiny_network(monkeypatch):
    """Make "tiny" a network."""
    monkeypatch.setitem(NETWORKS, "tiny", (lambda landmarks, weights: UNet(landmarks, width=4), 2))


def few_shot(output="softmax", seed=0):
    torch.manual_seed(seed)
    return LandmarkNet("tiny", SCHEME.name, 9, SIZE, output)


def meta_cskt(labeled=None, unlabeled=None, positive=None, views=PLAIN, output="softmax", codec="subpixel", **options):
    options = {"batch_labeled": 4, "batch_unlabeled": 4, "teacher_ema": 0.0} | options
    labeled, unlabeled = labeled or labeled_faces(4), unlabeled or unlabeled_faces(8)
    positive = np.ones(len(unlabeled), dtype=bool) if positive is None else positive
    around = Surroundings(CODECS[codec], CPU, "float32", seed=0)
    return MetaCSKT(few_shot(output), labeled, unlabeled, positive, around, Options(**options), views)


def run(method, steps, lr=1e-3, first=0):
    """Take steps; return the losses of the last one as numbers."""
    for step in range(first, first + steps):
        losses = method.step(step, lr, step_generator(0, step))
    return {name: float(value) for name, value in losses.items()}


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def statistics(net):
    return torch.cat([b.flatten().double() for name, b in net.named_buffers() if "running" in name])


def same(a, b):
    """Whether two states are equal to the bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.array_equal(a.numpy(), b.numpy(), equal_nan=a.is_floating_point()) if torch.is_tensor(a) else a == b
