"""Readers of annotated faces into the one table: AnimalWeb's layout, its landmark CSV, and COCO (from `coco`)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cskt.data.coco import read_coco
from cskt.data.pictures import measure
from cskt.data.pts import read_pts
from cskt.data.reading import Table, is_file, numbers, read_csv, read_list, rows_by_name
from cskt.data.table import Annotations, ProblemLog, annotations, box_problem
from cskt.errors import DataError
from cskt.landmarks import SCHEMES, Scheme
from cskt.species import family_of, species_of

__all__ = ["Annotations", "read_animalweb", "read_coco", "read_landmark_csv"]

_COLUMNS = ["image", "path", "species", "family", "split", "x", "y", "w", "h"]


def read_animalweb(
    root: str | Path,
    list_file: str | Path,
    *,
    images: str | Path = "images",
    boxes: str | Path = "bbox.csv",
    scheme: Scheme = SCHEMES["animalweb9"],
    split: str = "",
    labels: bool = True,
    species: str | None = None,
    strict: bool = False,
    landmark_file: Callable[[Path], Path] | None = None,
    read_landmarks: Callable[[Path, int], np.ndarray] | None = None,
) -> Annotations:
    """Read AnimalWeb's layout, which the zoo and the 300-W/iBUG folders share: NAME.jpg with NAME.pts beside it.

    An image of the list that has no file, no readable size, no landmark file or no usable box is excluded and
    reported in `problems`; a landmark outside the image is reported and kept. Image sizes are looked up only for
    labeled images.

    Args:
        root: folder that the other paths are relative to (an absolute one stands for itself).
        list_file: the images to read, one name a line.
        images: folder of the images and their .pts files.
        boxes: CSV file with columns img (or image), x, y, w, h in image pixels.
        scheme: the landmarks of the .pts files.
        split: what to write into the column of that name.
        labels: if False, no .pts file is opened and the table has no landmark columns.
        species: the species of every image; if None, taken from the names (`horse_12.jpg` is a horse).
        strict: raise where an image would be excluded.
        landmark_file: image file -> its landmark file; by default the .pts file beside it.
        read_landmarks: landmark file and number of landmarks -> landmarks in image pixels, [L, 2]; `read_pts` if None.

    Raises:
        DataError: a list, box or landmark file that is not of its layout, or no image left.
    """
    root = Path(root)
    list_path, box_path, folder = root / list_file, root / boxes, root / images
    listed = read_list(list_path)
    box_table, box_of = _read_boxes(box_path)
    row_of = rows_by_name(box_table, "img")

    problems = ProblemLog(strict)
    for name, line in listed.repeats:
        problems.exclude(name, list_path, "listed more than once, used once", line)
    rows, landmarks, sizes = [], [], []
    for name, line in listed.line_of.items():
        path = folder / name
        row = row_of.get(name)
        if not is_file(path):
            problems.exclude(name, path, "image file is missing")
            continue
        if row is None:
            problems.exclude(name, list_path, f"no box in {box_path.name}", line)
            continue
        size, why = measure(path) if labels else (None, "")
        if labels and size is None:
            problems.exclude(name, path, f"image file is not a readable image: {why}")
            continue
        box = tuple(box_of[row].tolist())
        if problem := box_problem(box, size):
            problems.exclude(name, box_path, problem, box_table.lines[row])
            continue
        if labels:
            points = path.with_suffix(".pts") if landmark_file is None else landmark_file(path)
            if not is_file(points):
                problems.exclude(name, points, "landmark file is missing")
                continue
            landmarks.append((read_landmarks or read_pts)(points, len(scheme.landmarks)))
            sizes.append(size)
        kind = species or species_of(name)
        rows.append((name, str(path), kind, family_of(kind), split, *box))

    table = pd.DataFrame(rows, columns=_COLUMNS)
    if not labels or not rows:
        return annotations(table, scheme, problems, list_path)
    return annotations(table, scheme, problems, list_path, np.stack(landmarks), np.array(sizes, dtype=float))


def read_landmark_csv(
    path: str | Path,
    *,
    list_file: str | Path | None = None,
    scheme: Scheme | None = None,
    strict: bool = False,
) -> Annotations:
    """Read boxes and landmarks from one CSV file, without images.

    Args:
        path: CSV file with columns image, x, y, w, h, p0_x, p0_y, p1_x ... in image pixels, a missing landmark
            empty; and, if known, species, width, height, subset (which becomes `split`). The table's `path` is "".
        list_file: the images to keep, one name a line; if None, all.
        scheme: the landmarks; if None, animalweb9 for nine of them, else a scheme without names or flip pairs.
        strict: raise where an image would be excluded.

    Raises:
        DataError: a file that is not of its layout, or no image left.
    """
    table = read_csv(path, ("image|img", "x", "y", "w", "h", "p0_x", "p0_y"))
    row_of = rows_by_name(table, "image")
    scheme = scheme or _scheme_of_columns(table)
    landmarks = _landmarks(table, len(scheme.landmarks))
    boxes = np.stack([numbers(table, column, blank_is_nan=True) for column in "xywh"], axis=1)
    sizes = _sizes(table)

    problems = ProblemLog(strict)
    if list_file is None:
        listed = dict(row_of)
    else:
        names = read_list(list_file)
        for name, line in names.repeats:
            problems.exclude(name, list_file, "listed more than once, used once", line)
        for name, line in names.line_of.items():
            if name not in row_of:
                problems.exclude(name, list_file, f"not in {Path(path).name}", line)
        listed = {name: row_of[name] for name in names.line_of if name in row_of}

    rows, kept = [], []
    for name, row in listed.items():
        size = None if np.isnan(sizes[row]).any() else tuple(sizes[row].tolist())
        box = tuple(boxes[row].tolist())
        if problem := box_problem(box, size):
            problems.exclude(name, path, problem, table.lines[row])
            continue
        kind = table.columns["species"][row] if "species" in table.columns else species_of(name)
        split = table.columns["subset"][row] if "subset" in table.columns else ""
        rows.append((name, "", kind, family_of(kind), split, *box))
        kept.append(row)
    source = path if list_file is None else list_file
    return annotations(pd.DataFrame(rows, columns=_COLUMNS), scheme, problems, source, landmarks[kept], sizes[kept])


def _read_boxes(path: Path) -> tuple[Table, np.ndarray]:
    table = read_csv(path, ("img|image", "x", "y", "w", "h"))
    return table, np.stack([numbers(table, column, blank_is_nan=True) for column in "xywh"], axis=1)


def _scheme_of_columns(table: Table) -> Scheme:
    count = 0
    while {f"p{count}_x", f"p{count}_y"} <= table.columns.keys():
        count += 1
    known = SCHEMES["animalweb9"]
    return known if count == len(known.landmarks) else Scheme(f"csv{count}", tuple(f"p{i}" for i in range(count)))


def _landmarks(table: Table, count: int) -> np.ndarray:
    expected = {f"p{index}_{axis}" for index in range(count) for axis in "xy"}
    found = {name for name in table.columns if name[:1] == "p" and name[1:-2].isdigit() and name[-2:] in ("_x", "_y")}
    if found != expected:
        odd = ", ".join(sorted(found ^ expected))
        raise DataError(f"{table.path}, line 1: expected columns p0_x to p{count - 1}_y; missing or too many: {odd}")
    columns = [numbers(table, f"p{index}_{axis}", blank_is_nan=True) for index in range(count) for axis in "xy"]
    landmarks = np.stack(columns, axis=1).reshape(-1, count, 2)
    half = np.isnan(landmarks).sum(axis=-1) == 1
    for row, index in np.argwhere(half | np.isinf(landmarks).any(axis=-1)):
        raise DataError(
            f"{table.path}, line {table.lines[row]}: expected both coordinates of p{index} or none, "
            f"found {landmarks[row, index].tolist()}"
        )
    return landmarks


def _sizes(table: Table) -> np.ndarray:
    if not {"width", "height"} <= table.columns.keys():
        return np.full((len(table.lines), 2), np.nan)
    return np.stack([numbers(table, column, blank_is_nan=True) for column in ("width", "height")], axis=1)
