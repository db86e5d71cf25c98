"""Landmarks written as other programs read them: COCO keypoints, DeepLabCut's CSV; labels and predictions alike."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cskt.data.pictures import picture_size
from cskt.data.table import Annotations, landmark_columns, with_landmarks
from cskt.files import write_csv, write_json, write_text

SCORER = "cskt"


def coco_content(faces: Annotations, confidence: np.ndarray | None = None) -> dict[str, Any]:
    """Faces with landmarks as the content of a COCO keypoint file, one category per species.

    Args:
        faces: with boxes, landmarks (image pixels; NaN where missing) unless read without labels, and image files for
            the pictures' sizes.
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
    points = faces.landmarks if faces.has_landmarks else np.full((len(faces), len(scheme.landmarks), 2), np.nan)
    rows = zip(table["image"], table["path"], table["species"], faces.boxes.tolist(), points, strict=True)
    for number, (name, path, kind, box, landmarks) in enumerate(rows, start=1):
        file = picture_of(name, path)
        if file not in images:
            width, height = picture_size(path) or (0, 0)
            images[file] = {"id": len(images) + 1, "file_name": file, "width": width, "height": height}
        there = np.isfinite(landmarks).all(axis=-1)
        own = [[float(x), float(y), 2] if seen else [0, 0, 0] for (x, y), seen in zip(landmarks, there, strict=True)]
        entry = {"id": number, "image_id": images[file]["id"], "category_id": species.index(kind) + 1, "iscrowd": 0,
                 "bbox": box, "area": box[2] * box[3], "num_keypoints": int(there.sum()),
                 "keypoints": [value for point in own for value in point]}  # fmt: skip
        if confidence is not None:
            sure = confidence[number - 1]
            entry |= {"score": float(sure.mean()), "keypoint_scores": sure.tolist()}
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


def write_predictions(
    predictions: pd.DataFrame,
    faces: Annotations,
    out: str | Path,
    *,
    coco: str | Path | None = None,
    deeplabcut: str | Path | None = None,
) -> list[str]:
    """Write predicted landmarks, as one or several files.

    Args:
        predictions: by `predict.predict`.
        faces: the same pictures, with path and box.
        out: CSV of the predictions as they are, or COCO keypoints if it ends in .json.
        coco, deeplabcut: further files, of these formats.

    Returns:
        The files' names.
    """
    names = [f"{name}_confidence" for name in faces.scheme.landmarks]
    own = faces.select(predictions["image"]).without_landmarks()
    landmarks = predictions[landmark_columns(faces.scheme)].to_numpy(float).reshape(len(own), -1, 2)
    own = replace(own, table=with_landmarks(own.table, faces.scheme, landmarks))
    confidence = predictions[names].to_numpy(float)
    if Path(out).suffix.lower() == ".json":
        write_json(out, coco_content(own, confidence))
    else:
        write_csv(out, predictions)
    if coco is not None:
        write_json(coco, coco_content(own, confidence))
    if deeplabcut is not None:
        write_text(deeplabcut, deeplabcut_csv(own, confidence))
    return [str(path) for path in (out, coco, deeplabcut) if path is not None]


def picture_of(name: str, path: str | Path) -> str:
    """The name of a face's picture: that of the face, without the "#2" of one face among several in a picture."""
    return name if name.endswith(Path(path).name) else name.rpartition("#")[0]
