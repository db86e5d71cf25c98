"""A folder of pictures as unlabeled faces: boxes from a table, or each picture as a whole."""

from pathlib import Path

import pandas as pd
from PIL import Image

from cskt.data.reading import numbers, read_csv, rows_by_name
from cskt.data.table import Annotations, ProblemLog, annotations, box_problem
from cskt.errors import DataError
from cskt.landmarks import Scheme
from cskt.species import family_of, species_of


def read_folder(folder: str | Path, scheme: Scheme, *, boxes: str | Path | None = None) -> Annotations:
    """List the pictures directly in a folder, with their face boxes and without landmarks.

    A picture is a file whose ending is that of an image format. One whose box is missing or has no size, and, where
    there are no boxes, one whose size cannot be read, is excluded and reported.

    Args:
        folder: of the pictures.
        scheme: the landmarks that are to be found.
        boxes: CSV file with columns img (or image), x, y, w, h in image pixels; None: the whole picture.

    Raises:
        DataError: no such folder, no picture in it, or none that can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of pictures")
    endings = set(Image.registered_extensions())
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in endings)
    if not paths:
        raise DataError(f"{folder}: no picture in this folder (looked for {', '.join(sorted(endings)[:12])} ...)")
    problems = ProblemLog(strict=False)
    table = read_csv(boxes, ("img|image", "x", "y", "w", "h")) if boxes is not None else None
    row_of = rows_by_name(table, "img") if table else {}
    columns = [numbers(table, column) for column in "xywh"] if table else []
    rows = []
    for path in paths:
        if table is None:
            box = _whole(path)
            problem = "cannot be read as a picture" if box is None else None
        elif path.name not in row_of:
            box, problem = None, f"no box in {boxes}"
        else:
            box = tuple(float(column[row_of[path.name]]) for column in columns)
            problem = box_problem(box)
        if problem:
            problems.exclude(path.name, path, problem)
            continue
        species = species_of(path.name)
        rows.append((path.name, str(path), species, family_of(species), "", *box))
    names = ["image", "path", "species", "family", "split", "x", "y", "w", "h"]
    return annotations(pd.DataFrame(rows, columns=names), scheme, problems, folder)


def _whole(path: Path) -> tuple[float, float, float, float] | None:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if picture.getexif().get(0x0112, 1) >= 5:  # turned by a quarter
                width, height = height, width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return 0.0, 0.0, float(width), float(height)
