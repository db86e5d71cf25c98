"""A folder of pictures: finding those that labels name, and unlabeled faces with boxes or as whole pictures."""

import os
import re
import unicodedata
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cskt.data.pictures import ENDINGS, measure
from cskt.data.reading import numbers, read_csv, rows_by_name
from cskt.data.table import Annotations, ProblemLog, annotations, box_problem, tell_corners
from cskt.errors import DataError
from cskt.landmarks import Scheme
from cskt.species import family_of, species_of


class Pictures:
    """The pictures in a folder and in the folders below it, found by the names that labels give them.

    Args:
        folder: hidden files and folders (.name) are passed over; or one picture, alone.
        deep: look into the folders below, too.

    Attributes:
        paths: name (the path below the folder, with slashes) -> file, sorted by name.

    Raises:
        DataError: no such folder, or no picture in it.
    """

    def __init__(self, folder: str | Path, deep: bool = True):
        self.folder = Path(folder)
        found = {}
        if self.folder.is_file() and self.folder.suffix.lower() in ENDINGS:
            found = {self.folder.name: self.folder}
            self.folder = self.folder.parent
        elif self.folder.is_file():
            raise DataError(f"{folder}: neither a folder of pictures nor a picture (ends in {', '.join(ENDINGS)})")
        elif not self.folder.is_dir():
            raise DataError(f"{folder}: no such folder of pictures")
        for place, below, files in os.walk(self.folder) if not found else ():
            below[:] = sorted(name for name in below if not name.startswith(".")) if deep else []
            for file in files:
                path = Path(place, file)
                if path.suffix.lower() in ENDINGS and not file.startswith("."):
                    found[path.relative_to(self.folder).as_posix()] = path
        if not found:
            names = (name for _, _, files in os.walk(self.folder) for name in files)
            below = not deep and any(Path(name).suffix.lower() in ENDINGS for name in names)
            hint = "; there are some in the folders below: --deep" if below else ""
            raise DataError(f"{folder}: no picture in this folder (looked for {', '.join(ENDINGS)}){hint}")
        self.paths = dict(sorted(found.items()))
        self._by_file: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for name, path in self.paths.items():
            self._by_file.setdefault(_composed(path.name), []).append(name)
            self._by_stem.setdefault(_composed(path.stem), []).append(name)
            if digits := re.search(r"\d+$", path.stem):
                self._by_number.setdefault(int(digits[0]), []).append(name)

    def find(self, name: str) -> tuple[str | None, str]:
        """Find the picture that a label file means.

        Args:
            name: as it stands there: a path (of another computer, too), a file name, or one without its ending.

        Returns:
            its name among `paths` or None, and what is the matter in that case.
        """
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        for first in range(len(parts)):
            if "/".join(parts[first:]) in self.paths:
                return "/".join(parts[first:]), ""
        file = _composed(parts[-1] if parts else name)
        # Label Studio puts eight characters and a dash before the name of an uploaded picture
        for wanted in dict.fromkeys([file, re.sub(r"^[0-9a-f]{8}-", "", file)]):
            for names in (self._by_file.get(wanted, []), self._by_stem.get(wanted, [])):
                if len(names) == 1:
                    return names[0], ""
                if names:
                    return None, f"{len(names)} pictures have this name: {', '.join(names[:3])}"
        alike = self._by_lower_case.get(file.lower())
        return None, f"no such picture in {self.folder}" + (f"; there is {alike}" if alike else "")

    @cached_property
    def _by_lower_case(self) -> dict[str, str]:
        return {file.lower(): names[0] for file, names in self._by_file.items()}

    def find_frame(self, frame: int) -> tuple[str | None, str]:
        """Find the picture whose name ends with a frame's number (7: cat_0007.png); returns as `find`."""
        names = self._by_number.get(frame, [])
        if len(names) == 1:
            return names[0], ""
        what = f"{len(names)} pictures have" if names else f"no picture in {self.folder} has"
        return None, f"{what} the number {frame} at the end of the name (or give a list of the frames' pictures)"


