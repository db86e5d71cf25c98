"""The graph knows what is missing and what is out of date (dry runs; nothing is executed)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# each run after those it needs
SHARED_FIRST = ("data", "human_model")
PER_SEED = ("few_shot", "supervised", "mining", "meta_cskt_published", "meta_cskt_corrected")
SHARED_LAST = ("evaluate",)

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    """A copy of the project without library and outputs."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for name in ("notebooks", "params", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def dry_run(project, *config):
    command = [sys.executable, "-m", "snakemake", "-n", "-c1", "--config", *config]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def planned(output):
    """Return run -> number of jobs, from Snakemake's table of job counts."""
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0].splitlines()[3:]
    counts = {line.split()[0]: int(line.split()[1]) for line in table if line.strip()}
    return {run: count for run, count in counts.items() if run != "all"}


def finish_all(project, seeds):
    """Write the summaries of all runs, each a second newer than the one before."""
    folders = [*SHARED_FIRST, *(f"{run}/seed{seed}" for run in PER_SEED for seed in range(seeds)), *SHARED_LAST]
    for second, folder in enumerate(folders):
        path = project / "outputs" / "zoo" / folder / "summary.json"
        path.parent.mkdir(parents=True)
        path.write_text(f'{{"folder": "{folder}"}}')
        # in the future: newer than the copied notebooks
        os.utime(path, (path.stat().st_mtime + second + 10,) * 2)


def test_a_fresh_clone_needs_every_run_once_or_once_per_seed(project):
    status, output = dry_run(project, "setting=zoo", "seeds=2")
    assert status == 0, output
    assert planned(output) == dict.fromkeys(SHARED_FIRST + SHARED_LAST, 1) | dict.fromkeys(PER_SEED, 2)


def test_nothing_is_done_again_and_a_missing_summary_takes_those_along_that_need_it(project):
    finish_all(project, seeds=2)
    status, output = dry_run(project, "setting=zoo", "seeds=2")
    assert status == 0, output
    assert planned(output) == {}

    (project / "outputs" / "zoo" / "mining" / "seed1" / "summary.json").unlink()
    _, output = dry_run(project, "setting=zoo", "seeds=2")
    assert planned(output) == {"mining": 1, "meta_cskt_published": 1, "meta_cskt_corrected": 1, "evaluate": 1}


def test_an_unknown_setting_is_told_with_the_known_ones(project):
    status, output = dry_run(project, "setting=zo")
    assert status != 0
    assert "no setting 'zo'" in output
    assert "zoo" in output.split("known are")[1]
