"""Where the pictures of labels are: in a folder that was given, or beside the labels."""

import filecmp
from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import numpy as np

from cskt.data.folder import Pictures
from cskt.data.labelfile import Face, LabelFile
from cskt.errors import DataError


class Places:
    """Where the pictures of labels are: in the folder that was given, else beside the labels.

    A picture is taken from the folder given where that has it, by its path or by its name alone. Where the folder lacks
    it, or has one of that name alone with another content while the labels' own path leads to one beside the labels,
    that one is taken: frames of two videos are often called the same.

    Args:
        source: the labels.
        images: the folder given; None: only the nearest one beside the labels that holds their pictures.

    Attributes:
        first: the folder given.
    """

    def __init__(self, source: LabelFile, images: str | Path | None):
        self._source = source
        self._given = images is not None
        self.first = Pictures(images) if images is not None else _beside(source)

    @cached_property
    def _second(self) -> Pictures | None:
        try:
            return _beside(self._source) if self._given else None
        except DataError:  # there are none
            return None

    def find(self, name: str) -> tuple[str | None, Path | None, str]:
        """Find a picture by its name as labels, lists and box tables give it; returns as `find_face`."""
        return self.find_face(Face(name, np.empty((0, 2)), ""))

    def find_face(self, face: Face, frames: Sequence[str] | None = None) -> tuple[str | None, Path | None, str]:
        """Find a face's picture.

        Returns:
            its name (its path below the folder given, or the name of the labels' folder and its path below that), the
            file, and what is the matter where there is none.
        """
        name, why = _find(self.first, face, frames)
        file = self.first.paths.get(name)
        exact = file is not None and _agreement(face, file) == len(_parts(face.image))
        if exact or self._second is None:
            return name, file, why
        other, _ = _find(self._second, face, frames)
        beside = self._second.paths.get(other)
        if beside is None or (file and (_agreement(face, beside) <= _agreement(face, file) or _same(beside, file))):
            return name, file, why
        return f"{self._second.folder.name}/{other}", beside, ""

    def must_find(self, name: str, listed: str | Path) -> str:
        """The name of a picture that a list names, or DataError."""
        found, _, why = self.find(name)
        if found is None:
            raise DataError(f"{listed}: {name!r}: {why}")
        return found


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _agreement(face: Face, file: Path | None) -> int:
    """How many of the last parts of a label's path and of a file's are the same."""
    pairs = zip(reversed(_parts(face.image)), reversed(file.absolute().parts if file else ()), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _same(a: Path, b: Path) -> bool:
    return filecmp.cmp(a, b, shallow=False)


def _find(pictures: Pictures, face: Face, frames: Sequence[str] | None) -> tuple[str | None, str]:
    if face.frame is None:
        return pictures.find(face.image)
    if frames is None:
        return pictures.find_frame(face.frame)
    if face.frame >= len(frames):
        return None, f"frame {face.frame} is beyond the list of {len(frames)} pictures"
    return pictures.find(frames[face.frame])


def _beside(source: LabelFile) -> Pictures:
    """The pictures of the nearest folder that holds those of the labels."""
    at = source.path.resolve()
    home = at if at.is_dir() else at.parent
    # a folder is taken only if the first face's picture is where the labels say: nobody's home is looked through
    parts = _parts(source.faces[0].image)
    for folder in (home, home / "images", home.parent, home.parent / "images", home.parent.parent):
        for first in range(len(parts)):
            place = folder.joinpath(*parts[first:-1])
            # CVAT puts pictures into images/default
            if place.is_dir() and _holds(place, parts[-1], deep=place.name == "images"):
                return Pictures(folder)
    raise DataError(f"{source.path}: its pictures are not beside it: give --images DIR")


def _holds(folder: Path, name: str, deep: bool) -> bool:
    try:
        return Pictures(folder, deep).find(name)[0] is not None
    except DataError:
        return False
