"""Text, list and CSV files, read so that every fault names its file and line."""

import csv
import io
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cskt.errors import DataError


class ImageList(NamedTuple):
    """The names of a list file.

    Attributes:
        line_of: image name -> line on which it first stands, in the file's order.
        repeats: the names, with their lines, that had stood there before.
    """

    line_of: dict[str, int]
    repeats: list[tuple[str, int]]


class Table(NamedTuple):
    """A CSV file as text: `columns` by name, and the line of the file on which each row ends."""

    path: Path
    lines: list[int]
    columns: dict[str, list[str]]


def read_text(path: str | Path) -> str:
    """Return a UTF-8 file's text without a byte order mark; line ends are left as they are."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text") from None


def read_lines(path: str | Path) -> list[str]:
    """Return a text file's lines without their ends, which may be LF, CRLF or CR."""
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def is_file(path: Path) -> bool:
    """Return whether a file is there; a path that no file can have is one that is not there."""
    # Path.is_file raises for a name that is too long
    return os.path.isfile(path)


def check_image_name(name: str, where: str) -> None:
    """Raise for an image name that could lead out of the image folder, or is no file name at all."""
    parts = name.replace("\\", "/").split("/")
    if not name or not name.isprintable():
        raise DataError(f"{where}: expected an image name, found {name!r}")
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        raise DataError(f"{where}: image name {name!r} leads out of the image folder")


def check_printable(name: str, where: str, what: str) -> None:
    """Raise for a name with control characters, which would command a terminal that shows it."""
    if not name.isprintable():
        raise DataError(f"{where}: expected {what}, found {name[:100]!r}")


def read_list(path: str | Path) -> ImageList:
    """Read a list file: one image name a line; blank lines are skipped, repeats are returned apart.

    Raises:
        DataError: no such file, no name in it, or a name that leads out of the image folder.
    """
    line_of: dict[str, int] = {}
    repeats = []
    for number, line in enumerate(read_lines(path), start=1):
        name = line.strip()
        if not name:
            continue
        check_image_name(name, f"{path}, line {number}")
        if name in line_of:
            repeats.append((name, number))
        else:
            line_of[name] = number
    if not line_of:
        raise DataError(f"{path}: expected one image name a line, the list is empty")
    return ImageList(line_of, repeats)


def read_csv(path: str | Path, required: tuple[str, ...]) -> Table:
    """Read a CSV file with a header line.

    Args:
        path: the file.
        required: columns it must have; "a|b" stands for a column of either name, returned as "a".

    Raises:
        DataError: no such file, a missing or repeated column, a row of another length, no row at all.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows, lines = [], []
    try:
        header = [name.strip() for name in next(reader, [])]
        refuse_separators(path, ",".join(header))
        names = _column_names(path, header, required)
        for row in reader:
            if len(row) != len(header):
                if not row:
                    continue
                raise DataError(
                    f"{path}, line {reader.line_num}: expected {len(header)} fields like the header, found {len(row)}"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}") from None
    if not rows:
        raise DataError(f"{path}: expected at least one row below the header")
    return Table(Path(path), lines, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def refuse_separators(path: str | Path, header: str) -> None:
    """Raise for the first line of a table with semicolons (spreadsheets of some countries) or tabs for commas."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if header.count(sign) > header.count(","):
            raise DataError(f"{path}, line 1: its fields are parted by {name}, expected commas: save it as such a CSV")


def _column_names(path: str | Path, header: list[str], required: tuple[str, ...]) -> list[str]:
    names = list(header)
    for name in names:
        check_printable(name, f"{path}, line 1", "a column name")
    for choice in required:
        found = [name for name in header if name in choice.split("|")]
        if len(found) != 1:
            wanted = ", ".join(one.replace("|", " or ") for one in required)
            raise DataError(f"{path}, line 1: expected columns {wanted}; found {', '.join(header)[:300] or 'none'}")
        names[header.index(found[0])] = choice.split("|")[0]
    if len(set(names)) < len(names):
        raise DataError(f"{path}, line 1: a column name occurs twice in {', '.join(header)[:300]}")
    return names


def numbers(table: Table, column: str, blank_is_nan: bool = False) -> np.ndarray:
    """Return a column as float64, [N]; "nan" and, where allowed, an empty field give NaN."""
    values = [value.strip() or "nan" for value in table.columns[column]] if blank_is_nan else table.columns[column]
    try:
        return np.array([to_float(value) for value in values], dtype=np.float64)
    except ValueError:
        for line, value in zip(table.lines, values, strict=True):
            if not _is_number(value):
                raise DataError(f"{table.path}, line {line}: expected a number as {column}, found {value!r}") from None
        raise


def to_float(text: str) -> float:
    """A number as tables write it; Python alone would also take "1_0" as ten.

    Raises:
        ValueError: it is none.
    """
    if "_" in text:
        raise ValueError(f"not a number: {text!r}")
    return float(text)


def to_count(text: str) -> int:
    """A whole number from 0 on of at most 15 digits; `str.isdigit` would also take what `int` refuses.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError(f"not a whole number: {text[:50]!r}")
    return int(text)


def rows_by_name(table: Table, column: str) -> dict[str, int]:
    """Return image name -> row index of a column in which each name may occur once."""
    names = [name.strip() for name in table.columns[column]]
    row_of = {name: row for row, name in enumerate(names)}
    if len(row_of) < len(names):
        first: dict[str, int] = {}
        for line, name in zip(table.lines, names, strict=True):
            if name in first:
                raise DataError(f"{table.path}, line {line}: image {name!r} stands already on line {first[name]}")
            first[name] = line
    return row_of


def _is_number(value: str) -> bool:
    try:
        to_float(value)
    except ValueError:
        return False
    return True
