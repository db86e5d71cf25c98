"""Labels of DeepLabCut (CSV and H5, one or several animals) and of Lightning Pose (the same CSV).

    scorer,,,Ann,Ann,Ann,Ann                      scorer,Ann,Ann,...
    individuals,,,cat1,cat1,cat1,cat1             (with several animals only)
    bodyparts,,,left_eye,left_eye,nose,nose       bodyparts,left_eye,left_eye,nose,nose
    coords,,,x,y,x,y                              coords,x,y,x,y
    labeled-data,video1,img7.png,10.5,20,,        labeled-data/video1/img7.png,10.5,20,,

The picture's path takes three columns (DeepLabCut 2.2 and later) or one (older ones, Lightning Pose).
"""

import csv
import io
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cskt.data.labelfile import Face, LabelFile, point
from cskt.data.reading import check_printable, read_text
from cskt.errors import DataError

UNIQUE = "single"  # DeepLabCut's individual of the body parts that occur once in a picture, not once per animal
INSTALL = "pip install 'tables>=3.10'"


class _Row(NamedTuple):
    where: str
    line: int | None
    image: str
    cells: list[str]


def is_deeplabcut(first_line: str) -> bool:
    """Whether a CSV file that begins so is one of DeepLabCut's or Lightning Pose's."""
    return first_line.split(",")[0].strip().strip('"').lower() == "scorer"


def read_deeplabcut_csv(path: str | Path) -> LabelFile:
    """Read labels of DeepLabCut or Lightning Pose.

    Raises:
        DataError: a header or row that is not of the layout in this module's head; with file, line and expectation.
    """
    path = Path(path)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    levels: dict[str, list[str]] = {}
    rows: list[_Row] = []
    try:
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if "coords" not in levels:
                levels[_level(path, line, cells[0], levels)] = [cell.strip() for cell in cells]
                continue
            start = _start(path, levels["coords"])
            if len(cells) != len(levels["coords"]):
                wanted = len(levels["coords"])
                raise DataError(f"{path}, line {line}: expected {wanted} fields like the header, found {len(cells)}")
            name = "/".join(part.strip() for part in cells[:start] if part.strip())
            rows.append(_Row(f"{path}, line {line}", line, name, cells[start:]))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    if "coords" not in levels or "bodyparts" not in levels:
        raise DataError(f"{path}: expected header lines scorer, bodyparts and coords; found {', '.join(levels)}")
    start = _start(path, levels["coords"])
    for name, cells in levels.items():
        if len(cells) != len(levels["coords"]):
            raise DataError(f"{path}: header line {name} has {len(cells)} fields, coords {len(levels['coords'])}")
    return _label_file("DeepLabCut or Lightning Pose CSV", path, {k: v[start:] for k, v in levels.items()}, rows)


def read_deeplabcut_h5(path: str | Path) -> LabelFile:
    """Read DeepLabCut's H5, which needs the package `tables`; the CSV file beside it says the same.

    The format holds pickles: those that are more than plain values and arrays are refused, and nothing is executed.

    Raises:
        DataError: `tables` is not installed (with what to do), or the file is not DeepLabCut's.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    beside = path.with_suffix(".csv")
    instead = f", or give {beside}, which holds the same" if beside.is_file() else ""
    try:
        with _plain_pickles():
            _refuse_bomb(path)
            table = pd.read_hdf(path)
        values = table.to_numpy(float)
    except ImportError:
        raise DataError(f"{path}: reading H5 needs the package tables: {INSTALL}{instead}") from None
    except Exception as error:  # tables and pandas raise many types for files that are not theirs
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise DataError(
            f"{path}: not an H5 file of DeepLabCut ({reason}); of SLEAP, export the analysis CSV{instead}"
        ) from None
    names = [str(name) for name in table.columns.names] if isinstance(table, pd.DataFrame) else []
    if not {"bodyparts", "coords"} <= set(names):
        raise DataError(f"{path}: expected columns by scorer, bodyparts and coords, found {', '.join(names) or 'none'}")
    levels = {name: [str(value) for value in table.columns.get_level_values(name)] for name in names}
    rows = []
    for number, (key, cells) in enumerate(zip(table.index, values, strict=True), start=1):
        name = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
        # repr keeps every digit
        rows.append(_Row(f"{path}, row {number}", None, name, [repr(float(value)) for value in cells]))
    return _label_file("DeepLabCut H5", path, levels, rows)


def _refuse_bomb(path: Path) -> None:
    """Raise for a file that unpacks to a thousand times its size: its arrays may be compressed, or never written."""
    import tables

    with tables.open_file(str(path)) as file:
        claimed = sum(leaf.size_in_memory for leaf in file.walk_nodes("/", "Leaf"))
    if claimed > max(1000 * path.stat().st_size, 2**27):
        raise ValueError(f"it unpacks to {claimed:,} bytes and has {path.stat().st_size:,}")


class _PlainUnpickler(pickle.Unpickler):
    """Makes numpy's arrays and numbers beside plain values; calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(f"it would call {module}.{name}")
        return super().find_class(module, name)


