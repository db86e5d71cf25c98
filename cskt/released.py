"""What the tables that the paper's authors released say, recomputed: result files, shift files, lists, landmarks.

The folder is either a clone of the authors' repository or one with results/, shifts/, lists/ and landmarks_known.csv.
A table that is not there gives no rows, never an error; nothing of it is part of this repository.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from cskt import metrics
from cskt.data.annotations import read_landmark_csv
from cskt.data.reading import numbers, read_csv, read_list
from cskt.mining import read_disagreements
from cskt.shapes import fit_shape, place_shape
from cskt.species import species_of

SIDES = ("left", "right", "top", "bottom")
_EDGE = 3  # a side nearer to the image's edge, in pixels, may have been cut there


class Difference(NamedTuple):
    """A mean difference of two result files, and how sure it is: `error` is its standard error over `batches`."""

    mean: float
    error: float
    batches: int


# --- result files -----------------------------------------------------------------------------------------------------


def results(folder: str | Path) -> dict[str, pd.DataFrame]:
    """Read every released result file.

    Returns:
        Its name without test_nme_ and .csv -> columns image and nme (a fraction), in the file's order.
    """
    folder = Path(folder)
    files = [*sorted(folder.glob("results/*.csv")), *sorted(folder.glob("test_result/*.csv"))]
    tables = {}
    for file in files:
        table = read_csv(file, ("img|image", "nme"))
        values = {"image": table.columns["img"], "nme": numbers(table, "nme")}
        tables[file.stem.removeprefix("test_nme_")] = pd.DataFrame(values)
    return tables


def result_files(folder: str | Path) -> pd.DataFrame:
    """Describe every released "per-image" result file.

    Args:
        folder: see the module.

    Returns:
        One row per file: file (its name without test_nme_ and .csv), images, nme (their mean, a fraction), batch (how
        many images in a row share one value, see `batch_size`), values (how many different ones there are), and
        images_of: the test list that holds the very same images, or "".
    """
    lists = {name: frozenset(read_list(path).line_of) for name, path in _lists(folder).items() if "test" in name}
    rows = []
    for name, table in results(folder).items():
        images = frozenset(table["image"])
        same = [name for name, own in lists.items() if own == images]
        rows.append((name, len(table), table["nme"].mean(), batch_size(table["nme"]), table["nme"].nunique(),
                     same[0] if same else ""))  # fmt: skip
    return pd.DataFrame(rows, columns=["file", "images", "nme", "batch", "values", "images_of"])


def batch_size(values: Sequence[float]) -> int:
    """Return how many values in a row are equal, in most of a file's runs: 1 for a file of one value per image.

    Example:
        >>> batch_size([0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.2])
        3
        >>> batch_size([0.1, 0.2, 0.3])
        1
    """
    values = np.asarray(values, dtype=float)
    starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    lengths, counts = np.unique(np.diff(starts, append=len(values)), return_counts=True)
    return int(lengths[counts.argmax()])


def batch_difference(ours: Sequence[float], theirs: Sequence[float], batch: int) -> Difference:
    """Compare two files of batch means over the same images in the same order.

    Args:
        ours, theirs: one value for each image, [N], equal within a batch.
        batch: images in a batch; the last one may be smaller.

    Returns:
        mean of `ours - theirs` over images, and its standard error, the batches being the sample: images of one batch
        share one value and tell nothing alone.

    Example:
        >>> batch_difference([1.0, 1.0, 5.0, 5.0], [0.0, 0.0, 2.0, 2.0], batch=2)
        Difference(mean=2.0, error=1.0, batches=2)
    """
    gap = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    means = np.array([gap[first : first + batch].mean() for first in range(0, len(gap), batch)])
    return Difference(float(gap.mean()), float(means.std(ddof=1) / np.sqrt(len(means))), len(means))


def pure_batches(images: Sequence[str], batch: int) -> np.ndarray:
    """Whether each image is in a batch of one species, so that the batch's mean tells something of a species, [N]."""
    species = np.array([species_of(name) for name in images])
    firsts = range(0, len(species), batch)
    pure = [np.full(len(own := species[first : first + batch]), len(set(own)) == 1) for first in firsts]
    return np.concatenate(pure) if pure else np.zeros(0, dtype=bool)


