"""Doing a run again: what is compared, what is told, what is refused; and once from end to end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import builders
import numpy as np
import pandas as pd
import pytest
import torch

from cskt import config, files, rerun, runs
from cskt.__main__ import main
from cskt.agreement import compare
from cskt.models.checkpoints import save_plain

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_run(folder, nme=0.125, weight=1.0, seconds=3.0, commit=COMMIT):
    """The results of a small run."""
    files.write_csv(folder / "scores.csv", pd.DataFrame({"image": ["a", "b"], "nme": [0.5, nme], "seconds": seconds}))
    weights = {"weights": {"bias": torch.zeros(2), "conv": torch.tensor([1.0, weight])}, "note": {"seed": 0}}
    save_plain(folder / "checkpoint.pt", weights)
    files.write_text(folder / "lists" / "hard.txt", "a\nb\n")
    cost = {"seconds_per_step": seconds, "peak_memory": seconds}
    files.write_json(folder / "summary.json", {"commit": commit, "seconds": seconds, "nme": nme, "last": cost})
    files.write_text(folder / "log.txt", str(seconds))
    files.write_text(folder / "former" / "scores.csv", str(seconds))
    return folder


# --- what is compared


def test_runs_that_differ_in_time_and_commit_alone_have_the_same_results(tmp_path):
    there = write_run(tmp_path / "there")
    assert compare(there, write_run(tmp_path / "here", seconds=4.0, commit="f" * 40)) == []


def test_the_first_difference_in_each_file_is_told(tmp_path):
    there = write_run(tmp_path / "there")
    here = write_run(tmp_path / "here", nme=np.nextafter(0.125, 1), weight=np.nextafter(np.float32(1), np.float32(2)))
    assert compare(there, here) == [
        "checkpoint.pt: weights.conv: 1 of 2 values differ, by at most 1.19e-07",
        "scores.csv: row 2 (b), column nme: 0.125 there, 0.12500000000000003 here",
        "summary.json: nme: 0.125 there, 0.12500000000000003 here",
    ]


def test_what_is_missing_longer_or_of_another_shape_differs(tmp_path):
    there, here = write_run(tmp_path / "there"), write_run(tmp_path / "here")
    (here / "lists" / "hard.txt").write_text("a\nc\n")
    files.write_csv(here / "scores.csv", pd.read_csv(here / "scores.csv").iloc[:1])
    save_plain(here / "checkpoint.pt", {"weights": {"bias": torch.zeros(3)}})
    (here / "summary.json").unlink()
    (here / "more.csv").write_text("x\n1\n")
    assert compare(there, here) == [
        "checkpoint.pt: weights.bias: [2] of torch.float32 there, [3] of torch.float32 here",
        "lists/hard.txt: line 2 differs (4 bytes there, 4 here)",
        "scores.csv: 2 rows there, 1 here",
        "summary.json: is not here",
        "more.csv: is not there",
    ]


def test_a_negative_zero_and_a_nan_are_compared_by_their_bits(tmp_path):
    for name, value in (("nan", float("nan")), ("again", float("nan")), ("zero", 0.0), ("minus", -0.0)):
        save_plain(tmp_path / name / "net.pt", {"w": torch.tensor([value]), "note": name})
    assert compare(tmp_path / "nan", tmp_path / "again") == ["net.pt: note: nan there, again here"]
    assert compare(tmp_path / "zero", tmp_path / "minus") == ["net.pt: w: 0 of 1 values differ, by at most 0"]


# --- what is told and refused


@pytest.fixture
def record(tmp_path):
    """A finished run as it is on disk, and its provenance."""
    folder = write_run(tmp_path / "outputs" / "tiny" / "few_shot" / "seed0")
    (tmp_path / "tiny.yaml").write_text("SETTING: tiny\n")
    config.dump(config.load(tmp_path / "tiny.yaml"), folder / "config.yaml")
    metadata = {"papermill": {"input_path": "notebooks/tiny.ipynb"}}
    files.write_json(folder / "executed.ipynb", {"metadata": metadata})
    provenance = runs.provenance(0, "cpu", {"data": "abc"})
    files.write_json(folder / "provenance.json", provenance)
    return folder, provenance


NOW = {
    "commit": COMMIT,
    "dirty": False,
    "diff": "",
    "lock": "a" * 64,
    "python": "3.11.7",
    "packages": {"torch": "2.15.0"},
}
NOW |= {"device": "cpu", "cpu": "Some processor, AVX2", "seed": 0, "inputs": {}}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("summary.json", "the run is not finished"),
        ("executed.ipynb", "not notebooks run by hand"),
        ("provenance.json", "this is no run folder"),
    ],
)
def test_what_is_no_finished_run_of_the_command_is_refused(record, name, why, capsys):
    folder, _ = record
    (folder / name).unlink()
    assert main(["rerun", str(folder)]) == 2
    assert f"{folder}: there is no {name}: " in (told := capsys.readouterr().err) and why in told


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "[" * 5000),
        ("config.yaml", "a: &a [1]\nb: *a\n"),
        ("config.yaml", "5"),
        ("config.yaml", 'SEED: 0\nDEVICE: cpu\nTHREADS: "1\\0"\n'),
        ("config.yaml", "SEED: 0\nDEVICE: [cpu]\nTHREADS: 1\n"),
        ("provenance.json", "[" * 100_000),
        ("provenance.json", "[]"),
        ("executed.ipynb", "[" * 100_000),
        ("executed.ipynb", '{"metadata": {"papermill": {"input_path": null}}}'),
        ("executed.ipynb", '{"metadata": null}'),
    ],
)
def test_a_record_that_is_damaged_is_told_in_one_line(record, capsys, name, content):
    folder, _ = record
    (folder / name).write_text(content)
    assert main(["rerun", str(folder)]) == 2
    line = capsys.readouterr().err
    assert (
        line.startswith(f"cskt rerun: error: {folder}: what it wrote down cannot be read (") and line.count("\n") == 1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {"data": 5}}, r"cannot be read \(TypeError: expected a text, found 5\)"),
        ({"commit": "a\0b"}, r"cannot be read \(TypeError: expected a text, found 'a\\x00b'\)"),
        ({"earlier": [5]}, r"cannot be read \(TypeError"),
        ({"earlier": [{}]}, r"cannot be read \(KeyError: 'commit'\)"),
        ({"seed": 1}, "config.yaml says SEED 0, provenance.json 1: one of them was changed"),
        ({"lock": ...}, r"cannot be read \(KeyError: 'lock'\)"),
        ({"diff": "a\ud800b"}, r"cannot be read \(UnicodeEncodeError"),
        ({"diff": 5}, r"cannot be read \(TypeError: diff: 5\)"),
        ({"packages": []}, r"cannot be read \(TypeError: packages: \[\]\)"),
        ({"dirty": True, "diff": None}, "changes that were too large to be stored"),
        ({"dirty": True, "diff": ...}, "made before cskt stored them"),
        ({"commit": COMMIT}, f"its commit {COMMIT} is not in this repository: `git fetch` it"),
    ],
    ids=[
        "inputs",
        "null byte",
        "earlier a number",
        "earlier empty",
        "seed",
        "no lock",
        "diff of half characters",
        "diff a number",
        "packages a list",
        "large diff",
        "no diff",
        "unknown commit",
    ],
)
def test_a_run_whose_code_or_seed_cannot_be_had_is_refused(record, change, message, monkeypatch):
    folder, provenance = record
    # whatever the repository is here
    provenance |= {"commit": "f" * 40, "dirty": False, "diff": ""} | change
    files.write_json(folder / "provenance.json", {k: v for k, v in provenance.items() if v is not ...})
    monkeypatch.setattr(runs, "provenance", lambda *_: NOW | {"commit": "e" * 40})
    monkeypatch.setattr(rerun, "_execute", lambda *_: pytest.fail("must not get so far"))
    with pytest.raises(runs.RunError, match=message):
        rerun.rerun(folder)


def test_code_is_the_same_where_commit_and_changes_are():
    patched = NOW | {"dirty": True, "diff": "--- a/x\n"}
    assert rerun.same_code(NOW, NOW) and rerun.same_code(patched, patched)
    # an untracked file outside the code makes a tree dirty, not different
    assert rerun.same_code(NOW, NOW | {"dirty": True})
    assert rerun.same_code(NOW | {"commit": None}, NOW)
    with pytest.raises(runs.RunError, match="is not in a git repository"):
        rerun.same_code(NOW, NOW | {"commit": None})


def test_each_part_of_the_environment_is_said_to_be_the_same_or_not():
    there = NOW | {"packages": {"torch": "2.11.0", "timm": "1.0.20"}, "python": "3.12.1", "device": "NVIDIA H100"}
    there |= {"lock": None, "earlier": [{"commit": "f" * 40, "diff": "--- a/x\n"}]}
    assert rerun.environment(NOW, NOW)["packages"] == "torch 2.15.0"
    lines = rerun.environment(there, NOW)
    assert lines == {
        "commit": "0123456789ab",
        "lock": "None there, aaaaaaaaaaaa here",
        "python": "3.12.1 there, 3.11.7 here",
        "packages": "torch 2.11.0 there, 2.15.0 here; timm 1.0.20 there, none here",
        "device": "NVIDIA H100 there, cpu here",
        "processor": "Some processor, AVX2",
        "seed": "0",
        "parts": "the run was stopped and gone on with by other code (commit ffffffffffff with changes, "
        "commit 0123456789ab): the last is taken",
    }


def test_the_status_tells_whether_the_results_are_the_same(record, monkeypatch, capsys):
    folder, provenance = record
    files.write_json(folder / "provenance.json", provenance | {"python": "\x1b[2J"})
    monkeypatch.setattr(rerun, "same_code", lambda *_: True)
    neighbour = write_run(folder.parents[1] / "human_model")
    for nme, status in ((0.125, 0), (0.25, 1)):

        def execute(record, new, project, say, nme=nme):
            assert (new.parents[1] / "human_model").resolve() == neighbour, "what the run reads is beside it"
            write_run(new, nme=nme)
            return 0

        monkeypatch.setattr(rerun, "_execute", execute)
        assert main(["rerun", str(folder)]) == status
        told = capsys.readouterr().out
        assert f"into         {folder.parents[2]}/rerun/tiny-few_shot-seed0/tiny/few_shot/seed0\n" in told
        assert ("results      the same, bit for bit" in told) is (status == 0)
        assert "python       \\x1b[2J there, " in told
        assert ("scores.csv: row 2 (b), column nme: 0.125 there, 0.25 here" in told) is (status == 1)


def test_a_run_is_stopped_where_it_reads_something_else(record, tmp_path):
    folder, provenance = record
    told = []
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    taken = rerun.read(folder)
    assert not rerun._told_inputs(taken, tmp_path / "new", None, process, told.append), "it has not begun"
    files.write_json(tmp_path / "new" / "provenance.json", provenance)
    assert not rerun._told_inputs(taken, tmp_path / "new", provenance, process, told.append), "that is of a former one"
    assert rerun._told_inputs(taken, tmp_path / "new", None, process, told.append)
    assert told == ["inputs       data abc"] and process.poll() is None
    files.write_json(tmp_path / "new" / "provenance.json", provenance | {"inputs": {"data": "abd", "few_shot": "e"}})
    message = "what the run read is not here any more: data abc there, abd here; few_shot None there, e here; restore"
    with pytest.raises(runs.RunError, match=message):
        rerun._told_inputs(taken, tmp_path / "new", None, process, told.append)
    assert process.poll() is not None


def test_runs_that_are_repeated_in_one_folder_stay_as_they_are(record, tmp_path, monkeypatch):
    """What the first repetition links to is the run that the second one is to be compared with."""
    folder, _ = record
    setting = folder.parents[1]
    shutil.copytree(folder, setting / "mining" / "seed0")
    shutil.copytree(setting, setting.parent / "other")
    monkeypatch.setattr(rerun, "same_code", lambda *_: True)
    made = []

    def execute(record, new, project, say):
        made.append(new.resolve())
        write_run(new, nme=0.25)
        return 0

    monkeypatch.setattr(rerun, "_execute", execute)
    before = {path: path.read_bytes() for path in setting.parent.rglob("*") if path.is_file()}
    runs_there = (setting / "mining" / "seed0", folder, setting.parent / "other" / "few_shot" / "seed0")
    for run in runs_there:
        assert rerun.rerun(run, tmp_path / "again", lambda _: None), "they differ"
    assert all(new.is_relative_to(tmp_path / "again") for new in made)
    assert before == {path: path.read_bytes() for path in setting.parent.rglob("*") if path.is_file()}


# --- from end to end

CELLS = """
import numpy as np, pandas as pd, torch
from pathlib import Path
from cskt import config as c, files, runs
from cskt.models import checkpoints, LandmarkNet

