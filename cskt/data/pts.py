"""Landmark files of AnimalWeb and iBUG (.pts): a header and one "x y" line per landmark in braces."""

from pathlib import Path

import numpy as np

from cskt.data.labelfile import Face, LabelFile
from cskt.data.reading import read_lines, to_count, to_float
from cskt.errors import DataError
from cskt.landmarks import SCHEMES, Scheme

_BY_COUNT = {9: "animalweb9", 68: "ibug68"}


def read_pts(path: str | Path, count: int) -> np.ndarray:
    """Read one .pts file.

    Args:
        path: the file: `version: 1`, `n_points: L`, `{`, L lines of x and y, `}`.
        count: the number of landmarks expected.

    Returns:
        Landmarks as they stand in the file, [L, 2] float64; a line "nan nan" is a missing landmark.

    Raises:
        DataError: any departure from the layout, with the line and what was expected there.
    """
    lines = [line.strip() for line in read_lines(path)]
    while lines and not lines[-1]:
        lines.pop()

    _expect(path, lines, 1, lines[:1] and lines[0].partition(":")[0].strip() == "version", "'version: 1'")
    key, _, value = lines[1].partition(":") if len(lines) > 1 else ("", "", "")
    _expect(path, lines, 2, key.strip() == "n_points", f"'n_points: {count}'")
    _expect(path, lines, 2, value.strip() == str(count), f"'n_points: {count}', as the landmark scheme has")
    _expect(path, lines, 3, lines[2:3] == ["{"], "'{'")
    _expect(path, lines, count + 4, lines[count + 3 : count + 4] == ["}"], f"'}}' after {count} landmarks")
    _expect(path, lines, count + 5, len(lines) == count + 4, "the end of the file")

    fields = [line.split() for line in lines[3 : count + 3]]
    try:
        landmarks = np.array([[to_float(value) for value in line] for line in fields])
        good = landmarks.shape == (count, 2) and bool(np.isfinite(landmarks).all())
    except ValueError:
        good = False
    return landmarks if good else np.array([_point(path, row + 4, text) for row, text in enumerate(fields)])


def pts_faces(folder: str | Path, scheme: Scheme | None = None) -> LabelFile:
    """Read all .pts files of a folder, each with the name of its picture: cat_1.pts is of cat_1.jpg.

    Args:
        folder: of the files.
        scheme: the landmarks; if None, animalweb9 for nine of them, ibug68 for 68, else p0, p1, ...

    Raises:
        DataError: no .pts file there, or one that departs from the layout.
    """
    files = sorted(Path(folder).glob("*.pts"))
    if not files:
        raise DataError(f"{folder}: no .pts file in this folder")
    known = scheme or SCHEMES.get(_BY_COUNT.get(_count(files[0]), ""))
    names = known.landmarks if known else tuple(f"p{index}" for index in range(_count(files[0])))
    faces = [Face(file.stem, read_pts(file, len(names)), str(file)) for file in files]
    notes = [] if known else [f".pts files name no landmark: they are called p0 to p{len(names) - 1} here"]
    return LabelFile(".pts files", Path(folder), names, faces, notes)


def _count(file: Path) -> int:
    """How many landmarks a .pts file says it has."""
    lines = [*read_lines(file), "", ""]
    key, _, value = lines[1].partition(":")
    try:
        count = to_count(value.strip())
    except ValueError:
        count = 0
    if key.strip() != "n_points" or not 0 < count < len(lines):
        raise DataError(f"{file}, line 2: expected 'n_points: L', found {lines[1][:100]!r}, of {len(lines) - 2} lines")
    return count


def _expect(path: str | Path, lines: list[str], number: int, good: bool, expected: str) -> None:
    if not good:
        found = repr(lines[number - 1]) if number <= len(lines) else "the end of the file"
        raise DataError(f"{path}, line {number}: expected {expected}, found {found}")


def _point(path: str | Path, line: int, fields: list[str]) -> list[float]:
    try:
        x, y = map(to_float, fields)
    except ValueError:
        x = y = np.inf
    if np.isinf([x, y]).any() or np.isnan(x) != np.isnan(y):
        raise DataError(f"{path}, line {line}: expected two numbers 'x y', found {' '.join(fields)!r}")
    return [x, y]
