"""Which pseudo-labels to trust: the four criteria for web images, and the paper's mining as a fifth: rankings.

Stathopoulos, Han and Metaxas, "Learning articulated shape with keypoint pseudo-labels from web images", CVPR 2023;
exact forms: spec 5.3. There are no thresholds: images are ranked and the first are kept. All functions take prediction
tables (`predict.predict`) of the same images and return one number per image.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

SIDE = 256  # of the frame in which distances are measured, pixels
# criterion -> whether its large values are the good ones
LARGE_IS_GOOD = {"kp_conf": True, "cf_mt": False, "cf_cm": False, "cf_cm2": False, "mining": False}
# how a criterion is called in figures and tables
NAMES = {
    "kp_conf": "KP-Conf",
    "cf_mt": "CF-MT: six views",
    "cf_cm": "CF-CM: another network",
    "cf_cm2": "CF-CM²: 3-D shape",
    "mining": "mining of the paper",
}
# of cf_mt: (scale, rotation in degrees)
TRANSFORMS = ((1.1, 0.0), (1.2, 0.0), (1.0, -20.0), (1.0, -10.0), (1.0, 10.0), (1.0, 20.0))


def places(table: pd.DataFrame, landmarks: Sequence[str]) -> np.ndarray:
    """Landmarks [N, L, 2] of a prediction table, image pixels."""
    return np.stack([table[[f"{name}_x", f"{name}_y"]].to_numpy(float) for name in landmarks], axis=1)


def kp_conf(table: pd.DataFrame, landmarks: Sequence[str]) -> np.ndarray:
    """KP-Conf: sum over the landmarks of an image of their confidence, each divided by the image's largest, [N]."""
    peaks = table[[f"{name}_confidence" for name in landmarks]].to_numpy(float)
    return (peaks / peaks.max(axis=1, keepdims=True)).sum(axis=1)


def distance(a: np.ndarray, b: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean distance of two predictions of the same landmarks, each box scaled to 256 x 256 pixels.

    Args:
        a, b: in image pixels, [N, L, 2].
        sizes: width and height of each image's box in image pixels, [N, 2].

    Returns:
        [N]

    Example:
        >>> distance(np.zeros((1, 1, 2)), np.array([[[3.0, 8.0]]]), np.array([[256.0, 512.0]])).tolist()
        [5.0]
    """
    scaled = (a - b) * SIDE / sizes[:, None]
    return np.linalg.norm(scaled, axis=-1).mean(axis=-1)


def cf_mt(
    table: pd.DataFrame, views: Sequence[pd.DataFrame], landmarks: Sequence[str], sizes: np.ndarray
) -> np.ndarray:
    """CF-MT: distance of the plain prediction from the mean of those of transformed views, moved back, [N].

    Args:
        table: the plain predictions.
        views: those of the six `TRANSFORMS`.
        landmarks: names.
        sizes: width and height of each image's box, [N, 2].
    """
    mean = np.mean([places(view, landmarks) for view in views], axis=0)
    return distance(places(table, landmarks), mean, sizes)


def cf_cm(table: pd.DataFrame, other: pd.DataFrame, landmarks: Sequence[str], sizes: np.ndarray) -> np.ndarray:
    """CF-CM: distance of the main network's prediction from an auxiliary network's, [N].

    CF-CM2 is the same with the landmarks that a 3-D model fitted to the image reprojects as `other`.
    """
    return distance(places(table, landmarks), places(other, landmarks), sizes)


def mined(table: pd.DataFrame, t_neg: float) -> np.ndarray:
    """The paper's mining as a ranking: human disagreement, and infinity for hard negatives, [N].

    Args:
        table: human_disagreement and flip_disagreement of each image (`mining.disagreements`).
        t_neg: flip disagreement from which on an image is a hard negative.
    """
    negative = table["flip_disagreement"].to_numpy() >= t_neg
    return np.where(negative, np.inf, table["human_disagreement"].to_numpy(float))


def best(scores: np.ndarray, criterion: str, count: int | None = None) -> np.ndarray:
    """Rows of the images that a criterion likes best, the best first.

    Args:
        scores: of the criterion, [N]; one that is infinite is never taken.
        criterion: a key of `LARGE_IS_GOOD`.
        count: how many; None: all. Where there are fewer that may be taken, those.

    Example:
        >>> best(np.array([0.3, 0.1, 0.2]), "cf_mt", 2).tolist(), best(np.array([0.3, 0.1, 0.2]), "kp_conf", 1).tolist()
        ([1, 2], [0])
    """
    if np.isnan(scores).any():
        raise ValueError(f"{criterion}: {np.isnan(scores).sum()} of {len(scores)} images have no score")
    order = np.argsort(-scores if LARGE_IS_GOOD[criterion] else scores, kind="stable")
    return order[np.isfinite(scores[order])][:count]
