"""Landmarks drawn into copies of whole pictures."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor, to_pil_image
from torchvision.utils import draw_bounding_boxes, draw_keypoints

from cskt.data.datasets import read_image
from cskt.data.table import Annotations, landmark_columns
from cskt.errors import DataError
from cskt.files import atomic_path
from cskt.progress import bar


def draw_landmarks(predictions: pd.DataFrame, faces: Annotations, folder: str | Path) -> None:
    """Draw predicted landmarks and the face box into a copy of each picture.

    Args:
        predictions: from `predict.predict`.
        faces: the same pictures, with path and box.
        folder: where the drawings go, by `drawing_name`.
    """
    faces = faces.select(predictions["image"])
    points = predictions[landmark_columns(faces.scheme)].to_numpy(float).reshape(len(faces), -1, 2)
    rows = list(zip(faces.table["image"], faces.table["path"], faces.boxes, points, strict=True))
    for name, path, box, landmarks in bar(rows, desc="drawing", unit="picture", leave=False):
        with atomic_path(Path(folder) / drawing_name(name)) as temporary:
            draw_one(read_image(path), box, landmarks).save(temporary, quality=92)


def drawing_name(name: str) -> str:
    """The file that a picture is drawn into: its own name and folder, with .png behind what is neither PNG nor JPEG.

    Example:
        >>> drawing_name("barn/cow_1.jpg"), drawing_name("barn/cow_1.tif")
        ('barn/cow_1.jpg', 'barn/cow_1.tif.png')
    """
    return name if name.lower().endswith((".png", ".jpg", ".jpeg")) else f"{name}.png"


def drawings(names: Iterable[str], folder: str | Path) -> list[Path]:
    """The files that `draw_landmarks` writes.

    Raises:
        DataError: two pictures would be drawn into one file (a.tif and a.tif.png).
    """
    names = list(names)
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(drawing_name(name), name)) != name:
            raise DataError(f"{other} and {name} would be drawn into one file, {drawing_name(name)}: rename one")
    return [Path(folder) / drawing_name(name) for name in names]


def draw_one(picture: Image.Image, box: np.ndarray, landmarks: np.ndarray) -> Image.Image:
    """One picture with its box x, y, w, h and landmarks [L, 2] (image pixels) drawn in, in sizes that suit it."""
    x, y, w, h = box
    size = max(1, round(np.hypot(w, h) / 90))
    canvas = draw_bounding_boxes(
        pil_to_tensor(picture), torch.tensor([[x, y, x + w, y + h]]), colors="white", width=max(1, size // 2)
    )
    canvas = draw_keypoints(canvas, torch.tensor(landmarks)[None], colors="yellow", radius=size + 1)
    return to_pil_image(draw_keypoints(canvas, torch.tensor(landmarks)[None], colors="red", radius=size))
