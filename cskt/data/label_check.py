"""What looks wrong in labels: outside picture or box, left and right swapped, duplicates, far from the common shape."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cskt.data.pictures import picture_size
from cskt.data.table import Annotations

FACES = 8  # fewer do not tell what is common
SMALL = 24  # pixels: a face box whose longer side is below is said to be small
# distances in units of a face's size, the root mean square distance of its landmarks from their center
SWAP = 0.5  # two landmarks are swapped if changing them lowers the distance from the common shape to this share ...
SWAP_BEFORE = 0.35  # ... of one that is at least this
FAR, FAR_TIMES = 0.9, 4.0  # a landmark is far if it is this far off, and this many times the landmark's median


def suspicious(faces: Annotations) -> pd.DataFrame:
    """Labels that a person should look at again; most of them will be right.

    Args:
        faces: labels with boxes and picture files.

    Returns:
        One row per finding, in the order of the faces: image, landmark ("" if it is about the whole face), finding,
        detail.
    """
    names, landmarks, boxes = faces.table["image"].tolist(), faces.landmarks, faces.boxes
    found: list[tuple[int, str, str, str]] = []
    sizes = np.array([picture_size(path) or (np.nan, np.nan) for path in faces.table["path"]], dtype=float)
    for row, k in np.argwhere((landmarks == 0).all(axis=-1)):
        found.append((row, faces.scheme.landmarks[k], "at 0, 0", "is it missing? Then leave it empty"))
    # pixels are centered at integers, so a picture ends half a pixel beyond its last center
    outside = ((landmarks < -0.5) | (landmarks > sizes[:, None] - 0.5)).any(axis=-1)
    low, high = boxes[:, None, :2] - 0.5, boxes[:, None, :2] + boxes[:, None, 2:] + 0.5
    beyond = ((landmarks < low) | (landmarks > high)).any(axis=-1) & ~outside
    for kind, mask in (("outside the picture", outside), ("outside the box", beyond)):
        for row, k in np.argwhere(mask):
            x, y = landmarks[row, k]
            found.append((row, faces.scheme.landmarks[k], kind, f"at {x:.1f}, {y:.1f}"))
    for row in np.flatnonzero(boxes[:, 2:].max(axis=1) < SMALL):
        found.append((row, "", "small face", f"{boxes[row, 2]:.0f} x {boxes[row, 3]:.0f} pixels"))
    found += [(row, one, "same place", f"as {other}") for row, one, other in _same_places(faces)]
    for kind, keys in (("same labels", map(_digest, landmarks)), ("same picture", _pictures(faces.table))):
        for row, first in _repeats(keys):
            found.append((row, "", kind, f"as {names[first]}"))
    found += _against_the_common_shape(faces)
    found.sort(key=lambda finding: finding[0])
    rows = [(names[row], landmark, kind, detail) for row, landmark, kind, detail in found]
    return pd.DataFrame(rows, columns=["image", "landmark", "finding", "detail"])


def common_shape(landmarks: np.ndarray, rounds: int = 5) -> np.ndarray:
    """The shape that most faces have: the median of all, each moved, turned and scaled onto it.

    Args:
        landmarks: in image pixels, [N, L, 2]; NaN where missing.
        rounds: how often all are aligned anew.

    Returns:
        [L, 2], centered, of size 1; NaN for a landmark that no face with three landmarks has.
    """
    enough = np.isfinite(landmarks).all(axis=-1).sum(axis=1) >= 3
    shapes = np.stack([_normalized(points) for points in landmarks[enough]])
    # the face with the most landmarks begins, upright as it is
    shape = shapes[np.isfinite(shapes).all(axis=-1).sum(axis=1).argmax()]
    shape = np.where(np.isnan(shape), _median(shapes), shape)
    for _ in range(rounds):
        shape = _normalized(_median(np.stack([align(points, shape) for points in shapes])))
    return shape


def align(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Move, turn and scale points onto a shape, without mirroring, so that the sum of squared distances is least.

    Args:
        points: [L, 2]; NaN where missing.
        shape: [L, 2]; NaN where missing.

    Returns:
        [L, 2]; all NaN where the two share fewer than two landmarks.

    Source: least squares in complex numbers, where turning and scaling is one factor.
    """
    both = np.isfinite(points).all(axis=-1) & np.isfinite(shape).all(axis=-1)
    if both.sum() < 2:
        return np.full(points.shape, np.nan)
    z, target = points @ [1, 1j], shape @ [1, 1j]
    center, goal = z[both].mean(), target[both].mean()
    spread = (np.abs(z[both] - center) ** 2).sum()
    factor = (np.conj(z[both] - center) * (target[both] - goal)).sum() / (spread or 1.0)
    moved = (z - center) * factor + goal
    return np.stack([moved.real, moved.imag], axis=-1)


