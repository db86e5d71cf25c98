"""What processes inherit, and how this one keeps its memory."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from cskt.processes import keep_memory
torch.set_num_threads(1)
if {keep}:
    keep_memory()
# the first ones grow the heap, around what else lies in it
for _ in range(30):
    torch.zeros(64 << 20, dtype=torch.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.zeros(64 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back; there is none here")
def test_memory_that_is_kept_is_not_asked_for_anew():
    """64 MB are 16,384 pages, each of which the system would clear again."""
    asked = [
        int(subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True).stdout)
        for keep in (False, True)
    ]
    assert asked[0] > 5 * 16_000
    assert asked[1] < 1000
