"""One file from the network, whole and checked or not at all."""

import hashlib
import http.client
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

from cskt.errors import DataError
from cskt.files import atomic_path, fingerprint

_CHUNK = 1 << 18
_PATIENCE = 30  # seconds without a byte


def sha256_of_name(name: str) -> str:
    """The beginning of its SHA-256 that a weights file carries in its name, by torch's custom (NAME-1a2b3c4d.pth).

    Raises:
        ValueError: there is none in it.
    """
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    if not found:
        raise ValueError(f"{name} carries no checksum")
    return found[1]


def fetch(
    url: str, to: str | Path, *, sha256: str, size: int, report: Callable[[int, int], None] = lambda done, of: None
) -> Path:
    """Download a file unless it is there already; what is there or comes is checked before it has its name.

    Args:
        url: of the file.
        to: where it is to be.
        sha256: of its content in hexadecimal, or the beginning of it.
        size: about how many bytes are expected; more than a twentieth over it is refused while it comes.
        report: called with the bytes so far and all bytes.

    Returns:
        `to`, as a path.

    Raises:
        DataError: it cannot be reached, is cut short or too large, or has another content; nothing is left behind.
    """
    to = Path(to)
    if to.is_file():
        if fingerprint(to).startswith(sha256):
            return to
        raise DataError(f"{to}: its SHA-256 does not begin with {sha256}: delete it and download it again")
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer, atomic_path(to) as temporary:
            total = int(answer.headers.get("Content-Length") or size)
            done, digest = 0, hashlib.sha256()
            with temporary.open("wb") as file:
                while chunk := answer.read(_CHUNK):
                    done += len(chunk)
                    if done > size * 1.05:
                        raise DataError(f"{url}: more than the {size / 1e6:.1f} MB expected: nothing was kept")
                    digest.update(chunk)
                    file.write(chunk)
                    report(done, total)
            if done < total:
                raise DataError(f"{url}: ended after {done / 1e6:.1f} of {total / 1e6:.1f} MB: try again")
            if not digest.hexdigest().startswith(sha256):
                raise DataError(f"{url}: its SHA-256 is {digest.hexdigest()}, not {sha256}...: nothing was kept")
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: cannot be downloaded ({getattr(error, 'reason', error)})") from error
    return to
