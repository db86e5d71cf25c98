"""The face shape that knows the box only: the reference line that every model has to beat."""

import warnings
from typing import Literal

import numpy as np


def fit_shape(landmarks: np.ndarray, boxes: np.ndarray, statistic: Literal["mean", "median"] = "mean") -> np.ndarray:
    """Return the mean or median place of each landmark in the box.

    Args:
        landmarks: in image pixels, [N, L, 2]; NaN where missing.
        boxes: x, y, w, h in image pixels, [N, 4].
        statistic: taken over the images, for x and y apart.

    Returns:
        [L, 2] in box units: (0, 0) is the box's top-left corner, (1, 1) its bottom-right one; NaN for a landmark
        that no image has.

    Source: the reference lines of AnimalWeb's boxes, which are derived from the landmarks and so tell much of them.
    """
    places = (landmarks - boxes[:, None, :2]) / boxes[:, None, 2:]
    with warnings.catch_warnings():
        # numpy warns of a landmark that no image has; NaN says it
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(places, axis=0) if statistic == "mean" else np.nanmedian(places, axis=0)


def place_shape(shape: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return a shape in box units [L, 2] as landmarks in image pixels [N, L, 2], one for each box [N, 4].

    Example:
        >>> place_shape(np.array([[0.5, 0.25]]), np.array([[10.0, 20.0, 100.0, 40.0]])).tolist()
        [[[60.0, 30.0]]]
    """
    return shape * boxes[:, None, 2:] + boxes[:, None, :2]
