"""Writing files whole or not at all: a process stopped at any time leaves the former file or the new one."""

import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error, rename what was written there to `path`.

    The temporary name ends like `path`, because some writers (matplotlib, torch) choose a format by the suffix.
    Missing parent folders are made. After an error `path` is as it was and nothing is left beside it.

    Args:
        path: the final name.

    Returns:
        A context manager that yields the path to write to.

    Raises:
        FileNotFoundError: the block wrote nothing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
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
    finally:
        temporary.unlink(missing_ok=True)


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
