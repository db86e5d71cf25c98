"""Killed anywhere: trainings, and the graph with its jobs, at random moments; nothing is lost, nothing is half.

The few kills among the slow tests become a hundred in `make torture`; TORTURE_SEED chooses other moments.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import builders
import damage
import numpy as np
import pytest
import test_damage

from cskt.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
SEED = int(os.environ.get("TORTURE_SEED", "0"))


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    "kills", [pytest.param(5, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.torture)]
)
def test_a_training_that_is_killed_anywhere_ends_in_the_same_weights(kills):
    command = [sys.executable, str(ROOT / "tests" / "kills.py"), str(kills), str(SEED), "12" if kills < 50 else "40"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"killed trainings: {found}")
    assert sum(one["kills"] for one in found.values()) >= kills
    for name, one in found.items():
        assert one["same"] == one["trainings"], f"{name}: an end differs from that of the training nobody disturbed"
        assert one["readable"] == one["kills"], f"{name}: a half-written state had the name of a whole one"
    if kills >= 50:
        assert sum(one["while_saving"] for one in found.values()) >= 5, "too few kills fell into a save to tell"


# --- readers


@pytest.mark.parametrize(
    "seconds", [pytest.param(4, marks=pytest.mark.slow), pytest.param(180, marks=pytest.mark.torture)]
)
@pytest.mark.filterwarnings("ignore")
def test_readers_take_any_bytes(seconds, tmp_path):
    """Good files with bytes changed, cut out or doubled at random: a table, or one line that says why not."""
    rng, tried, refused = np.random.default_rng(SEED), 0, 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kind = list(damage.GOOD)[tried % len(damage.GOOD)]
        home = tmp_path / str(tried)
        home.mkdir()
        damage.GOOD[kind](home)
        files = sorted(path for path in home.rglob("*") if path.is_file())
        path = files[rng.integers(len(files))]
        before = path.read_bytes()
        path.write_bytes(scrambled(before, rng))
        tried += 1
        try:
            test_damage.READERS[kind](home)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1500
        except Exception as error:
            raise AssertionError(f"{kind}, {path.name}: {path.read_bytes()[:3000]!r}") from error
        shutil.rmtree(home)
    print(f"scrambled files: {tried} read, {refused} refused")


def scrambled(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to four pieces of it changed."""
    data = bytearray(content)
    spice = [
        b"",
        b"-",
        b"1e999",
        b"nan",
        b"\0",
        b"\xff",
        b",",
        b"\n",
        b'"',
        b"[",
        b"{",
        b": ",
        b"../",
        b"9" * 400,
        b"null",
    ]
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(0, len(data) + 1))
        length = int(rng.integers(0, 12))
        how = rng.integers(4)
        if how == 0:
            data[start : start + length] = rng.bytes(length)
        elif how == 1:
            data[start : start + length] = spice[rng.integers(len(spice))]
        elif how == 2:
            other = int(rng.integers(0, len(data) + 1))
            data[start:start] = data[other : other + length * 4]
        else:
            del data[start : start + length**2]
    return bytes(data)


# --- the graph

GRID = """
first: {notebook: count, needs: []}
second: {notebook: count, needs: [first], set: {METHOD.STEPS: 2}}
"""
COUNT = """
import json, time
from pathlib import Path
from cskt import files

folder = Path(run_dir)
state = folder / "state.json"
before = folder.parents[1] / "first" / folder.name / "result.json"
start = json.loads(before.read_text())["x"] if overrides.get("METHOD.STEPS") else 1
value = json.loads(state.read_text()) if state.exists() else {"step": 0, "x": start}
while value["step"] < 40:
    value = {"step": value["step"] + 1, "x": (value["x"] * 6364136223846793005 + 1) % 2**63}
    files.write_json(state, value)
    time.sleep(0.02)
files.write_json(folder / "result.json", value)
files.write_json(folder / "summary.json", value)
"""


def expected(start: int) -> int:
    for _ in range(40):
        start = (start * 6364136223846793005 + 1) % 2**63
    return start


@pytest.fixture
def project(tmp_path):
    """A project of two runs, one after the other, that count."""
    shutil.copy(ROOT / "Snakefile", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "params" / "grids").mkdir(parents=True)
    (tmp_path / "params" / "zoo.yaml").write_text("SETTING: zoo\n")
    (tmp_path / "params" / "grids" / "suite.yaml").write_text(GRID)
    parameters = 'config = "params/zoo.yaml"\noverrides = {}\nrun_dir = "outputs/zoo/run"'
    cells = builders.code_cell(parameters, "parameters"), builders.code_cell(COUNT)
    (tmp_path / "notebooks").mkdir()
    builders.write_notebook(tmp_path / "notebooks" / "count.ipynb", *cells)
    return tmp_path


def descendants(process: int) -> list[int]:
    """The processes below one, as /proc tells it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, new = [], [process]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


@pytest.mark.torture
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the processes of a job are found in /proc")
def test_a_graph_that_is_killed_anywhere_ends_in_the_same_files(project):
    rng, found = random.Random(SEED), dict.fromkeys(("kills", "calls", "refused", "graphs"), 0)
    while found["kills"] < 12:
        found["graphs"] += 1
        while not call(project, rng, found):
            assert found["calls"] < 80, "it never gets done"
        first, second = (json.loads((project / f"outputs/zoo/{run}/seed0/result.json").read_text())["x"]
                         for run in ("first", "second"))  # fmt: skip
        assert (first, second) == (expected(1), expected(expected(1)))
        shutil.rmtree(project / "outputs")
    print(f"killed graphs: {found}")


def call(project: Path, rng: random.Random, found: dict[str, int]) -> bool:
    """Call the graph, kill it at some moment (or a job, or all of it), and return whether it was done before that."""
    found["calls"] += 1
    log = project / "call.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            # the runs; the report's rule looks into the outputs of the project that cskt is installed from
            [sys.executable, "-m", "snakemake", "--cores", "1", "outputs/zoo/second/seed0/summary.json"],
            cwd=project, env=environment(), stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
        killed, wanted = False, rng.choice(("graph", "below", "all"))
        # moments are counted from when the first job is there, which a busy machine may take long for
        while process.poll() is None and not descendants(process.pid):
            time.sleep(0.05)
        until = time.monotonic() + rng.uniform(0, 12)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        below = descendants(process.pid)
        for victim in {"graph": [process.pid], "below": below[-1:], "all": [process.pid, *below]}[wanted]:
            if process.poll() is None:
                os.kill(victim, signal.SIGKILL)
                killed = True
        process.wait()
    text = log.read_text()
    refused = "is at work in this folder" in text
    found["kills"] += killed
    found["refused"] += refused
    assert process.returncode == 0 or killed or refused, text
    return process.returncode == 0 and (project / "outputs" / "zoo" / "second" / "seed0" / "summary.json").exists()
