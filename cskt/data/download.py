"""One file from the network, whole and checked or not at all; a broken download goes on where it was."""

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from cskt import locks
from cskt.errors import DataError
from cskt.files import fingerprint

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

    What came before a connection broke is kept beside the file (.NAME.part), and the next call goes on after it. The
    proxies of the environment (http_proxy, https_proxy, no_proxy) are used.

    Args:
        url: of the file.
        to: where it is to be.
        sha256: of its content in hexadecimal, or the beginning of it.
        size: about how many bytes are expected; more than a twentieth over it is refused while it comes.
        report: called with the bytes so far and all bytes.

    Returns:
        `to`, as a path.

    Raises:
        DataError: it cannot be reached, is cut short (what came is kept), or is too large or has another content
            (nothing is kept).
        InUseError: another process is downloading it.
    """
    to = Path(to)
    if to.is_file():
        if fingerprint(to).startswith(sha256):
            return to
        raise DataError(f"{to}: its SHA-256 does not begin with {sha256}: delete it and download it again")
    part = to.with_name(f".{to.name}.part")
    with locks.held(to.parent, f".{to.name}.lock"):
        try:
            total = _receive(url, part, size, report)
        except DataError:
            raise
        # a ValueError is of an address that the server leads to
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DataError(f"{url}: cannot be downloaded ({getattr(error, 'reason', error)})") from error
        # before the length, about which a server may be wrong
        if (found := fingerprint(part)).startswith(sha256):
            part.replace(to)
        elif (done := part.stat().st_size) < total:
            raise DataError(f"{url}: ended after {done / 1e6:.1f} of {total / 1e6:.1f} MB: try again, it goes on there")
        else:
            part.unlink()
            raise DataError(f"{url}: its SHA-256 is {found}, not {sha256}...: nothing was kept")
    return to


def _receive(url: str, part: Path, size: int, report: Callable[[int, int], None]) -> int:
    """Append to a file what it lacks, as far as it comes; returns how many bytes the server says there are."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        # urlopen would go on with the proxies that its first call found
        answer = urllib.request.build_opener().open(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # nothing comes after what is there: not this file's beginning, or all of it, of which the checksum tells
        return done
    with answer:
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        done = done if goes_on else 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if re.fullmatch("[0-9]{1,15}", length) else size
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                if done > size * 1.05:
                    part.unlink()
                    raise DataError(f"{url}: more than the {size / 1e6:.1f} MB expected: nothing was kept")
                file.write(chunk)
                report(done, total)
            file.flush()
            os.fsync(file.fileno())
    return total
