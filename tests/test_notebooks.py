"""The notebooks are thin, stripped, and take the three parameters."""

import ast
import json
from pathlib import Path

import pytest

from cskt import notebooks

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
# work belongs into the library, where it has tests
STATEMENTS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.TryStar)
# each hangs at random when the notebook is executed headlessly
HANGING = {"Output", "interact", "interactive", "interact_manual"}

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def tree(cell):
    lines = "".join(cell["source"]).splitlines()
    # %matplotlib and its like are no Python
    return ast.parse("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!"))))


def test_there_are_notebooks():
    assert PATHS, f"none in {FOLDER}"


@each_notebook
def test_it_runs_on_the_plain_python_kernel(path):
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"]["name"] == "python"


@each_notebook
def test_it_is_committed_without_outputs(path):
    for cell in cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@each_notebook
def test_its_parameters_are_the_three_names_and_nothing_else(path):
    notebooks.check_parameters(path)
    (tagged,) = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    assert sorted(notebooks.assigned_names("".join(tagged["source"]))) == sorted(notebooks.PARAMETERS)
    assert len(tree(tagged).body) == len(notebooks.PARAMETERS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"damaged, or no notebook \(JSONDecodeError: "),
        (b"[]", "damaged, or no notebook"),
        (b"\xff", "damaged, or no notebook"),
        (b'{"cells": [{"cell_type": "code"}]}', r"damaged, or no notebook \(KeyError: 'metadata'\)"),
        (
            b'{"cells": [{"metadata": {"tags": ["parameters"]}, "source": "config = ("}]}',
            "its parameters cell, line 1: ",
        ),
    ],
)
def test_a_damaged_notebook_is_told_in_one_line(tmp_path, content, message):
    (tmp_path / "bad.ipynb").write_bytes(content)
    with pytest.raises(notebooks.NotebookError, match=rf"^{tmp_path}/bad\.ipynb: {message}[^\n]*$"):
        notebooks.check_parameters(tmp_path / "bad.ipynb")


@each_notebook
def test_it_only_calls_and_shows(path):
    for cell in cells(path):
        nodes = list(ast.walk(tree(cell)))
        assert not [type(node).__name__ for node in nodes if isinstance(node, STATEMENTS)]
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not names & HANGING


@each_notebook
def test_it_opens_with_its_question(path):
    first = json.loads(path.read_text())["cells"][0]
    assert first["cell_type"] == "markdown"
    assert "?" in "".join(first["source"])
