"""The one annotation table, and the report of what its reader found wrong."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cskt.data.reading import check_printable
from cskt.errors import DataError, some
from cskt.landmarks import Scheme, combine, shared_landmarks
from cskt.progress import say

# pixels; no picture is so large, and 32-bit floats still tell half pixels there
FARTHEST = 1e6
_PROBLEM_COLUMNS = ["image", "file", "line", "problem", "action"]


@dataclass(frozen=True)
class Annotations:
    """Annotated images of one landmark scheme.

    Attributes:
        table: one row per face: image (a unique name), path (the image file), species, family, split, the box
            x, y, w, h and, unless read without labels, <landmark>_x and <landmark>_y of each landmark; all in image
            pixels, NaN where a landmark is missing.
        scheme: what the landmarks are.
        problems: what the reader found: image, file, line, problem, action ("excluded" or "kept").
    """

    table: pd.DataFrame
    scheme: Scheme
    problems: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def has_landmarks(self) -> bool:
        """Whether the table has landmark columns at all."""
        return set(landmark_columns(self.scheme)) <= set(self.table.columns)

    @property
    def landmarks(self) -> np.ndarray:
        """Landmarks in image pixels, [N, L, 2]; NaN where missing."""
        if not self.has_landmarks:
            raise DataError("these annotations were read without labels: they have no landmarks")
        return self.table[landmark_columns(self.scheme)].to_numpy(float).reshape(len(self), -1, 2)

    @property
    def boxes(self) -> np.ndarray:
        """Face boxes x, y, w, h in image pixels, [N, 4]."""
        return self.table[["x", "y", "w", "h"]].to_numpy(float)

    @property
    def norm(self) -> np.ndarray:
        """The length that errors are divided by, sqrt(w * h), in image pixels, [N]."""
        return np.sqrt(self.boxes[:, 2] * self.boxes[:, 3])

    def select(self, names: Iterable[str]) -> "Annotations":
        """Return the named images only, in the order of the names; the report of problems stays whole.

        Raises:
            DataError: an unknown name, or one that occurs twice.
        """
        names = list(names)
        if len(set(names)) < len(names):
            raise DataError(f"image {Counter(names).most_common(1)[0][0]!r} is selected twice")
        rows = pd.Index(self.table["image"]).get_indexer(names)
        if (rows < 0).any():
            unknown = [name for name, row in zip(names, rows, strict=True) if row < 0]
            raise DataError(f"{len(unknown)} of {len(names)} selected images are not annotated: {some(unknown)}")
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True))

    def without(self, names: Iterable[str], why: str) -> "Annotations":
        """Return the other images only; each one left out is reported with the reason."""
        out = self.table["image"].isin(set(names))
        kept = replace(self, table=self.table[~out].reset_index(drop=True))
        return kept.reporting(self.table[out], why)

    def reporting(self, left_out: pd.DataFrame, why: str) -> "Annotations":
        """The same faces, with rows that were left out added to the report."""
        pairs = zip(left_out["image"], left_out["path"], strict=True)
        rows = [(image, path, None, why, "excluded") for image, path in pairs]
        report = pd.concat([self.problems, _problem_table(rows)], ignore_index=True) if rows else self.problems
        return replace(self, problems=report)

    def without_landmarks(self) -> "Annotations":
        """Return the same images with no landmark column: what unlabeled data may know."""
        return replace(self, table=self.table.drop(columns=landmark_columns(self.scheme), errors="ignore"))

    def with_jittered_boxes(self, share: float, seed: int = 0) -> "Annotations":
        """Return the same faces in boxes that tell less of where the face is (landmarks and `path` stay).

        Args:
            share: a box moves by up to this share of its sides either way, and grows or shrinks by a factor of up to
                1 + share; each evenly distributed (the factor in its logarithm).
            seed: of the draws.
        """
        rng = np.random.default_rng(seed)
        boxes, sides = self.boxes, self.boxes[:, 2:]
        factor = (1 + share) ** rng.uniform(-1, 1, (len(self), 1))
        center = boxes[:, :2] + sides * (0.5 + share * rng.uniform(-1, 1, (len(self), 2)))
        moved = np.concatenate([center - factor * sides / 2, factor * sides], axis=1)
        return replace(self, table=self.table.assign(**dict(zip("xywh", moved.T, strict=True))))

    def convert(self, scheme: Scheme) -> "Annotations":
        """Return the same images in another scheme.

        A landmark of the other scheme is filled where this scheme gives its place; one that has no counterpart,
        or of which only a mean with others is known (an eye corner, from the eye), is NaN.
        """
        shared = shared_landmarks(self.scheme, scheme)
        landmarks = np.full((len(self), len(scheme.landmarks), 2), np.nan)
        alone = np.count_nonzero(shared.from_b, axis=1) == 1
        landmarks[:, shared.from_b[alone].argmax(axis=1)] = combine(shared.from_a[alone], self.landmarks)
        table = self.without_landmarks().table
        return replace(self, table=with_landmarks(table, scheme, landmarks), scheme=scheme)

    def summary(self) -> str:
        """Return one line: how many faces there are, and the problems of each kind with their first images."""
        images: dict[tuple[str, str], list[str]] = {}
        for image, problem, action in self.problems[["image", "problem", "action"]].itertuples(index=False):
            images.setdefault((action, problem.split(":")[0]), []).append(image)
        kinds = [f"{action} {len(names):,}: {kind} ({some(names)})" for (action, kind), names in sorted(images.items())]
        faces = f"{len(self):,} face{'' if len(self) == 1 else 's'}"
        return "; ".join([faces, *(kinds or ["no problems"])])


class ProblemLog:
    """Collects what a reader finds wrong with single images; raises at once for an exclusion when strict."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._rows: list[tuple] = []

    def exclude(self, image: str, file: str | Path, problem: str, line: int | None = None) -> None:
        """Note that an image, or a second mention of it, is left out; in strict mode raise DataError."""
        if self._strict:
            place = f"{file}, line {line}" if line else file
            raise DataError(f"{place}: image {image!r}: {problem}")
        self._rows.append((_readable(image), _readable(file), line, _readable(problem), "excluded"))

    def keep(self, image: str, file: str | Path, problem: str, line: int | None = None) -> None:
        """Note something odd about an image that stays in the table."""
        self._rows.append((_readable(image), _readable(file), line, _readable(problem), "kept"))

    def table(self) -> pd.DataFrame:
        """Return the problems, one a row."""
        return _problem_table(self._rows)


