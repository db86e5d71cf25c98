"""What a label file says, before it is known which pictures are there: the common form of all foreign formats."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cskt.data.reading import check_printable, to_float
from cskt.errors import DataError


@dataclass(frozen=True)
class Face:
    """One labeled face.

    Attributes:
        image: the picture as the file names it; "" if only its frame number is known.
        landmarks: in image pixels, [L, 2]; NaN where missing.
        where: the place in the file, for messages: "line 5", "annotations[3]".
        line: the line, where there are lines.
        individual: tells several faces of one picture apart; "" where the format has one per picture.
        box: x, y, w, h in image pixels, if the file has one.
        species: if the file says so.
        frame: number of the video frame, for formats without picture names.
        size: width and height of the picture, if the file says so.
    """

    image: str
    landmarks: np.ndarray
    where: str
    line: int | None = None
    individual: str = ""
    box: tuple[float, ...] | None = None
    species: str = ""
    frame: int | None = None
    size: tuple[float, float] | None = None


@dataclass(frozen=True)
class LabelFile:
    """A label file as it was read.

    Attributes:
        format: what it was recognized as.
        path: the file or folder.
        landmarks: their names in order.
        faces: in the file's order.
        notes: what a person should know about the reading.
    """

    format: str
    path: Path
    landmarks: tuple[str, ...]
    faces: list[Face]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in self.landmarks:
            check_printable(name, str(self.path), "a landmark's name")
        for face in self.faces:
            check_printable(face.species, face.where, "a species")
            check_printable(face.individual, face.where, "an animal's name")


def number(text: str, place: str, column: str) -> float:
    """A coordinate of a table; an empty field or "nan" is missing.

    Raises:
        DataError: neither a finite number nor missing, with its place and column.
    """
    try:
        value = to_float(text.strip() or "nan")
    except ValueError:
        value = np.inf
    if np.isinf(value):
        raise DataError(f"{place}: expected a number or nothing as {column}, found {text!r}")
    return value


def point(x: str, y: str, place: str, name: str) -> tuple[float, float]:
    """The two coordinates of a landmark, both there or both missing.

    Raises:
        DataError: one is not a number, or missing where the other is there.
    """
    values = number(x, place, f"{name} x"), number(y, place, f"{name} y")
    if np.isnan(values[0]) != np.isnan(values[1]):
        raise DataError(f"{place}: expected both coordinates of {name} or none, found {x!r} and {y!r}")
    return values
