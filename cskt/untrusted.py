"""Files of weights that a person was given: read as plain types and tensors, and nothing in them is executed."""

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cskt.errors import DataError

# single numbers of numpy, which training programs put beside the weights (the best error so far), as numpy 1 and 2
# name them
_SCALAR = np.float64(0).__reduce__()[0]
_NUMBERS = [(_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
_NUMBERS += [np.dtype, *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")}]


def read_plain(path: str | Path, hint: str = "") -> Any:
    """What a file that torch wrote holds, on the CPU.

    Args:
        path: the file.
        hint: what else to say of one that cannot be read.

    Raises:
        DataError: no such file, not torch's, a part of it has another checksum than was written with it, it unpacks
            to more than it holds, or holds more than plain types, tensors and single numbers of numpy; the message says
            what was refused.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder, expected the file of a checkpoint (checkpoint.pt)")
    if not path.is_file():
        raise DataError(f"{path}: no such checkpoint")
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are none of torch's
            with torch.serialization.safe_globals(_NUMBERS):
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise DataError(f"{path}: cannot be read as a checkpoint of plain weights: {_reason(error)}{hint}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    # torch begins with how to have it all executed nevertheless
    if refused := re.search(r"GLOBAL (\S+)", str(error)):
        return f"it would call {refused[1][:100]}, which is refused"
    return "it is damaged, is another kind of file, or holds more than weights"


class _Refused(ValueError):
    pass


def _check_archive(path: Path) -> None:
    """Raise for a file whose parts unpack to more than it holds (what torch writes is not compressed), or are damaged.

    torch itself compares no checksums: a weight in which bits have changed would be another weight.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed, size = sum(part.file_size for part in archive.infolist()), path.stat().st_size
            if claimed > size:
                raise _Refused(f"it unpacks to {claimed:,} bytes and has {size:,}")
            if damaged := archive.testzip():
                raise _Refused(
                    f"its part {damaged[:100]!r} is damaged: it has not the checksum that was written with it"
                )