def _readable(text: str | Path) -> str:
    """A text that can be written: bytes of a file name that are no UTF-8 as \\udcff."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def _problem_table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=_PROBLEM_COLUMNS).astype({"line": "Int64"})


def concatenate(parts: list[Annotations]) -> Annotations:
    """Put annotations of one scheme together; an image that an earlier part has too is used once, and reported."""
    table = pd.concat([part.table for part in parts], ignore_index=True)
    problems = pd.concat([part.problems for part in parts], ignore_index=True)
    joined = Annotations(table.drop_duplicates("image", ignore_index=True), parts[0].scheme, problems)
    return joined.reporting(table[table["image"].duplicated()], "stands in an earlier file too, used once")


def landmark_columns(scheme: Scheme) -> list[str]:
    """Return the table's landmark columns of a scheme, x before y."""
    return [f"{landmark}_{axis}" for landmark in scheme.landmarks for axis in "xy"]


def with_landmarks(table: pd.DataFrame, scheme: Scheme, landmarks: np.ndarray) -> pd.DataFrame:
    """Return the table with the landmark columns of a scheme added; landmarks [N, L, 2] in image pixels."""
    columns = landmark_columns(scheme)
    values = pd.DataFrame(landmarks.reshape(len(table), len(columns)), columns=columns, index=table.index)
    return pd.concat([table, values], axis=1)


def box_problem(box: tuple[float, ...], size: tuple[float, float] | None = None) -> str | None:
    """Return what makes a box x, y, w, h unusable in an image of size (width, height), None if nothing does."""
    x, y, w, h = box
    told = f"x={x:g} y={y:g} w={w:g} h={h:g}"
    if size is not None and tuple(size) == (1, 1):
        return "the picture is a single pixel"
    if not np.isfinite(box).all() or w <= 0 or h <= 0:
        return f"box without a size: {told}"
    if max(abs(x), abs(y)) > FARTHEST:
        return f"box farther out than any picture is large: {told}"
    if max(box) <= 1:
        return f"box of a pixel or less: {told}; is it given in fractions of the image?"
    if w < 1 or h < 1:
        return f"box smaller than a pixel: {told}; is it given in fractions of the image?"
    if max(w, h) > (FARTHEST if size is None else 10 * max(size)):
        return f"box larger than any face in this image: {told}"
    if size is not None and (x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0):
        return f"box outside the image: {told} in {size[0]:g} x {size[1]:g}"
    return None


