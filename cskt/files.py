"""Writing files whole or not at all: a process stopped at any time leaves the former file or the new one."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cskt.errors import DataError, WriteError, one_line

if TYPE_CHECKING:
    import pandas as pd


_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\..")


def refuse_overwriting(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Refuse outputs that would replace an input, or each other; to be called before any work.

    Args:
        outputs: what a command is to write; None is passed over, as it is in `inputs`.
        inputs: what it reads.

    Raises:
        WriteError: two of them are one file, by whatever name (links are followed).
    """
    taken = {_identity(path): (path, "read") for path in filter(None, inputs)}
    for path in filter(None, outputs):
        if (which := _identity(path)) in taken:
            other, what = taken[which]
            raise WriteError(f"{path}: would be overwritten, since it is {what} too ({other}): write another file")
        taken[which] = path, "written"


def _identity(path: str | Path) -> tuple[int, int] | str:
    """What two names of one file have in common: device and inode, or of one that is not there the place."""
    try:
        state = os.stat(path)
        return state.st_dev, state.st_ino
    except OSError:
        return os.path.realpath(path)


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two paths are one file, there or not; links are followed."""
    return _identity(one) == _identity(other)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error, rename what was written there to `path`.

    The temporary name ends like `path`, because some writers (matplotlib, torch) choose a format by the suffix.
    Missing parent folders are made. After an error `path` is as it was and nothing is left beside it. Of a link the
    file that it leads to is written; a rename would put an end to a link, or as root to a device.

    Args:
        path: the final name.

    Returns:
        A context manager that yields the path to write to.

    Raises:
        FileNotFoundError: the block wrote nothing.
        WriteError: the disk is full, the folder may not be written to, `path` is a device or a pipe, ...
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise WriteError(f"{path}: cannot be written: it is a device or a pipe, and a file is needed")
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    make_folder(path.parent)
    # dot: hidden from readers that list a folder; uuid: two writers of one file never share a temporary one
    temporary = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(f"nothing was written for {path}")
        # without fsync a power cut can leave the new name with the old or no content
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        # an error about another file is none of writing this one
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Make a folder and those above it, where they are missing, and return it.

    Raises:
        WriteError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return Path(path)


def check_output(path: str | Path, endings: tuple[str, ...] = ()) -> Path:
    """Find out, before long work, that a file cannot be written; nothing is made. Returns the path.

    Args:
        path: the file.
        endings: of which its name must have one; any, if there are none.

    Raises:
        WriteError: it has another ending, is a folder, or is to lie in what is no folder or may not be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise WriteError(f"{path}: is a folder, expected the name of a file to write")
    if endings and path.suffix.lower() not in endings:
        raise WriteError(f"{path}: expected the name of a file that ends in {' or '.join(endings)}")
    above = next(place for place in path.absolute().parents if os.path.lexists(place))
    if not above.is_dir():
        raise WriteError(f"{path}: cannot be written: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise WriteError(f"{path}: cannot be written: {above} may not be written to")
    return path


def unwritable(path: str | Path, error: OSError) -> WriteError:
    """What to raise where a file or folder cannot be written."""
    free = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with suppress(OSError):
            free = f"; {shutil.disk_usage(Path(path).parent).free:,} bytes are free there"
    return WriteError(f"{path}: cannot be written: {error.strerror}{free}")


def reserve(path: str | Path) -> None:
    """Give a sparse file all its room on the disk now: a memory map that finds none later ends the process (SIGBUS).

    Raises:
        OSError: there is not enough room.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with Path(path).open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def remove_leftovers(folder: str | Path) -> int:
    """Remove the temporary files of processes that were killed while they wrote; return how many there were.

    For a folder that no other process writes to (`cskt.locks`).
    """
    found = [path for path in Path(folder).glob(".*.*") if _TEMPORARY.match(path.name) and path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode())


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table to `path` atomically, without its index; NaN is an empty field."""
    write_text(path, table.to_csv(index=False))


def read_table(path: str | Path, columns: Collection[str] = ()) -> "pd.DataFrame":
    """Read a table that `write_csv` wrote; only an empty field is NaN, so that a species may be called NA.

    Args:
        path: of the file.
        columns: those that it has to have.

    Raises:
        DataError: it is no such table, as after a copy that broke off.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:  # pandas' own errors, and that of another encoding, are ValueErrors
        raise DataError(f"{path}: damaged, or no table ({one_line(str(error))})") from error
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"{path}: damaged, or of another version: it has no column {', '.join(missing)}")
    return table


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` to `path` atomically, as strict JSON.

    Args:
        path: the final name.
        content: dicts, lists, strings, numbers (numpy's too) and None. NaN is missing and becomes `null`.

    Raises:
        ValueError: a number is infinite.
        TypeError: a value has no JSON form.
    """
    write_text(path, json_text(content))


def json_text(content: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def fingerprint(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Turn numpy scalars into Python's and NaN into None, at any depth."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # a numpy array or scalar, a torch tensor
        return _plain(value.tolist())
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
