"""Two processes that train together compute what one does: losses, feedback, gradients, statistics of batch norm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from builders import same

from cskt import torchrun

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("supervised", "with_activation", "corrected", "published", "fixmatch", "uda", "mean_teacher", "pseudo_label")
TOGETHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def call(*command):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """(processes, method, rank) -> what a process wrote down, and the folder of all."""
    home = tmp_path_factory.mktemp("trainings")
    driver = str(ROOT / "tests" / "together.py")
    call(driver, str(home / "1"), "3", *METHODS)
    call(*TOGETHER, driver, str(home / "2"), "3", *METHODS)
    found = {tuple(path.relative_to(home).parts[:3]): torch.load(path, weights_only=True)
             for path in home.rglob("end.pt")}  # fmt: skip
    return found, home


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_compute_what_one_does(ends, name):
    one, first, second = (ends[0][key] for key in (("1", name, "0"), ("2", name, "0"), ("2", name, "1")))
    largest = max(gradient.abs().max() for gradient in one["gradients"])
    for alone, together in zip(one["gradients"], first["gradients"], strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-5 * float(largest))
    assert one["metrics"].keys() == first["metrics"].keys()
    for key, values in one["metrics"].items():
        # a gain is a small difference of losses
        assert first["metrics"][key] == pytest.approx(values, rel=1e-4, abs=1e-5), key
    # and no weight, statistic or pseudo-label of the two is apart, to the bit
    assert same(first["state"], second["state"])


@pytest.mark.slow
def test_only_the_first_process_writes(ends):
    for name in METHODS:
        first, second = (ends[1] / "2" / name / rank for rank in ("0", "1"))
        assert {"resume.pt", "metrics.csv"} <= {path.name for path in first.iterdir()}
        assert [path.name for path in second.iterdir()] == ["end.pt"]


def test_the_others_work_in_folders_of_their_own_that_pass(tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with torchrun.own_folder(tmp_path / "seed0") as folder:
        folder.mkdir(parents=True)
        assert torchrun.run_of(folder) == tmp_path / "seed0" != folder
    assert not folder.exists()
    monkeypatch.setenv("RANK", "0")
    with torchrun.own_folder(tmp_path / "seed0") as folder:
        assert folder == tmp_path / "seed0"


@pytest.mark.parametrize("given", [{}, {"WORLD_SIZE": "4", "RANK": "1"}, {"TORCHELASTIC_RUN_ID": "x"}])
def test_a_process_that_torchrun_has_not_started_is_alone(monkeypatch, given):
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert not torchrun.launched()