def annotations(
    rows: pd.DataFrame,
    scheme: Scheme,
    problems: ProblemLog,
    source: str | Path,
    landmarks: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
) -> Annotations:
    """Put together what a reader has read, and report the odd landmarks.

    Args:
        rows: the table without landmark columns.
        scheme: what the landmarks are.
        problems: the reader's log so far.
        source: the file to name if nothing is left.
        landmarks: in image pixels, [N, L, 2]; None when read without labels.
        sizes: width and height of each image in pixels, [N, 2]; NaN, or None, where not known.

    Raises:
        DataError: no row is left, or a species has control characters.
    """
    odd = [row for row, names in enumerate(zip(rows["image"], rows["path"], strict=True)) if not _is_text(*names)]
    for row in odd:
        why = "its file name is not UTF-8, or has control characters: rename it"
        problems.exclude(rows["image"].iloc[row], rows["path"].iloc[row], why)
    if odd:
        kept = np.setdiff1d(np.arange(len(rows)), odd)
        rows = rows.iloc[kept].reset_index(drop=True)
        landmarks, sizes = (None if values is None else values[kept] for values in (landmarks, sizes))
    for name, species in zip(rows["image"], rows["species"], strict=True):
        check_printable(species, f"{source}: image {name!r}", "a species")
    if rows.empty:
        found = problems.table()
        first = "; the first: {image!r}: {problem} ({file})".format(**found.iloc[0]) if len(found) else ""
        raise DataError(f"{source}: none of its images can be used{first}")
    if landmarks is not None:
        # a file's fault, not one picture's: such a number would turn infinite in training, far from its cause
        for row, index in np.argwhere((np.abs(landmarks) > FARTHEST).any(axis=-1)):
            raise DataError(
                f"{source}: image {rows['image'].iloc[row]!r}: {scheme.landmarks[index]} lies at "
                f"{landmarks[row, index].tolist()}, farther out than any picture is large"
            )
        if sizes is not None:
            # pixels are centered at integers, so the image ends half a pixel beyond its last center
            outside = ((landmarks < -0.5) | (landmarks > sizes[:, None] - 0.5)).any(axis=-1)
            _report_landmarks(rows, scheme, outside, "landmark outside the image", problems)
            tell_corners(rows[["x", "y", "w", "h"]].to_numpy(float), sizes, source)
        # where no size is known; a landmark of a face lies in its box, or close by
        boxes = rows[["x", "y", "w", "h"]].to_numpy(float)[:, None]
        reach = 3 * boxes[..., 2:].max(axis=-1, keepdims=True)
        beyond = (landmarks < boxes[..., :2] - reach) | (landmarks > boxes[..., :2] + boxes[..., 2:] + reach)
        unknown = np.ones(len(rows), bool) if sizes is None else ~np.isfinite(sizes).all(axis=-1)
        far = beyond.any(axis=-1) & unknown[:, None]
        _report_landmarks(rows, scheme, far, "landmark far from its box", problems)
        for row in np.flatnonzero(np.isnan(landmarks).any(axis=-1).all(axis=-1)):
            problems.keep(rows["image"].iloc[row], rows["path"].iloc[row] or source, "no landmark is annotated")
        rows = with_landmarks(rows, scheme, landmarks)
    return Annotations(rows, scheme, problems.table())


def tell_corners(boxes: np.ndarray, sizes: np.ndarray, source: str | Path) -> None:
    """Say so where the boxes of a file look like corners; arguments as of `are_corners`, and the file's name."""
    if are_corners(boxes, sizes):
        say(
            f"{source}: most boxes reach beyond their pictures, and would not as corners x1, y1, x2, y2: "
            "x, y, width, height are expected, and errors are divided by sqrt(width height)"
        )


def are_corners(boxes: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether boxes look like x1, y1, x2, y2: as x, y, w, h most reach beyond the picture, as corners hardly any.

    Args:
        boxes: [N, 4], in image pixels.
        sizes: width and height of each image, [N, 2], in pixels; NaN where not known.

    Example:
        >>> sizes = np.array([[100.0, 80.0]])
        >>> are_corners(np.array([[60.0, 40.0, 90.0, 70.0]]), sizes), are_corners(np.array([[5.0, 5, 90, 70]]), sizes)
        (True, False)
    """
    beyond = (boxes[:, :2] + boxes[:, 2:] > sizes).any(axis=1)
    inside = ((boxes[:, :2] < boxes[:, 2:]) & (boxes[:, 2:] <= sizes)).all(axis=1)
    return bool(beyond.mean() > 0.5 and inside.mean() > 0.9)


def _is_text(*names: str) -> bool:
    # a carriage return would end a row of a table, in which csv puts no quotes around it
    return all(_readable(name) == name and not re.search(r"[\x00-\x1f\x7f]", name) for name in names)


def _report_landmarks(rows: pd.DataFrame, scheme: Scheme, odd: np.ndarray, why: str, problems: ProblemLog) -> None:
    for row in np.flatnonzero(odd.any(axis=-1)):
        names = ", ".join(scheme.landmarks[index] for index in np.flatnonzero(odd[row]))
        problems.keep(rows["image"].iloc[row], rows["path"].iloc[row], f"{why}: {names}")
