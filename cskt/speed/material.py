"""What is measured on: photographs with labels, heatmaps, networks; and the plain loops of tests/reference."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch
from PIL import Image

from cskt import config
from cskt.data.annotations import read_animalweb
from cskt.data.table import Annotations
from cskt.errors import DataError
from cskt.landmarks import SCHEMES
from cskt.models import LandmarkNet
from cskt.models.checkpoints import original_key

SCHEME = SCHEMES["animalweb9"]
WIDTH, HEIGHT = 1024, 683  # 0.7 megapixels
FACE = 560  # side of the face box, pixels


def plain(name: str) -> ModuleType:
    """A module of tests/reference.

    Raises:
        DataError: this is no checkout of the project.
    """
    tests = config.PROJECT / "tests"
    if not (tests / "reference").is_dir():
        raise DataError(f"{tests / 'reference'}: not there; only a checkout of the project can be measured")
    if str(tests) not in sys.path:
        sys.path.append(str(tests))
    return importlib.import_module(f"reference.{name}")


def photographs(folder: Path, count: int, seed: int = 0) -> Annotations:
    """Write photographs of 0.7 megapixels (noise as rough as a photograph's) with landmarks in AnimalWeb's layout."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    names = [f"animal_{k}.jpg" for k in range(count)]
    boxes = []
    for name in names:
        _photograph(rng).save(folder / "images" / name, quality=90)
        box = np.array([rng.uniform(20, WIDTH - FACE - 20), rng.uniform(10, HEIGHT - FACE - 10), FACE, FACE * 0.9])
        points = box[:2] + rng.uniform(0.1, 0.9, (len(SCHEME.landmarks), 2)) * box[2:]
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        (folder / "images" / name).with_suffix(".pts").write_text(f"version: 1\nn_points: 9\n{{\n{lines}\n}}\n")
        boxes.append(box)
    pd.DataFrame(boxes, columns=list("xywh")).assign(img=names).to_csv(folder / "bbox.csv", index=False)
    (folder / "all.txt").write_text("\n".join(names) + "\n")
    return read_animalweb(folder, "all.txt", species="animal")


def _photograph(rng):
    # amplitudes fall with the frequency, as in photographs
    y, x = np.meshgrid(np.fft.fftfreq(HEIGHT), np.fft.rfftfreq(WIDTH), indexing="ij")
    fall = 1 / np.maximum(np.hypot(x, y), 1 / WIDTH) ** 1.2
    waves = np.fft.rfft2(rng.normal(size=(3, HEIGHT, WIDTH))) * fall
    picture = np.fft.irfft2(waves, s=(HEIGHT, WIDTH))
    picture = 128 + 50 * (picture - picture.mean()) / picture.std()
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


def long_table(faces: Annotations, rows: int) -> pd.DataFrame:
    """A table of so many rows that ends with the given faces: names and boxes."""
    others = pd.DataFrame({"image": [f"other_{k}.jpg" for k in range(rows - len(faces))]})
    others = others.assign(x=0.0, y=0.0, w=100.0, h=100.0)
    return pd.concat([others, faces.table[["image", "x", "y", "w", "h"]]], ignore_index=True)


def noisy_heatmaps(count: int, cells: int, noise: float = 0.02, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Heatmaps [B, L, cells, cells] of random places with noise on them, and the places [B, L, 2]."""
    from cskt.heatmaps import encode

    generator = torch.Generator().manual_seed(seed)
    places = 3 + torch.rand(count, len(SCHEME.landmarks), 2, generator=generator) * (cells - 7)
    maps = encode(places, cells)
    return maps + noise * torch.randn(maps.shape, generator=generator), places


def networks(size: int, seed: int = 0, lift: float = 0.0) -> tuple[LandmarkNet, torch.nn.Module]:
    """HRNet-W18 twice with the same weights, ours and the plain one; maps of the size of heatmaps, raised by `lift`."""
    original = plain("hrnet").original_weights(len(SCHEME.landmarks), seed)
    net = LandmarkNet("hrnet_w18", SCHEME.name, len(SCHEME.landmarks), size, "linear")
    # random weights make maps of any size: bring them to that of heatmaps
    with torch.no_grad():
        last = original.head[-1]
        largest = original(torch.rand(1, 3, size, size)).abs().max()
        last.weight.div_(largest)
        last.bias.div_(largest).add_(lift)
    net.net.load_state_dict({original_key(key): value for key, value in original.state_dict().items()})
    return net.eval(), original.eval()


def largest(expected: torch.Tensor | np.ndarray, found: torch.Tensor | np.ndarray) -> float:
    """The largest difference between two arrays."""
    return float(np.abs(np.asarray(expected, dtype=float) - np.asarray(found, dtype=float)).max())
