"""Notebooks are executed as runs: a success is told from a failure by the run's own files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import builders
import pytest
import torch

from cskt import notebooks, training

PARAMETERS = 'config = "params/zoo.yaml"\noverrides = {}\nrun_dir = "outputs/zoo/run"'
# what a notebook does at least; importing the library, and torch with it, would take most of each test's time
FINISH = "from pathlib import Path\n_ = Path(run_dir, 'summary.json').write_text('{}')"


@pytest.fixture
def make_notebook(tmp_path):
    """Return a function that writes a notebook with a parameters cell and the given cells, and gives its path."""

    def make(*cells: str, parameters: str = PARAMETERS, name: str = "tiny"):
        tagged = builders.code_cell(parameters, "parameters")
        return builders.write_notebook(tmp_path / f"{name}.ipynb", tagged, *map(builders.code_cell, cells))

    return make


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("SETTING: tiny\n")
    return path


def files_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_a_notebook_gets_its_parameters_and_becomes_a_finished_run(make_notebook, params, tmp_path, capsys):
    start = "from cskt import config as c, runs\nrun = runs.start(run_dir, c.load(config, overrides))"
    progress = "for i in range(3000): print(i, end='\\r')\nprint('end')"
    notebook = make_notebook(start, progress, "_ = run.finish({'x': 1})")
    run_dir = tmp_path / "outputs" / "tiny" / "few_shot" / "seed2"
    executed = notebooks.execute(notebook, run_dir, params, {"SEED": 2})
    assert files_in(run_dir) == {"config.yaml", "provenance.json", "summary.json", "executed.ipynb", "log.txt"}
    assert json.loads((run_dir / "summary.json").read_text())["seed"] == 2
    progress = json.loads(executed.read_text())["cells"][-2]["outputs"]
    assert len(progress) == 1, "a progress bar is one output"
    assert "[few_shot seed2] end\n" in capsys.readouterr().out
    assert (run_dir / "log.txt").read_text().count("\n") < 10, "a progress bar does not flood the log"


@pytest.mark.slow
def test_a_relative_run_folder_is_that_of_the_working_directory(make_notebook, params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = make_notebook("from cskt import config as c, runs", "runs.start(run_dir, c.load(config)).finish({})")
    notebooks.execute(notebook.name, "own/run", params.name)
    assert files_in(tmp_path / "own" / "run") == {
        "config.yaml", "provenance.json", "summary.json", "executed.ipynb", "log.txt"
    }  # fmt: skip


@pytest.mark.slow
def test_a_failing_notebook_is_kept_and_the_run_is_not_done(make_notebook, params, tmp_path):
    notebook = make_notebook("raise ValueError('a box of zero size')", FINISH)
    with pytest.raises(notebooks.NotebookError, match=r"ValueError: a box of zero size \(see .*failed\.ipynb"):
        notebooks.execute(notebook, tmp_path / "run", params)
    assert files_in(tmp_path / "run") == {"failed.ipynb", "log.txt"}
    assert "ValueError: a box of zero size" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1 + 1", "ended without run.finish"),
        ("import sys; sys.exit(0)", "ended without run.finish"),
        ("import os; os._exit(0)", "its kernel died"),
    ],
)
def test_a_notebook_that_does_not_finish_its_run_has_failed(make_notebook, params, tmp_path, cell, message):
    with pytest.raises(notebooks.NotebookError, match=message):
        notebooks.execute(make_notebook(cell), tmp_path / "run", params)
    assert (tmp_path / "run" / "failed.ipynb").exists()
    assert not (tmp_path / "run" / "executed.ipynb").exists()


@pytest.mark.slow
def test_an_old_summary_is_not_taken_for_a_new_one(make_notebook, params, tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "summary.json").write_text("{}")
    os.utime(run_dir / "summary.json", (time.time() - 60, time.time() - 60))
    with pytest.raises(notebooks.NotebookError, match="no new"):
        notebooks.execute(make_notebook("1 + 1"), run_dir, params)


SCRIPT = "import sys; from cskt import notebooks; notebooks.execute(*sys.argv[1:])"


def execute_in_a_process(notebook, run_dir, params):
    command = [sys.executable, "-c", SCRIPT, *map(str, (notebook, run_dir, params))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_two_executions_at_a_time_do_not_collide(make_notebook, params, tmp_path):
    notebook = make_notebook(
        "import json, time\ntime.sleep(1)",
        "with open(f'{run_dir}/summary.json', 'w') as file:\n    json.dump({'dir': run_dir}, file)",
    )
    folders = [tmp_path / "one", tmp_path / "two"]
    processes = [execute_in_a_process(notebook, folder, params) for folder in folders]
    for folder, process in zip(folders, processes, strict=True):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert json.loads((folder / "summary.json").read_text())["dir"] == str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_no_kernel_and_keeps_the_notebook_as_failed(
    make_notebook, params, tmp_path, number, status
):
    cells = "import os, time\nprint('kernel is', os.getpid(), flush=True)\ntime.sleep(60)"
    process = execute_in_a_process(make_notebook(cells), tmp_path / "run", params)
    kernel = next(int(line.split()[-1]) for line in process.stdout if "kernel is" in line)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in output
    assert (tmp_path / "run" / "failed.ipynb").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)


# trains for as long as the test needs to see it; saves are a minute apart
TRAINING = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import builders, torch
from pathlib import Path
from cskt import training
from cskt.models import NETWORKS
NETWORKS["tiny"] = (lambda landmarks, weights: builders.UNet(landmarks, width=4), 2)
method = builders.meta_cskt(update_steps=10)
def rate(step):
    print("step", step, flush=True)
    time.sleep(0.05)
    return 1e-3
_ = training.train(method, steps=60, rate=rate, seed=0, folder=run_dir)
torch.save(method.state_dict(), Path(run_dir, "end.pt"))
Path(run_dir, "summary.json").write_text("{{}}")
"""


