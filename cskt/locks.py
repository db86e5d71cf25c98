"""One process at a time in a folder: a second one is refused, whatever became of the first.

The lock is the operating system's (flock) on a hidden file in the folder, so that it ends with the process that holds
it, killed or not; the file itself means nothing. Within the process that holds it a folder may be held again.
"""

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cskt.errors import DataError
from cskt.files import make_folder, unwritable

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None

# of file systems that have no locks
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_held: dict[Path, tuple[int, int]] = {}  # lock file -> its descriptor, and the process that holds it


class InUseError(DataError):
    """Another process is at work in the folder; the message says which."""


def hold(folder: str | Path, name: str = ".lock", patience: float = 0.0) -> bool:
    """Hold a folder until `release`, or until this process ends.

    Args:
        folder: is made where it is missing.
        name: of the lock file.
        patience: seconds to wait for another process, which may be about to end.

    Returns:
        Whether it is held since now; False if this process held it already.

    Raises:
        InUseError: another process holds it.
        WriteError: nothing can be written there.
    """
    file = make_folder(folder).resolve() / name
    if _held.get(file, (0, 0))[1] == os.getpid():
        return False
    if fcntl is None:
        return True
    until = time.monotonic() + patience
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritable(file, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever released it removed the file: this descriptor may be of one that has no name any more
            if file.exists() and os.fstat(descriptor).st_ino == file.stat().st_ino:
                break
        except OSError as error:
            if error.errno in _NO_LOCKS:
                os.close(descriptor)
                return True
            if time.monotonic() >= until:
                told = os.read(descriptor, 1000).decode(errors="replace")
                os.close(descriptor)
                what = f"{_who(told)} is at work in this folder; wait for it or stop it, or use another one"
                raise InUseError(f"{folder}: {what}") from None
            time.sleep(0.1)
        os.close(descriptor)
    _held[file] = descriptor, os.getpid()
    with suppress(OSError):  # a full disk: the lock holds all the same
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"process": os.getpid(), "machine": platform.node()}).encode())
    return True


def release(folder: str | Path, name: str = ".lock") -> None:
    """Let go of a folder; one that this process does not hold is left alone."""
    file = Path(folder).resolve() / name
    if _held.get(file, (0, 0))[1] == os.getpid():
        file.unlink(missing_ok=True)  # before another process can hold it
        os.close(_held.pop(file)[0])


@contextmanager
def held(folder: str | Path, name: str = ".lock", patience: float = 0.0) -> Iterator[None]:
    """Hold a folder while the block runs, and after that if this process held it before; see `hold`."""
    new = hold(folder, name, patience)
    try:
        yield
    finally:
        if new:
            release(folder, name)


def _who(text: str) -> str:
    try:
        content = json.loads(text)
        return f"process {content['process']} on {content['machine']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
