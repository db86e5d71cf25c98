"""What processes that are started here inherit, and how this one keeps its memory."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's mallopt


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes started here use one thread each, as numpy and torch read it when they are imported: several would wait
    for each other."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@cache
def keep_memory() -> None:
    """Keep freed memory for the next step, in place of giving it back to the system and asking for it anew.

    glibc does that with every tensor of more than 32 MB, and the system clears each page: at 256 pixels in float32 a
    fifth to a third of a training step's time (docs/performance.md). The process then stays as large as it once was.
    Numbers do not change. Nothing happens where there is no glibc.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