def against(folder: str | Path, reference: str = "test_40_unknown") -> pd.DataFrame:
    """Compare every result file of the same images in the same order with the method's own.

    Args:
        folder: see the module.
        reference: the file of the method.

    Returns:
        One row per other file: file, difference (file minus reference, a fraction; below 0 the file has the lower
        error), standard_error and batches.
    """
    tables = results(folder)
    rows = []
    for name, table in tables.items():
        if reference in tables and name != reference and table["image"].equals(tables[reference]["image"]):
            batch = batch_size(tables[reference]["nme"])
            rows.append((name, *batch_difference(table["nme"], tables[reference]["nme"], batch)))
    return pd.DataFrame(rows, columns=["file", "difference", "standard_error", "batches"])


def without_worst(errors: Sequence[float], count: int = 2) -> tuple[float, float]:
    """Return the mean error without the `count` largest, and the share of the whole sum that those are.

    Example:
        >>> without_worst([0.25, 0.25, 0.5], count=1)
        (0.25, 0.5)
    """
    errors = np.sort(np.asarray(errors, dtype=float))
    return float(errors[:-count].mean()), float(errors[-count:].sum() / errors.sum())


# --- thresholds -------------------------------------------------------------------------------------------------------


def threshold_counts(folder: str | Path, t_neg: Sequence[float], t_pos: Sequence[float]) -> pd.DataFrame:
    """Count the images that the released shifts of the 40-label setting exclude and include.

    Args:
        folder: see the module.
        t_neg, t_pos: thresholds; below T_pos is strict, at T_neg an image is excluded (before the other is asked).

    Returns:
        One row per threshold: kind ("t_neg", "t_pos"), threshold, images.
    """
    shifts = _shifts(folder)
    if shifts is None:
        return pd.DataFrame(columns=["kind", "threshold", "images"])
    rows = [("t_neg", value, int((shifts["flip_disagreement"] >= value).sum())) for value in t_neg]
    rows += [("t_pos", value, int((shifts["human_disagreement"] < value).sum())) for value in t_pos]
    return pd.DataFrame(rows, columns=["kind", "threshold", "images"])


# --- boxes ------------------------------------------------------------------------------------------------------------


def box_margins(landmarks: np.ndarray, boxes: np.ndarray, sizes: np.ndarray) -> pd.DataFrame:
    """Measure how far each side of each box lies beyond the landmarks.

    Args:
        landmarks: in image pixels, [N, L, 2]; NaN where missing.
        boxes: x, y, w, h in image pixels, [N, 4].
        sizes: width and height of the images, [N, 2].

    Returns:
        One row per image and side: side, extent (of the landmarks along that axis, pixels), margin (pixels), and cut:
        whether the box ends at the image's edge.
    """
    low, high = np.nanmin(landmarks, axis=1), np.nanmax(landmarks, axis=1)
    corner = boxes[:, :2] + boxes[:, 2:]
    places = {
        "left": (0, low[:, 0] - boxes[:, 0], boxes[:, 0]),
        "right": (0, corner[:, 0] - high[:, 0], sizes[:, 0] - corner[:, 0]),
        "top": (1, low[:, 1] - boxes[:, 1], boxes[:, 1]),
        "bottom": (1, corner[:, 1] - high[:, 1], sizes[:, 1] - corner[:, 1]),
    }
    parts = [
        pd.DataFrame({"side": side, "extent": (high - low)[:, axis], "margin": margin, "cut": free < _EDGE})
        for side, (axis, margin, free) in places.items()
    ]
    return pd.concat(parts, ignore_index=True)


def box_rule(margins: pd.DataFrame) -> pd.DataFrame:
    """Fit margin = share * extent + pixels to the sides that are not cut: a box that was derived from its landmarks.

    Args:
        margins: by `box_margins`.

    Returns:
        One row per side: side, share (the median slope over all pairs of boxes, which a few odd boxes do not move:
        Theil and Sen), pixels (median), within (share of the boxes whose side the rule tells to 2 pixels) and boxes.
    """
    rows = []
    for side in SIDES:
        own = margins[(margins["side"] == side) & ~margins["cut"].astype(bool)]
        if len(own) > 1:
            share = stats.theilslopes(own["margin"], own["extent"]).slope
            rest = own["margin"] - share * own["extent"]
            rows.append((side, share, rest.median(), ((rest - rest.median()).abs() < 2).mean(), len(own)))
    return pd.DataFrame(rows, columns=["side", "share", "pixels", "within", "boxes"])


