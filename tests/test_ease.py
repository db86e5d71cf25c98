"""What a person meets first: help with examples that work, docstrings in a notebook, pictures and links in README."""

import ast
import importlib
import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

from cskt import __main__ as command_line
from cskt.__main__ import main
from cskt.config import load
from cskt.errors import DataError
from cskt.settings import Setting
from cskt.tour import write_tour

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# of training's protocol: what they do is said once, at the protocol
PROTOCOL = {"result", "step", "state_dict", "load_state_dict"}


def commands(text):
    """The calls of the command line in a text, lines that a backslash breaks put together."""
    text = re.sub(r"\s*\\\n\s*", " ", text)
    found = re.findall(r"^\s*(?:time )?(?:\.venv/bin/)?python -m cskt (?!COMMAND)(.*?)(?:\s#.*)?$", text, re.MULTILINE)
    return [re.split(r"\s+#|\s&&|\s;", line)[0].strip() for line in found]


def parses(line):
    """Whether the command line understands a call; the message of argparse is in the test's output."""
    try:
        command_line._parser().parse_args(shlex.split(line))
    except SystemExit:
        return False
    return True


def test_each_example_of_the_help_can_be_called(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    examples = commands(capsys.readouterr().out)
    assert len(examples) >= 12
    assert [line for line in examples if not parses(line)] == []
    assert not parses("predict --pictures there")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_command_of_a_page_can_be_called(page):
    assert [line for line in commands(page.read_text(encoding="utf-8")) if not parses(line)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_of_a_page_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    files = [link.split("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in files if not (page.parent / link).exists()] == []


def test_the_tours_pictures_are_small_and_all_shown():
    images = sorted((ROOT / "docs" / "images").iterdir())
    assert sum(image.stat().st_size for image in images) < 600_000
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [image.name for image in images if f"(docs/images/{image.name})" not in text] == []


def test_the_tour_has_no_photographs_and_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="of the zoo alone: animalpose has photographs"):
        write_tour(Setting(load("params/animalpose.yaml")), tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"mining.csv: no such file; `make reproduce SETTING=zoo` makes it"):
        write_tour(Setting(load("params/zoo.yaml")), tmp_path / "zoo", tmp_path / "images")
    assert not (tmp_path / "images").exists()


def used_by_notebooks():
    """The modules that the notebooks import from."""
    names = set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] != "code":
                continue
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cskt"):
                    names |= {f"cskt.{one.name}" if node.module == "cskt" else node.module for one in node.names}
    return sorted(names)


def test_what_a_notebook_offers_explains_itself():
    """Whatever the tab key offers of our own has a docstring that `?` shows."""
    silent = []
    for name in used_by_notebooks():
        module = importlib.import_module(name)
        for title, thing in vars(module).items():
            ours = getattr(thing, "__module__", None) == name and not title.startswith("_")
            if not ours or not (inspect.isfunction(thing) or inspect.isclass(thing)):
                continue
            members = vars(thing) if inspect.isclass(thing) else {}
            plain = {key: one for key, one in members.items() if not key.startswith("_") and key not in PROTOCOL}
            inner = [
                (f"{title}.{key}", one) for key, one in plain.items() if isinstance(one, property) or callable(one)
            ]
            silent += [f"{name}.{key}" for key, one in [(title, thing), *inner] if not inspect.getdoc(one)]
    assert silent == []


def test_a_run_that_is_not_there_and_a_file_that_cannot_be_written_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["table", "nowhere"]) == 2
    assert "cskt table: error: no finished run under outputs/nowhere: `make reproduce" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["data", "sample", "--out", "file/below", "--labeled", "1", "--unlabeled", "0"]) == 2
    assert re.search(r"^cskt data sample: error: .*file.*: Not a directory", capsys.readouterr().err, re.MULTILINE)