_PLAIN = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    ("_codecs", "encode"),
}


@contextmanager
def _plain_pickles() -> Iterator[None]:
    """While entered, `pickle.loads`, which `tables` calls for every attribute, refuses what would call something."""
    former = pickle.loads
    pickle.loads = lambda data, **how: _PlainUnpickler(io.BytesIO(data), **how).load()
    try:
        yield
    finally:
        pickle.loads = former


def _level(path: Path, line: int, cell: str, levels: dict) -> str:
    name = cell.strip().lower()
    if name not in ("scorer", "individuals", "bodyparts", "coords") or name in levels:
        raise DataError(
            f"{path}, line {line}: expected a header line (scorer, individuals, bodyparts or coords), found {cell!r}"
        )
    return name


def _start(path: Path, coords: list[str]) -> int:
    """The first column that holds a coordinate."""
    for column, cell in enumerate(coords[1:], start=1):
        if cell:
            return column
    raise DataError(f"{path}: the header line coords names no column x")


def _label_file(kind: str, path: Path, levels: dict[str, list[str]], rows: Iterable[_Row]) -> LabelFile:
    individuals = levels.get("individuals", [""] * len(levels["coords"]))
    for name in (*individuals, *levels["bodyparts"], *levels["coords"]):
        check_printable(name, f"{path}: header", "printable names")
    columns: dict[str, dict[str, dict[str, int]]] = {}  # individual -> body part -> x or y -> column
    for column, (who, part, axis) in enumerate(zip(individuals, levels["bodyparts"], levels["coords"], strict=True)):
        own = columns.setdefault(who, {}).setdefault(part, {})
        if axis not in ("x", "y", "likelihood"):
            raise DataError(f"{path}: header line coords: expected x, y or likelihood, found {axis!r} for {part}")
        if axis in own:
            raise DataError(f"{path}: header: {part} {axis}{f' of {who}' if who else ''} stands twice")
        own[axis] = column
    notes = []
    if len(columns) > 1 and UNIQUE in columns:
        notes.append(f"left out, as they belong to no animal: {', '.join(columns.pop(UNIQUE))}")
    names = tuple(next(iter(columns.values())))
    for who, parts in columns.items():
        if tuple(parts) != names:
            raise DataError(f"{path}: header: {who} has the body parts {', '.join(parts)}, not {', '.join(names)}")
        for part, axes in parts.items():
            if not {"x", "y"} <= axes.keys():
                raise DataError(f"{path}: header: expected columns x and y of {part}, found {', '.join(axes)}")
    faces = []
    for row in rows:
        if row.image.isdigit():
            raise DataError(
                f"{row.where}: expected the path of a picture, found frame {row.image}: this is DeepLabCut's analysis "
                "of a video, not labels (those are in labeled-data/VIDEO/CollectedData_NAME.csv)"
            )
        for who, parts in columns.items():
            points = [
                point(row.cells[axes["x"]], row.cells[axes["y"]], row.where, part) for part, axes in parts.items()
            ]
            if who and np.isnan(points).all():
                continue  # that animal is not in this picture
            faces.append(Face(row.image, np.array(points), row.where, row.line, who))
    if not faces:
        raise DataError(f"{path}: expected at least one row below the header")
    return LabelFile(kind, path, names, faces, notes)