def _composed(name: str) -> str:
    """A name with each accent in its letter (NFC): macOS writes them apart, and the two look the same."""
    return unicodedata.normalize("NFC", name)


def read_folder(
    folder: str | Path, scheme: Scheme, *, boxes: str | Path | None = None, deep: bool = False, species: str = ""
) -> Annotations:
    """List the pictures in a folder (or one picture alone), with their face boxes and without landmarks.

    A picture is a file with one of `pictures.ENDINGS`. One whose box is missing or has no size, and, where
    there are no boxes, one whose size cannot be read, is excluded and reported.

    Args:
        folder: of the pictures.
        scheme: the landmarks that are to be found.
        boxes: CSV file with columns img (or image), x, y, w, h in image pixels; None: the whole picture.
        deep: list the pictures in the folders below, too, by their path.
        species: of all pictures; if "", taken from their names.

    Raises:
        DataError: no such folder, no picture in it, or none that can be used.
    """
    pictures = Pictures(folder, deep)
    problems = ProblemLog(strict=False)
    box_of = read_boxes(boxes, pictures) if boxes is not None else {}
    rows = []
    for name, path in pictures.paths.items():
        if boxes is None:
            size, why = measure(path)
            box = (0.0, 0.0, *map(float, size)) if size else None
            problem = box_problem(box, size) if size else f"cannot be read as a picture: {why}"
        elif name not in box_of:
            box, problem = None, f"no box in {boxes}"
        else:
            box = box_of[name]
            problem = box_problem(box)
        if problem:
            problems.exclude(name, path, problem)
            continue
        kind = species or species_by_name(name)
        rows.append((name, str(path), kind, family_of(kind), "", *box))
    names = ["image", "path", "species", "family", "split", "x", "y", "w", "h"]
    table = pd.DataFrame(rows, columns=names)
    if boxes is not None and rows:
        # of so many pictures it is seen, and a million headers need not be read
        few = table.head(100)
        sizes = np.array([measure(path)[0] or (np.nan, np.nan) for path in few["path"]], dtype=float)
        tell_corners(few[["x", "y", "w", "h"]].to_numpy(float), sizes, boxes)
    return annotations(table, scheme, problems, folder)


def species_by_name(name: str) -> str:
    """The species that a picture's name says: cat_12.jpg is a cat, img0012.png just an animal."""
    species = species_of(name)
    return "animal" if species == Path(name).stem else species


def read_boxes(path: str | Path, pictures) -> dict[str, tuple[float, float, float, float]]:
    """Read face boxes x, y, w, h (image pixels) by picture; those of other pictures are passed over.

    Args:
        path: CSV file with columns img (or image), x, y, w, h.
        pictures: `Pictures`, or `places.Places`, by whose names the boxes are given.

    Raises:
        DataError: a file that is not of its layout, or two boxes for one picture.
    """
    table = read_csv(path, ("img|image", "x", "y", "w", "h"))
    columns = [numbers(table, column, blank_is_nan=True) for column in "xywh"]
    boxes: dict[str, tuple] = {}
    for written, row in rows_by_name(table, "img").items():
        name = pictures.find(written)[0]
        if name in boxes:
            raise DataError(f"{path}, line {table.lines[row]}: a second box for the picture {name!r}")
        if name is not None:
            boxes[name] = tuple(float(column[row]) for column in columns)
    return boxes


def boxes_of_no_picture(path: str | Path, pictures: Pictures) -> list[str]:
    """The names in a file of boxes (`read_boxes`) that mean no picture, each with the reason."""
    found = {name: pictures.find(name) for name in rows_by_name(read_csv(path, ("img|image",)), "img")}
    return [f"{name}: {why}" for name, (picture, why) in found.items() if picture is None]
