"""What torchrun tells each of the processes that it starts, and which folder each of them works in."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OTHERS = ".rank"  # begins the names of the folders of all processes but the first


def launched() -> bool:
    """Whether torchrun has started this process, or one above it, as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int:
    """Which of the processes of this machine this is, from 0."""
    return int(os.environ["LOCAL_RANK"])


@contextmanager
def own_folder(run_dir: str | Path) -> Iterator[Path]:
    """Give the folder to execute a notebook into: in the first process the run's, in each other one that passes.

    It lies in the run's folder, under a name that `run_of` knows.
    """
    number = int(os.environ["RANK"]) if launched() else 0
    if not number:
        yield Path(run_dir)
        return
    folder = Path(run_dir) / f"{OTHERS}{number}"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # after a failure it stays, with what was the matter


def run_of(folder: Path) -> Path:
    """The run's folder, of which this may be the one of another process than the first.

    Example:
        >>> run_of(Path("outputs/zoo/few_shot/seed0/.rank3")).as_posix()
        'outputs/zoo/few_shot/seed0'
    """
    return folder.parent if folder.name.startswith(OTHERS) else folder
