"""Landmarks written as other programs read them: COCO keypoints, DeepLabCut's CSV; labels and predictions alike."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from cskt.data.folder import picture_size
from cskt.data.table import Annotations

SCORER = "cskt"


def coco_content(faces: Annotations, confidence: np.ndarray | None = None) -> dict[str, Any]:
    """Faces with landmarks as the content of a COCO keypoint file, one category per species.

    Args:
        faces: with boxes and landmarks (image pixels; NaN where missing), and image files for the pictures' sizes.
        confidence: of each predicted landmark, [N, L]; then each annotation has `score` (their mean) and
            `keypoint_scores`.

    Returns:
        A dict fit for JSON, every number with all its digits; landmarks that are missing are 0, 0, 0.
    """
    table, scheme = faces.table, faces.scheme
    species = sorted(set(table["species"]))
    family = dict(zip(table["species"], table["family"], strict=True))
    categories = [
        {"id": k, "name": name, "supercategory": family[name], "keypoints": list(scheme.landmarks), "skeleton": []}
        for k, name in enumerate(species, start=1)
    ]
    images: dict[str, dict] = {}
    entries = []
    rows = zip(table["image"], table["path"], table["species"], faces.boxes.tolist(), faces.landmarks, strict=True)
    for number, (name, path, kind, box, landmarks) in enumerate(rows, start=1):
        file = picture_of(name, path)
        if file not in images:
            width, height = picture_size(path) or (0, 0)
            images[file] = {"id": len(images) + 1, "file_name": file, "width": width, "height": height}
        there = np.isfinite(landmarks).all(axis=-1)
        points = [[float(x), float(y), 2] if seen else [0, 0, 0] for (x, y), seen in zip(landmarks, there, strict=True)]
        entry = {"id": number, "image_id": images[file]["id"], "category_id": species.index(kind) + 1, "iscrowd": 0,
                 "bbox": box, "area": box[2] * box[3], "num_keypoints": int(there.sum()),
                 "keypoints": [value for point in points for value in point]}  # fmt: skip
        if confidence is not None:
            own = confidence[number - 1]
            entry |= {"score": float(own.mean()), "keypoint_scores": own.tolist()}
        entries.append(entry)
    return {"images": list(images.values()), "annotations": entries, "categories": categories}


def deeplabcut_csv(faces: Annotations, confidence: np.ndarray | None = None, scorer: str = SCORER) -> str:
    """Faces with landmarks as the text of DeepLabCut's CSV, one row per picture.

    Args:
        faces: with landmarks (image pixels; NaN where missing: an empty field); of one face per picture.
        confidence: of each predicted landmark, [N, L]: DeepLabCut's column likelihood.
        scorer: whose labels these are.
    """
    names = faces.table["image"].tolist()
    # DeepLabCut has a column for each part of labeled-data/video/picture.png, others one for the whole path
    wide = all(name.count("/") == 2 for name in names)
    axes = ["x", "y"] if confidence is None else ["x", "y", "likelihood"]
    parts = [part for part in faces.scheme.landmarks for _ in axes]
    gap = [""] * 2 if wide else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scorer", *gap, *[scorer] * len(parts)])
    writer.writerow(["bodyparts", *gap, *parts])
    writer.writerow(["coords", *gap, *axes * len(faces.scheme.landmarks)])
    values = faces.landmarks
    if confidence is not None:
        values = np.concatenate([values, confidence[..., None]], axis=-1)
    for name, row in zip(names, values.reshape(len(names), -1).tolist(), strict=True):
        fields = ["" if np.isnan(value) else repr(value) for value in row]
        writer.writerow([*(name.split("/") if wide else [name]), *fields])
    return text.getvalue()


def picture_of(name: str, path: str | Path) -> str:
    """The name of a face's picture: that of the face, without the "#2" of one face among several in a picture."""
    return name if name.endswith(Path(path).name) else name.rpartition("#")[0]
