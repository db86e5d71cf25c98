"""Each job its own GPU: the one at which the fewest jobs are, held until the job ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cskt import gpus
from cskt.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
# takes a GPU, says which, and holds it until its input ends
JOB = """
import sys
from pathlib import Path
from cskt import gpus
print(gpus.take_one(Path(sys.argv[1])), flush=True)
input()
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A machine of two GPUs, as its driver's tool lists them."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho GPU-aa\necho GPU-bb\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def start(tmp_path):
    """Start a job; returns its process and its GPU."""
    jobs = []

    def started():
        command = [sys.executable, "-c", JOB, str(tmp_path / "locks")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        jobs.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
        return jobs[-1], jobs[-1].stdout.readline().strip()

    yield started
    for job in jobs:
        job.kill()
        job.communicate()


def test_jobs_take_the_gpu_with_the_fewest_of_them_and_a_killed_one_leaves_it(driver, start):
    (first, a), (_, b), (_, c), (_, d) = (start() for _ in range(4))
    assert (a, b, c, d) == ("GPU-aa", "GPU-bb", "GPU-aa", "GPU-bb")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert [start()[1], start()[1]] == ["GPU-aa", "GPU-aa"]


def test_a_job_chooses_among_those_it_is_given(driver, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert gpus.take_one(tmp_path / "locks") == "3"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


@pytest.mark.parametrize("given", ["7", "GPU-bb", ""])
def test_one_gpu_or_none_is_left_as_it_was_given(driver, tmp_path, monkeypatch, given):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus.take_one(tmp_path / "locks") is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == given
    assert not (tmp_path / "locks").exists()


def test_a_machine_without_a_driver_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.visible() == []
    assert gpus.take_one(tmp_path / "locks") is None
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_each_process_of_one_training_takes_the_gpu_of_its_number(driver, monkeypatch):
    assert gpus.take(1) == os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bb"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(DataError, match="process 2 of this machine has no GPU: there are 2"):
        gpus.take(2)
