"""Landmarks drawn into copies of whole pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor, to_pil_image
from torchvision.utils import draw_bounding_boxes, draw_keypoints

from cskt.data.datasets import read_image
from cskt.data.table import Annotations, landmark_columns
from cskt.files import atomic_path


def draw_landmarks(predictions: pd.DataFrame, faces: Annotations, folder: str | Path) -> None:
    """Draw predicted landmarks and the face box into a copy of each picture.

    Args:
        predictions: from `predict.predict`.
        faces: the same pictures, with path and box.
        folder: where `<name>.png` is written for each picture.
    """
    faces = faces.select(predictions["image"])
    points = predictions[landmark_columns(faces.scheme)].to_numpy(float).reshape(len(faces), -1, 2)
    for name, path, box, landmarks in zip(faces.table["image"], faces.table["path"], faces.boxes, points, strict=True):
        with atomic_path(Path(folder) / f"{Path(name).stem}.png") as temporary:
            draw_one(read_image(path), box, landmarks).save(temporary)


def draw_one(picture: Image.Image, box: np.ndarray, landmarks: np.ndarray) -> Image.Image:
    """One picture with its box x, y, w, h and landmarks [L, 2] (image pixels) drawn in, in sizes that suit it."""
    x, y, w, h = box
    size = max(1, round(np.hypot(w, h) / 90))
    canvas = draw_bounding_boxes(
        pil_to_tensor(picture), torch.tensor([[x, y, x + w, y + h]]), colors="white", width=max(1, size // 2)
    )
    canvas = draw_keypoints(canvas, torch.tensor(landmarks)[None], colors="yellow", radius=size + 1)
    return to_pil_image(draw_keypoints(canvas, torch.tensor(landmarks)[None], colors="red", radius=size))