cfg = c.load(config, overrides)
data = c.resolve(cfg.DATA.ROOT) / "data.txt"
first = runs.upstream(run_dir, "first", "scores.csv") if cfg.METHOD.STEPS == 2 else data
run = runs.start(run_dir, cfg, {"data": files.fingerprint(data), "first": files.fingerprint(first)})
torch.manual_seed(cfg.SEED)
net = LandmarkNet("unet_small", "animalweb9", 9, 32, "softmax")
images = torch.rand(4, 3, 32, 32)
loss = net(images).square().mean()
loss.backward()
with torch.no_grad():
    for weight in net.parameters():
        weight -= FACTOR * weight.grad
checkpoints.save(run.dir / "checkpoint.pt", net)
with torch.no_grad():
    means = net.eval()(images).mean(dim=(1, 2, 3)).numpy()
run.save_table(pd.DataFrame({"image": range(4), "mean": means}), "scores")
run.finish({"loss": float(loss)})
"""


@pytest.fixture
def project(tmp_path):
    """A repository of its own: this library, two runs of a small notebook, and the data they read."""
    home = tmp_path / "project"
    for name in ("cskt", "profiles"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "pyproject.toml", ".gitignore", "Snakefile"):
        shutil.copy(ROOT / name, home)
    (home / "params").mkdir()
    (home / "params" / "tiny.yaml").write_text("SETTING: tiny\nDATA:\n  ROOT: ../data\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.txt").write_text("faces\n")
    write_notebook(home, "0.1")
    git(home, "init", "--quiet")
    commit(home)
    return home


def write_notebook(home, factor):
    parameters = 'config = "params/tiny.yaml"\noverrides = {}\nrun_dir = "outputs/tiny/first/seed0"'
    cells = builders.code_cell(parameters, "parameters"), builders.code_cell(CELLS.replace("FACTOR", factor))
    (home / "notebooks").mkdir(exist_ok=True)
    builders.write_notebook(home / "notebooks" / "tiny.ipynb", *cells)


def git(home, *arguments):
    own = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *own, *arguments], cwd=home, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(home):
    git(home, "add", "--all")
    git(home, "commit", "--quiet", "--message", "Change")


def cskt(home, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(home), "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    command = [sys.executable, "-m", "cskt", *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_run_is_repeated_by_its_own_code_although_the_code_here_is_another(project):
    folder = project / "outputs" / "tiny"
    options = ["notebooks/tiny.ipynb", "--config", "params/tiny.yaml"]
    # what the run reads, and a difference of its code from the commit
    files.write_text(folder / "first" / "seed3" / "scores.csv", "image,mean\n")
    files.write_json(folder / "first" / "seed3" / "summary.json", {})
    write_notebook(project, "0.2")
    own = ["--set", "METHOD.STEPS=2", "--set", "SEED=3", "--out", "outputs/tiny/second/seed3"]
    done = cskt(project, "run", *options, *own)
    assert done.returncode == 0, done.stdout + done.stderr
    provenance = json.loads((folder / "second" / "seed3" / "provenance.json").read_text())
    assert provenance["dirty"] and "weight -= 0.2" in provenance["diff"]
    # and then the code becomes another one
    write_notebook(project, "0.3")
    commit(project)
    before = {path: path.read_bytes() for path in (folder / "second").rglob("*") if path.is_file()}

    done = cskt(project, "rerun", "outputs/tiny/second/seed3")
    assert done.returncode == 0, done.stdout + done.stderr
    new = project / "outputs/rerun/tiny-second-seed3/tiny/second/seed3"
    assert f"checked out: commit {provenance['commit'][:12]} with changes" in done.stdout
    assert "the same, bit for bit: 3 files (1 tables, 1 networks)" in done.stdout
    assert (new / "checkpoint.pt").read_bytes() == (folder / "second" / "seed3" / "checkpoint.pt").read_bytes()
    again = json.loads((new / "provenance.json").read_text())
    assert all(again[key] == provenance[key] for key in ("commit", "diff", "inputs", "seed"))
    assert git(project, "worktree", "list").count("\n") == 0, "the checkout is gone"
    assert before == {path: path.read_bytes() for path in (folder / "second").rglob("*") if path.is_file()}
