"""Face boxes where a file has none: from the landmarks, as AnimalWeb's were made, or the whole picture."""

import numpy as np


def box_of(landmarks: np.ndarray, width: int, height: int) -> np.ndarray:
    """AnimalWeb's face box (x, y, w, h) of landmarks [L, 2], pixels: spec 1.2's margins, cut at the image's edge.

    Missing landmarks (NaN) are left out.

    Example:
        >>> box_of(np.array([[50.0, 60.0], [90.0, 80.0]]), 200, 200).round(2).tolist()
        [28.76, 42.32, 81.98, 54.19]
    """
    low, high = np.nanmin(landmarks, axis=0), np.nanmax(landmarks, axis=0)
    extent = high - low
    low = np.maximum(low - [0.5, 0.8] * extent - [1.24, 1.68], 0)
    high = np.minimum(high + [0.5, 0.8] * extent + [0.74, 0.51], [width - 1, height - 1])
    return np.concatenate([low, high - low])


def is_extent(box: np.ndarray, landmarks: np.ndarray, slack: float = 1.0) -> bool:
    """Whether a box is just the landmarks' own extent, within `slack` pixels, as CVAT and Label Studio write it.

    Example:
        >>> is_extent(np.array([2.0, 3.0, 4.0, 5.0]), np.array([[2.0, 8.0], [6.0, 3.0]]))
        True
    """
    low, high = np.nanmin(landmarks, axis=0), np.nanmax(landmarks, axis=0)
    return bool(np.abs(np.concatenate([box[:2] - low, box[:2] + box[2:] - high])).max() <= slack)
