"""Imports point down: a module of cskt imports only from floors below its own (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cskt

ROOT = Path(cskt.__file__).parent

# the ground, below 0, lies under everything; the command line on top of everything
FLOORS = {
    "errors": -3,
    "files": -2,
    **dict.fromkeys(("locks", "processes", "progress", "torchrun"), -1),
    **dict.fromkeys(("config", "geometry", "heatmaps", "landmarks", "metrics", "oks", "published"), 0),
    **dict.fromkeys(("distributed", "gpus"), 0),
    **dict.fromkeys(("agreement", "criteria", "regression", "shape3d", "shapes", "species", "tables", "untrusted"), 0),
    **dict.fromkeys(("budget", "data", "generalization", "grids", "models"), 1),
    **dict.fromkeys(("export", "predict"), 2),
    **dict.fromkeys(("benchmark", "comparison", "consensus", "drawing", "mining", "pseudo_labels", "training"), 3),
    "proposals": 3,
    **dict.fromkeys(("confusion", "methods", "released"), 4),
    **dict.fromkeys(("contradictions", "settings"), 5),
    **dict.fromkeys(("figures", "galleries", "notebooks", "runs", "web", "widgets"), 6),
    **dict.fromkeys(("explorer", "figures_ablation", "figures_confusion", "figures_explorer", "figures_print"), 7),
    **dict.fromkeys(("figures_neighbours", "pages", "paper", "report", "rerun", "sheets"), 7),
    "demo": 7,
    **dict.fromkeys(("demo_drawing", "demo_texts"), 8),
    **dict.fromkeys(("adapt", "explorer_panel", "figures_paper", "figures_supplement", "speed", "supplement"), 8),
    **dict.fromkeys(("demo_panel", "own_commands", "tour"), 9),
    "demo_app": 10,
    "__main__": 11,
}


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield line and unit (first name below cskt) of every import of cskt in a source, lazy ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"cskt.{alias.name}" for alias in node.names] if module == "cskt" else [module]
        else:
            continue
        for name in names:
            if name.startswith("cskt.") and name != "cskt.__version__":
                yield node.lineno, name.split(".")[1]


def violations(source: str, unit: str, package: str) -> list[str]:
    """Return the imports that do not point down; within one package (data, models, methods) they may."""
    found = []
    for line, other in imported(source, package):
        if other not in FLOORS:
            found.append(f"line {line}: cskt.{other} is on no floor: add it to FLOORS and docs/architecture.md")
        elif other != unit and FLOORS[other] >= FLOORS[unit]:
            found.append(f"line {line}: floor {FLOORS[unit]} imports cskt.{other} of floor {FLOORS[other]}")
    return found


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    assert parts[0] in FLOORS, f"cskt.{parts[0]} is on no floor: add it to FLOORS and docs/architecture.md"
    assert violations(path.read_text(), parts[0], ".".join(["cskt", *parts[:-1]])) == []


def test_the_package_itself_imports_nothing():
    assert list(imported((ROOT / "__init__.py").read_text(), "cskt")) == []


@pytest.mark.parametrize(
    ("source", "unit", "package", "allowed"),
    [
        ("from cskt.metrics import nme", "data", "cskt.data", True),
        ("from cskt import metrics, __version__", "data", "cskt.data", True),
        ("from cskt.data.coco import read_coco", "data", "cskt.data", True),
        ("from .coco import read_coco", "data", "cskt.data", True),
        ("from cskt.models import heads", "data", "cskt.data", False),
        ("import cskt.training", "data", "cskt.data", False),
        ("def f():\n    from cskt import runs", "mining", "cskt", False),
        ("from ..predict import predict", "data", "cskt.data", False),
        ("from cskt.landmarks import SCHEMES", "metrics", "cskt", False),
        ("import cskt.nowhere", "runs", "cskt", False),
        ("import numpy.cskt, cskting", "metrics", "cskt", True),
    ],
)
def test_the_walk_sees_every_form_of_import(source, unit, package, allowed):
    assert (violations(source, unit, package) == []) is allowed
