"""AP-10K's benchmark: from a predictions table to OKS-AP by its test recipe, and the published numbers beside ours.

Recipe (spec 6.3): annotated boxes, heatmaps averaged with those of the mirror image (`predict(..., average=True)`), the
score of a detection by `oks.detection_score`, suppression at OKS 0.9 within a picture, AP by pycocotools.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cskt import oks
from cskt.data.table import Annotations, landmark_columns


def evaluate(
    predictions: pd.DataFrame, truth: Annotations, details: pd.DataFrame, sigmas: np.ndarray, visible: float = 0.2,
    resamples: int = 200,
) -> pd.DataFrame:  # fmt: skip
    """Return OKS-AP over all categories and of each; a detection carries the category of its annotated box.

    Args:
        predictions: by `predict.predict`.
        truth: annotations of the same instances.
        details: picture and area of each instance, by image (`data.ap10k.instance_details`).
        sigmas: of each landmark, [L]; one of `oks.SIGMAS`.
        visible: confidence above which a landmark counts in the score.
        resamples: of the pictures, for the interval of AP.

    Returns:
        See `oks.average_precision`.
    """
    truth = truth.select(predictions["image"])
    about = details.set_index("image").loc[predictions["image"], ["picture", "area"]].reset_index(drop=True)
    table = about.assign(category=truth.table["species"].to_numpy(), **truth.table[list("xywh")])
    landmarks = predictions[landmark_columns(truth.scheme)].to_numpy(float).reshape(len(predictions), -1, 2)
    confidence = predictions[[f"{name}_confidence" for name in truth.scheme.landmarks]].to_numpy(float)
    score = oks.detection_score(confidence, np.ones(len(table)), visible)
    detections = table[["picture", "category"]].assign(score=score)
    box_area = (table["w"] * table["h"]).to_numpy()
    kept = np.concatenate(
        [
            rows[oks.suppress(landmarks[rows], score[rows], box_area[rows], np.asarray(sigmas))]
            for rows in table.groupby("picture").indices.values()
        ]
    )
    return oks.average_precision(table, truth.landmarks, detections.iloc[kept], landmarks[kept], sigmas, resamples)


def published() -> pd.DataFrame:
    """The published numbers on AP-10K's test part of split 1 with annotated boxes (spec 6.5): source, model, AP."""
    return pd.read_csv(Path(__file__).parent / "data" / "ap10k_benchmark.csv")


def beside_published(ours: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The published table with our models below it.

    Args:
        ours: name of a model -> its table by `evaluate`.
    """
    columns = list(published())[2:]
    rows = [{"source": "ours", "model": name, **table.iloc[0][columns]} for name, table in ours.items()]
    return pd.concat([published(), pd.DataFrame(rows)], ignore_index=True)
