"""What befalls a run from outside: a full disk, a read-only folder, a clock set back, a second run beside it."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_training import HOW, Walk

from cskt import config, files, locks, notebooks, runs, training
from cskt.data import zoo
from cskt.errors import DataError, WriteError
from cskt.models import checkpoints

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def cfg(tmp_path):
    (tmp_path / "tiny.yaml").write_text("SETTING: tiny\n")
    return config.load(tmp_path / "tiny.yaml")


@pytest.fixture
def small_disk():
    """No file may grow beyond 100,000 bytes, as on a disk with no more room."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, former[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


# --- a full disk


@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_bytes(path, bytes(200_000)),
        lambda path: files.write_text(path, "x" * 200_000),
        lambda path: files.write_json(path, ["x"] * 50_000),
        lambda path: checkpoints.save_plain(path, {"weights": torch.ones(50_000)}),
    ],
    ids=["bytes", "text", "json", "checkpoint"],
)
def test_a_full_disk_is_told_and_the_former_file_stays(tmp_path, small_disk, write):
    path = tmp_path / "file"
    path.write_text("former")
    with pytest.raises(WriteError, match=rf"^{path}: cannot be written: File too large; [\d,]+ bytes are free there$"):
        write(path)
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_training_on_a_full_disk_goes_on_from_its_last_state_once_there_is_room(tmp_path):
    class Growing(Walk):
        """Its state is too large for the disk from step 30 on."""

        room = False

        def state_dict(self):
            return super().state_dict() | {"more": torch.zeros(50_000 if self.seen[-1][0] >= 30 else 1)}

    whole = Growing()
    training.train(whole, **HOW, folder=tmp_path / "whole")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(WriteError, match=r"resume\.pt: cannot be written"):
            training.train(Growing(), **HOW, folder=tmp_path / "run", save_seconds=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    again = Growing()
    training.train(again, **HOW, folder=tmp_path / "run")
    assert again.seen[0][0] == 30, "the last state that had room"
    assert again.place.equal(whole.place)


@pytest.fixture
def full_disk(tmp_path):
    """A disk of 300,000 bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk in memory")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


CROPS = """
import sys
from pathlib import Path
from cskt.data.datasets import crop_cache
from cskt.data.folder import read_folder
from cskt.errors import WriteError
from cskt.landmarks import SCHEMES
faces = read_folder(sys.argv[1], SCHEMES["animalpose5"])
try:
    crop_cache(faces, 128, 1.5, Path(sys.argv[2]))
except WriteError as error:
    print(error)
"""


@pytest.mark.slow
def test_crops_that_find_no_room_are_told_before_they_are_made(tmp_path, full_disk):
    """A sparse memory map would end the process by a signal (SIGBUS), without a word."""
    for k in range(5):
        Image.new("RGB", (200, 150)).save(tmp_path / f"cat_{k}.png")
    command = [sys.executable, "-c", CROPS, str(tmp_path), str(full_disk)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        rf"{full_disk}/crops_128_\w+\.npy: cannot be written: No space left on device; .*\n", done.stdout
    )
    assert list(full_disk.iterdir()) == []


def test_a_file_that_is_given_its_room_has_it_and_keeps_what_it_holds(tmp_path):
    path = tmp_path / "sparse"
    path.write_bytes(b"head")
    os.truncate(path, 1_000_000)
    files.reserve(path)
    assert path.stat().st_blocks * 512 >= 1_000_000
    assert path.read_bytes() == b"head" + bytes(999_996)


def test_no_room_for_a_drawn_picture_is_told(tmp_path, full_disk):
    (full_disk / "fill").write_bytes(bytes(298_000))
    with pytest.raises(WriteError, match=r"horse_0\.jpg: cannot be written: No space left on device"):
        zoo.draw_images(full_disk, ["horse_0.jpg"], seed=0, workers=1)


# --- a folder that is read-only, or is none


@pytest.mark.parametrize(
    "write",
    [
        lambda folder, cfg: runs.start(folder, cfg),
        lambda folder, cfg: training.train(Walk(), **HOW, folder=folder),
        lambda folder, cfg: files.write_text(folder / "a.txt", "a"),
        lambda folder, cfg: notebooks.execute(ROOT / "notebooks" / "01_data.ipynb", folder, ROOT / "params/zoo.yaml"),
    ],
    ids=["run", "training", "file", "notebook"],
)
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, cfg, write):
    (tmp_path / "outputs").write_text("a file where the folder should be")
    with pytest.raises(WriteError, match=r"outputs.*: cannot be written: (Not a directory|File exists)"):
        write(tmp_path / "outputs" / "run", cfg)


READ_ONLY = """
import os, sys
from cskt import config, runs
from cskt.errors import WriteError
cfg = config.load("params/zoo.yaml")
if os.getuid() == 0:
    os.setuid(65534)  # root may write anywhere
try:
    runs.start(sys.argv[1], cfg)
except WriteError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_read_only_folder_is_told(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in (folder, *folder.parents[:-2]):
        path.chmod(0o755 if path != folder else 0o555)
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{folder / '.lock'}: cannot be written: Permission denied\n", done.stderr
    assert list(folder.iterdir()) == []


# --- a clock that is set back


def test_a_clock_set_back_during_a_run_makes_no_negative_time(tmp_path, cfg):
    run = runs.start(tmp_path / "run", cfg)
    provenance = json.loads((run.dir / "provenance.json").read_text())
    provenance["started"] = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    (run.dir / "provenance.json").write_text(json.dumps(provenance))
    run.finish({"nme": 0.5})
    summary = json.loads((run.dir / "summary.json").read_text())
    assert summary["seconds"] is None and summary["nme"] == 0.5


def test_a_summary_is_new_whatever_the_clock_says(tmp_path):
    path = tmp_path / "summary.json"
    assert notebooks._state(path) is None
    files.write_text(path, "{}")
    before = notebooks._state(path)
    assert notebooks._state(path) == before
    files.write_text(path, "{}")
    os.utime(path, (0, 0))  # written in 1970
    assert notebooks._state(path) != before


# --- two runs in one folder

HOLD = """
import sys, time
from cskt import locks
locks.hold(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that is at work in `run`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_in_a_folder_is_refused_and_nothing_is_overwritten(tmp_path, cfg, other, monkeypatch):
    monkeypatch.setattr(runs, "LOCK_SECONDS", 0)
    monkeypatch.setattr(training, "LOCK_SECONDS", 0)
    folder = tmp_path / "run"
    (folder / "checkpoint.pt").write_text("the other's")
    message = rf"^{folder}: process {other.pid} on .* is at work in this folder; wait for it or stop it"
    for start in (lambda: runs.start(folder, cfg), lambda: training.train(Walk(), **HOW, folder=folder)):
        with pytest.raises(DataError, match=message):
            start()
    assert {path.name for path in folder.iterdir()} == {".lock", "checkpoint.pt"}
    assert (folder / "checkpoint.pt").read_text() == "the other's"

    other.kill()  # the lock ends with the process, and its file means nothing
    other.wait()
    runs.start(folder, cfg).finish({})
    assert not (folder / ".lock").exists()


def test_a_process_that_is_about_to_end_is_waited_for(tmp_path, other):
    begun = time.monotonic()
    other.terminate()
    locks.hold(tmp_path / "run", patience=30)
    assert time.monotonic() - begun < 20
    locks.release(tmp_path / "run")


def test_the_process_that_holds_a_folder_may_start_again_in_it(tmp_path, cfg):
    """A notebook's cells are executed twice, and training is a part of a run."""
    runs.start(tmp_path / "run", cfg)
    run = runs.start(tmp_path / "run", cfg)
    training.train(Walk(), **HOW, folder=run.dir)
    assert (run.dir / ".lock").exists(), "training lets the run keep its folder"
    run.finish({})
    assert not locks._held


def test_a_lock_file_that_was_removed_holds_nobody_up(tmp_path):
    """Whoever opened the file before its removal holds a file without a name: it tries again."""
    locks.hold(tmp_path)
    (tmp_path / ".lock").unlink()
    with locks.held(tmp_path / "sub"):
        pass
    locks.release(tmp_path)
    assert locks.hold(tmp_path)
    locks.release(tmp_path)


# --- what killed processes leave


def test_the_rest_of_a_write_that_was_killed_is_removed(tmp_path, cfg):
    folder = tmp_path / "run"
    (folder / "figures").mkdir(parents=True)
    rest = [folder / f".{'0123456789abcdef' * 2}.resume.pt", folder / "figures" / f".{'f' * 32}.curve.png"]
    kept = [folder / ".hidden.txt", folder / "notes.txt"]
    for path in (*rest, *kept):
        path.write_text("half")
    runs.start(folder, cfg).finish({})
    assert [path.exists() for path in (*rest, *kept)] == [False, False, True, True]


def test_a_run_that_is_gone_on_with_keeps_what_its_former_part_was_made_with(tmp_path, cfg):
    runs.start(tmp_path / "run", cfg, {"faces": "a"})
    first = json.loads((tmp_path / "run" / "provenance.json").read_text())
    runs.start(tmp_path / "run", cfg, {"faces": "a"})
    runs.start(tmp_path / "run", cfg, {"faces": "a"}).finish({})
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["earlier"][0] == first


# --- a state that is not what it seems


def test_the_state_of_something_else_is_named(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "resume.pt")
    with pytest.raises(DataError, match=r"resume\.pt: not the state of a training; delete it"):
        training.train(Walk(), **HOW, folder=tmp_path)
