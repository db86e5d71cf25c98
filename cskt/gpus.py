"""One GPU for each job of a machine that has several: the one that the fewest jobs are at work on.

A job holds a lock of the operating system on a place at its GPU (cskt.locks), which ends with the job, killed or not.
GPUs are named by what the driver calls them, not by numbers, which the driver and CUDA count in different orders.
"""

import getpass
import itertools
import os
import subprocess
import tempfile
from pathlib import Path

from cskt import locks
from cskt.errors import DataError


def visible() -> list[str]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all that the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def take(number: int) -> str | None:
    """Let this process and those it starts see one GPU only, that of a number; None where there are fewer than two."""
    found = visible()
    if len(found) < 2:
        return None
    if number >= len(found):
        raise DataError(f"process {number} of this machine has no GPU: there are {len(found)}; start as many processes")
    os.environ["CUDA_VISIBLE_DEVICES"] = found[number]
    return found[number]


def take_one(folder: Path | None = None) -> str | None:
    """Let this process and those it starts see one GPU only, the one at which the fewest jobs of this user are.

    To be called before anything asks CUDA what there is. Nothing is changed where there are not at least two to choose
    from: on a machine with one, and in a job to which Slurm has given one.

    Args:
        folder: of the locks; by default one of this user on this machine.

    Returns:
        Its name, as CUDA_VISIBLE_DEVICES now says; None if nothing was changed.
    """
    found = visible()
    if len(found) < 2:
        return None
    folder = folder or Path(tempfile.gettempdir()) / f"cskt-gpus-{getpass.getuser()}"
    for place in itertools.count():
        for name in found:
            try:
                locks.hold(folder, f"{name.replace('/', '_')}.{place}.lock")
            except locks.InUseError:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            return name