def released_margins(folder: str | Path) -> pd.DataFrame:
    """`box_margins` of the faces whose landmarks are public; no rows where there are none."""
    file = _file(folder, "landmarks_known.csv")
    if file is None:
        return pd.DataFrame(columns=["side", "extent", "margin", "cut"])
    faces = read_landmark_csv(file)
    table = read_csv(file, ("image", "width", "height"))
    size_of = dict(
        zip(table.columns["image"], zip(numbers(table, "width"), numbers(table, "height"), strict=True), strict=True)
    )
    sizes = np.array([size_of[name] for name in faces.table["image"]])
    return box_margins(faces.landmarks, faces.boxes, sizes)


def shape_errors(folder: str | Path, fit: str = "all_150", test: str = "test_40_known") -> pd.DataFrame:
    """Score the mean and the median shape in the box, of the listed faces whose landmarks are public.

    Returns:
        One row per statistic: statistic, nme (a fraction), fitted and tested (images with, and listed: columns
        fitted_of, tested_of); no rows where landmarks or lists are absent.
    """
    file, lists = _file(folder, "landmarks_known.csv"), _lists(folder)
    columns = ["statistic", "nme", "fitted", "fitted_of", "tested", "tested_of"]
    if file is None or not {fit, test} <= lists.keys():
        return pd.DataFrame(columns=columns)
    faces = [read_landmark_csv(file, list_file=lists[name]) for name in (fit, test)]
    counts = [count for name, own in zip((fit, test), faces, strict=True)
              for count in (len(own), len(read_list(lists[name]).line_of))]  # fmt: skip
    rows = []
    for statistic in ("mean", "median"):
        shape = fit_shape(faces[0].landmarks, faces[0].boxes, statistic)
        errors = metrics.nme(place_shape(shape, faces[1].boxes), faces[1].landmarks, faces[1].norm)
        rows.append((statistic, np.nanmean(errors), *counts))
    return pd.DataFrame(rows, columns=columns)


# --- lists ------------------------------------------------------------------------------------------------------------


def overlaps(folder: str | Path) -> pd.DataFrame:
    """Count the images that two released lists share, where training, choice and test should share none.

    Returns:
        One row per pair with shared images: first, second, images, and share (of the second list).
    """
    lists = {name: frozenset(read_list(path).line_of) for name, path in _lists(folder).items()}
    pairs = [(a, b) for a in ("all", "all_150", "train_40img", "train_80img", "test_40_known") for b in sorted(lists)
             if a in lists and b.startswith("test_") and a != b]  # fmt: skip
    rows = [(a, b, len(lists[a] & lists[b]), len(lists[a] & lists[b]) / len(lists[b])) for a, b in pairs]
    return pd.DataFrame([row for row in rows if row[2]], columns=["first", "second", "images", "share"])


# --- where things are -------------------------------------------------------------------------------------------------


def absent(folder: str | Path) -> list[str]:
    """Name the kinds of released tables that are not in the folder."""
    found = {
        "result files": results(folder),
        "shift files": _shift_files(folder),
        "lists": _lists(folder),
        "landmarks": _file(folder, "landmarks_known.csv"),
    }
    return [kind for kind, files in found.items() if not files]


def _lists(folder: str | Path) -> dict[str, Path]:
    folder = Path(folder)
    return {path.stem: path for path in [*sorted(folder.glob("lists/*.txt")), *sorted(folder.glob("data/*.txt"))]}


def _shift_files(folder: str | Path) -> list[Path]:
    files = [_file(folder, name) for name in ("40_human.csv", "40_flip.csv")]
    return [] if None in files else files


def _shifts(folder: str | Path) -> pd.DataFrame | None:
    files = _shift_files(folder)
    return read_disagreements(*files) if files else None


def _file(folder: str | Path, name: str) -> Path | None:
    return next((path for path in (Path(folder) / name, Path(folder) / "shifts" / name) if path.is_file()), None)