@pytest.mark.slow
def test_a_stopped_training_saves_and_is_gone_on_with_to_the_same_weights(make_notebook, params, tmp_path, monkeypatch):
    notebook, run_dir = make_notebook(TRAINING), tmp_path / "run"
    process = execute_in_a_process(notebook, run_dir, params)
    next(line for line in process.stdout if "step 15" in line)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in output
    assert "stopped" in output.splitlines()[-1]
    saved = torch.load(run_dir / "resume.pt", weights_only=True)["step"]
    assert 15 < saved < 60

    output, _ = execute_in_a_process(notebook, run_dir, params).communicate(timeout=120)
    assert re.findall(r"step (\d+)", output) == [str(step) for step in range(saved, 60)]

    builders.use_tiny_network(monkeypatch)
    at_once = builders.meta_cskt(update_steps=10)
    training.train(at_once, steps=60, rate=lambda step: 1e-3, seed=0, folder=tmp_path / "at_once")
    assert builders.same(at_once.state_dict(), torch.load(run_dir / "end.pt", weights_only=True))


def test_a_parameter_that_the_notebook_does_not_know_is_refused_with_the_nearest_name(make_notebook, params, tmp_path):
    notebook = make_notebook(parameters='config = "a=b"\noverides = {}\nrun_dir: str = "x"')
    with pytest.raises(notebooks.NotebookError, match=r"does not assign 'overrides'; did you mean .* 'overides'"):
        notebooks.execute(notebook, tmp_path / "run", params)
    assert not (tmp_path / "run").exists()


def test_a_notebook_without_a_parameters_cell_is_refused(make_notebook, tmp_path):
    path = make_notebook()
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(notebooks.NotebookError, match="0 cells are tagged 'parameters'"):
        notebooks.check_parameters(path)
    with pytest.raises(notebooks.NotebookError, match="no such notebook"):
        notebooks.check_parameters(tmp_path / "missing.ipynb")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("nbformat"), r"damaged, or no notebook \(KeyError: 'nbformat'\)"),
        (lambda content: content.update(nbformat=99), "is of version 99 of the notebook format, expected 4"),
        (lambda content: content["metadata"].clear(), r"damaged, or no notebook \(KeyError: 'kernelspec'\)"),
        (lambda content: content["metadata"]["kernelspec"].update(name="ir"), "asks for the kernel 'ir', which is not"),
        (
            lambda content: content["cells"][0].update(source="a = '\ud800'"),
            "parameters cell: surrogates not",
        ),
    ],
    ids=["no version", "version 99", "no kernel", "kernel of R", "half a character"],
)
def test_a_notebook_that_cannot_be_executed_is_told(make_notebook, params, tmp_path, change, message):
    notebook = make_notebook(FINISH)
    content = json.loads(notebook.read_text())
    change(content)
    notebook.write_text(json.dumps(content))
    with pytest.raises(notebooks.NotebookError, match=message):
        notebooks.execute(notebook, tmp_path / "run", params)
    notebook.write_text("[" * 100_000)
    with pytest.raises(notebooks.NotebookError, match="damaged, or no notebook"):
        notebooks.execute(notebook, tmp_path / "run", params)


def test_a_mistaken_override_is_told_before_a_kernel_is_started(make_notebook, params, tmp_path):
    with pytest.raises(ValueError, match="SEDD"):
        notebooks.execute(make_notebook(FINISH), tmp_path / "run", params, {"SEDD": 1})
    assert not (tmp_path / "run").exists()


def test_whole_lines_are_passed_on_and_progress_bars_thinned_out():
    lines = []
    stream = notebooks._Lines(lines.append)
    for text in ("step", " 1\nst", "ep 2\r", "\n", "\r 10%", "\r 20%", "\r 30%", "\n", "\n", "rest"):
        stream.write(text)
    stream.close()
    assert lines == ["step 1", "step 2", " 10%", " 30%", "", "rest"]