def _against_the_common_shape(faces: Annotations) -> list[tuple[int, str, str, str]]:
    landmarks, names = faces.landmarks, faces.scheme.landmarks
    there = np.isfinite(landmarks).all(axis=-1)
    rows = np.flatnonzero(there.sum(axis=1) >= 3)
    if len(rows) < FACES or len(names) < 3:
        return []
    shape = common_shape(landmarks[rows])
    found, off = [], np.full(there.shape, np.nan)
    for row in rows:
        off[row] = _distances(landmarks[row], shape)
        swap = _swapped(landmarks[row], shape, faces.scheme.flip_pairs)
        if swap:
            told = " and ".join(f"{names[a]} / {names[b]}" for a, b in swap)
            found.append((row, "", "left/right swapped", told if len(swap) < 4 else f"all {len(swap)} pairs"))
            off[row] = np.nan
    median = np.nanmedian(off, axis=0)
    for row, k in np.argwhere(off > np.maximum(FAR, FAR_TIMES * median)):
        detail = f"{off[row, k]:.1f} face sizes off, usually {median[k]:.1f}"
        found.append((row, names[k], "far off", detail))
    return found


def _swapped(points: np.ndarray, shape: np.ndarray, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The flip pairs whose two landmarks fit the shape far better when they change names: one of them, or all."""
    pairs = [pair for pair in pairs if np.isfinite(points[list(pair)]).all()]
    before = _size(_distances(points, shape))
    best, choice = before, []
    for group in [*([pair] for pair in pairs), *([pairs] if len(pairs) > 1 else [])]:
        changed = points.copy()
        for a, b in group:
            changed[[a, b]] = changed[[b, a]]
        after = _size(_distances(changed, shape))
        if after < best:
            best, choice = after, group
    return choice if before >= SWAP_BEFORE and best <= SWAP * before else []


def _distances(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Distance of each landmark from its place in the shape after alignment, [L]."""
    return np.linalg.norm(align(points, shape) - shape, axis=-1)


def _size(distances: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(distances**2)))


def _normalized(points: np.ndarray) -> np.ndarray:
    points = points - np.nanmean(points, axis=0)
    return points / (np.sqrt(np.nanmean((points**2).sum(axis=-1))) or 1.0)


def _median(shapes: np.ndarray) -> np.ndarray:
    """Median of shapes [N, L, 2]; NaN for a landmark that none has."""
    shape = np.full(shapes.shape[1:], np.nan)
    there = np.isfinite(shapes).any(axis=(0, 2))
    shape[there] = np.nanmedian(shapes[:, there], axis=0)
    return shape


def _same_places(faces: Annotations) -> Iterable[tuple[int, str, str]]:
    """Pairs of landmarks of a face less than a hundredth of a pixel apart."""
    names = faces.scheme.landmarks
    for row, points in enumerate(faces.landmarks):
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        for a, b in np.argwhere(np.triu(apart < 0.01, k=1)):
            yield row, names[b], names[a]


def _repeats(keys: Iterable[str]) -> Iterable[tuple[int, int]]:
    """Rows whose key an earlier row has, each with the first such row."""
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key in first:
            yield row, first[key]
        else:
            first[key] = row


def _digest(points: np.ndarray) -> str:
    return np.ascontiguousarray(points).tobytes().hex()


def _pictures(table: pd.DataFrame) -> list[str]:
    """One key for each distinct picture; faces of one and the same file have keys of their own."""
    size = [Path(path).stat().st_size for path in table["path"]]
    several = pd.Series(size).duplicated(keep=False)
    keys, files = [], set()
    for row, (path, check) in enumerate(zip(table["path"], several, strict=True)):
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest() if check and path not in files else f"row {row}"
        files.add(path)
        keys.append(content)
    return keys
