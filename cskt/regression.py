"""From discovered points to landmarks: ridge regression without intercept, forward and backward error (spec 4.5)."""

from collections.abc import Sequence

import numpy as np


def ridge(x: np.ndarray, y: np.ndarray, r: float = 1e-4) -> np.ndarray:
    """Return the matrix [q, p] that takes x to y: `Y'X (X'X + r max(X'X) I)^-1`.

    Args:
        x: [N, p]; centered by the caller: there is no intercept.
        y: [N, q].
        r: regularization, as a share of the largest entry of X'X.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> ridge(x, x @ np.array([[2.0, 0.0], [1.0, 3.0]]).T, r=0.0).round(6).tolist()
        [[2.0, 0.0], [1.0, 3.0]]
    """
    gram = x.T @ x
    return np.linalg.solve(gram + r * gram.max() * np.eye(len(gram)), x.T @ y).T


def regressed(points: np.ndarray, landmarks: np.ndarray, new: np.ndarray, r: float = 1e-4) -> np.ndarray:
    """Landmarks [M, L, 2] of new faces, regressed from their points by what N faces show.

    Args:
        points, landmarks: of the N faces, [N, K, 2] and [N, L, 2], as shares of the crop's side; a face with a missing
            landmark (NaN) teaches nothing.
        new: points of the other faces, [M, K, 2].
        r: see `ridge`.

    Raises:
        ValueError: no face has all landmarks.
    """
    whole = np.isfinite(landmarks).all(axis=(1, 2))
    if not whole.any():
        raise ValueError("no face has all landmarks: there is nothing to learn from")
    matrix = ridge(points[whole].reshape(whole.sum(), -1) - 0.5, landmarks[whole].reshape(whole.sum(), -1) - 0.5, r)
    return ((new.reshape(len(new), -1) - 0.5) @ matrix.T).reshape(len(new), -1, 2) + 0.5


def mean_error(found: np.ndarray, true: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Mean distance of each face's points over its norm, [N]; of points that are not NaN; NaN where all are."""
    distance = np.linalg.norm(found - true, axis=-1)
    seen = ~np.isnan(distance)
    return np.where(seen, distance, 0).sum(axis=1) / np.where(seen.any(axis=1), seen.sum(axis=1), np.nan) / norm


def inter_ocular(landmarks: np.ndarray, left: Sequence[int], right: Sequence[int]) -> np.ndarray:
    """Distance of two eyes (or corners), each the mean of some landmarks, [N]; NaN where one is missing."""
    return np.linalg.norm(landmarks[:, list(left)].mean(axis=1) - landmarks[:, list(right)].mean(axis=1), axis=-1)
