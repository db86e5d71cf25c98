"""Fixtures that several test modules use."""

import gc
from pathlib import Path

import pytest
import torch

from cskt import files

# one thread: two test processes on two cores would wait for each other's threads
torch.set_num_threads(1)


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not look through it in each of its rounds."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; a test that needs it is skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data is not here: {folder} (it may not be redistributed)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_sync():
    """Writing waits for no disk: of thousands of small files that takes longer than the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_sync", lambda path: None)
        yield
